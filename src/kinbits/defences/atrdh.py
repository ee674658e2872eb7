"""ATRDH: images that were attacked towards another label keep the similarities of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from kinbits.attacks import blocks, draw_targets
from kinbits.defences.base import Defence, DefendedBatch
from kinbits.defences.registry import register_defence


@register_defence("atrdh")
class ATRDH(Defence):
    """Attack images towards the prototype of another label, and keep their similarities to all training images.

    A network of prototypes learns along, one step a batch (as `THA`). Its prototypes of random other labels are the
    targets of sign steps. With U the n codes of the training images, S = +1 where they share a class with the image and
    -1 elsewhere, and h the relaxed code of the attacked image, this is added to a method's own loss:

    lambda mean_i (h u_i / K - S_i)^2

    X. Wang, Z. Zhang, G. Lu, Y. Xu, "Targeted Attack and Defense for Deep Hashing", SIGIR 2021. Differences: images are
    attacked in evaluation mode; defended epochs follow undefended ones of the same run.
    """

    prototypes: blocks.PrototypeNet

    def setup(self, *, bits: int, classes: int) -> None:
        """Build the network of prototypes."""
        self.prototypes = blocks.PrototypeNet(classes, bits)
        self._adam = torch.optim.Adam(self.prototypes.parameters(), lr=blocks.LR, betas=(0.5, 0.999))

    def get_extra_state(self) -> dict[str, Any]:
        """Return the state of the optimizer."""
        return self._adam.state_dict()

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore the state of the optimizer."""
        self._adam.load_state_dict(state)

    def terms(self, batch: DefendedBatch) -> Mapping[str, Tensor]:
        """Return how far similarities of attacked images are from those of their labels."""
        self._adam.zero_grad()
        blocks.circle(self.prototypes, batch.labels, batch.reference).backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        targets, _ = draw_targets(batch.labels, batch.reference, batch.generator)
        images = self.attacked(batch, blocks.towards(self.prototypes.codes(targets)), targets)
        relaxed, known = batch.victim.logits(images).tanh(), batch.reference
        similar = torch.where(known.shared(batch.labels) > 0, 1.0, -1.0)
        likeness = relaxed @ known.codes.T / relaxed.shape[1]
        return {"adversarial": self.weight * (likeness - similar).square().mean()}
