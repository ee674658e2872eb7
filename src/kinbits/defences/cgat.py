"""CgAT: attacked images keep the centre code of their label."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from kinbits.attacks import blocks
from kinbits.defences.base import Defence, DefendedBatch
from kinbits.defences.registry import register_defence


@register_defence("cgat")
class CgAT(Defence):
    """Attack images away from the centre code of their label, and pull the attacked ones back to it.

    The centre code weighs similar images by how much of their labels they share (`centre_codes`). With x' the image
    after sign steps that lower mean_k h_k c_k, this is added to a method's own loss: - lambda mean_k h_k(x') c_k.

    X. Wang, Y. Lin, X. Li, "CgAT: Center-Guided Adversarial Training for Deep Hashing-Based Retrieval", WWW 2023.
    Differences: weights are those of the paper, the released code replaces them by "shares a label"; images are
    attacked in evaluation mode; defended epochs follow undefended ones of the same run.
    """

    def terms(self, batch: DefendedBatch) -> Mapping[str, Tensor]:
        """Return the pull to the centre codes."""
        centres = blocks.centre_codes(batch.labels, batch.reference)
        relaxed = batch.victim.logits(self.attacked(batch, blocks.away_from(centres))).tanh()
        return {"adversarial": -self.weight * (relaxed * centres).mean()}
