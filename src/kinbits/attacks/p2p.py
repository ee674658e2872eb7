"""P2P: to the code of one image of the target label."""

from __future__ import annotations

from torch import Tensor

from kinbits.attacks.base import AttackBatch
from kinbits.attacks.blocks.centres import anchor_codes
from kinbits.attacks.blocks.steps import SignSteps, towards
from kinbits.attacks.registry import register_attack


@register_attack("p2p")
class P2P(SignSteps):
    """Move a code to that of one random image of the target label ("point to point").

    L = -mean_k h_k c_k with c the code of the image and h the relaxed codes (`SignSteps`). J. Bai et al., "Targeted
    Attack for Deep Hashing based Retrieval", ECCV 2020, where it is what `dhta` is compared with.
    """

    aims = "target"
    version = 2

    def perturb(self, batch: AttackBatch) -> Tensor:
        """Return images whose codes are near that of one image of the target label."""
        return self.descend(
            batch, towards(anchor_codes(batch.require_targets(), batch.require_reference(), batch.generators, count=1))
        )
