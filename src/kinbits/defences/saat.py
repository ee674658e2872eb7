"""SAAT: attacked images keep the mainstay code of their label."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from kinbits._util import check_at_least
from kinbits.attacks import EPSILON, blocks
from kinbits.defences.base import Defence, DefendedBatch
from kinbits.defences.registry import register_defence
from kinbits.methods import signs


@register_defence("saat")
class SAAT(Defence):
    """Attack images away from the mainstay code of their label, and pull the attacked ones back to it.

    With c the mainstay code (`mainstay_codes`), x' the image after sign steps that lower the sharp loss of `PGD`, and
    h = tanh(z) its relaxed code, this is added to a method's own loss:

    - lambda mean_k h_k c_k + mu mean_k (h_k - sign h_k)^2

    X. Yuan, Z. Zhang, X. Wang, L. Wu, "Semantic-Aware Adversarial Training for Reliable Deep Hashing Retrieval", TIFS
    2023. Differences: images are attacked in evaluation mode, the released code does it in training mode; defended
    epochs follow undefended ones of the same run, the paper starts from a trained model.

    Args:
        epsilon: Largest change of a pixel in [0, 1] in training.
        steps: Steps of the attack in training.
        step_size: Change of a pixel in one step.
        weight: lambda.
        start: Share of the epochs that are trained without attacks first.
        quantization: mu.

    Raises:
        UsageError: If a number is out of range.
    """

    def __init__(
        self,
        *,
        epsilon: float = EPSILON,
        steps: int = 7,
        step_size: float = 2 / 255,
        weight: float = 1.0,
        start: float = 0.5,
        quantization: float = 1e-4,
    ) -> None:
        super().__init__(epsilon=epsilon, steps=steps, step_size=step_size, weight=weight, start=start)
        check_at_least(0, quantization=quantization)
        self.quantization = quantization

    def terms(self, batch: DefendedBatch) -> Mapping[str, Tensor]:
        """Return the pull to the mainstay codes, and the distance of attacked codes from their signs."""
        centres = blocks.mainstay_codes(batch.labels, batch.reference)
        relaxed = batch.victim.logits(self.attacked(batch, blocks.sharply_away_from(centres))).tanh()
        return {
            "adversarial": -self.weight * (relaxed * centres).mean(),
            "adversarial_quantization": self.quantization * (relaxed - signs(relaxed.detach())).square().mean(),
        }
