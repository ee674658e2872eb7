"""DPSH: pairwise likelihood of a batch against the latest codes of all training images."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from kinbits.errors import UsageError
from kinbits.heads import LinearBatchNorm
from kinbits.methods.base import Batch, Method, Recipe, Spec, TrainView
from kinbits.methods.blocks.binary import signs
from kinbits.methods.blocks.discrete import training_labels
from kinbits.methods.blocks.pairwise import draw_partners, pair_nll, pairs_between
from kinbits.methods.registry import register


@register("dpsh")
class Dpsh(Method):
    """Make inner products of a batch's codes with those of all rows predict which images share a label.

    With u_i the logits of the b rows of the batch, v_j the latest logits of all n rows (a memory without gradient,
    written before the loss is taken), theta_ij = u_i . v_j / 2 and s_ij = 1 for a shared label::

        L = mean_ij softplus(theta_ij) - s_ij theta_ij + eta mean_ik (u_ik - sign u_ik)^2

    Differences: the authors sum both terms and divide by n b, so that their eta of 10 to 100 is eta K / n in this
    scale. The default 0.1 is the value of third-party code. The head is batch-normalised, since a plain linear one
    collapses on features that are not centred. The memory starts from the outputs of the untrained network; zeros would
    give no gradient for unseen rows. Self pairs are left out, and unlabelled rows are in no pair. With more rows than
    ``partners``, each step draws that many from the memory. This keeps the mean in expectation, and the cost of a step
    does not grow with n.

    Args:
        spec: The task.
        eta: Weight of the pull to the signs.
        partners: Maximum number of rows that a batch is compared with.
        weighted: Use HashNet's weights, so that rare similar pairs count as much as all others.
        self_pairs: Keep i = j.

    Reference: W.-J. Li, S. Wang, W.-C. Kang, "Feature Learning based Deep Supervised Hashing with Pairwise Labels",
    IJCAI 2016.
    """

    recipe = Recipe(
        epochs=20,
        batch_size=128,
        lr=1e-3,
        optimizer="adamw",
        weight_decay=3.0,
        backbone_weight_decay=5e-4,
        schedule="step",
        min_steps=1250,
    )
    latest: Tensor

    def __init__(
        self,
        spec: Spec,
        *,
        eta: float = 0.1,
        partners: int = 10_000,
        weighted: bool = False,
        self_pairs: bool = False,
    ) -> None:
        super().__init__(spec)
        if eta < 0 or partners < 1:
            raise UsageError(f"eta {eta} and partners {partners}: need eta >= 0 and partners >= 1")
        self.eta, self.partners, self.weighted, self.self_pairs = eta, partners, weighted, self_pairs
        self.head = LinearBatchNorm(spec.feature_dim, spec.bits)
        self.register_buffer("latest", torch.zeros(spec.n_train, spec.bits))
        self._labels: Tensor | None = None

    def prepare(self, train: TrainView) -> None:
        """Fill the memory with the outputs of the untrained network; zeros would give no gradient."""
        self.latest.copy_(self.outputs(train))

    def start_epoch(self, epoch: int, train: TrainView) -> None:
        """Take the labels of all rows."""
        self._labels = training_labels(self, train)

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the likelihood of the batch's pairs with all rows, and the pull to the signs."""
        if self._labels is None:
            raise UsageError("method 'dpsh' compares with the whole training set; call start_epoch first")
        self.latest[batch.rows] = logits.detach()
        others = draw_partners(self.spec.n_train, self.partners, logits.device)
        pairs = pairs_between(batch.require_labels(), self._labels[others], batch.rows, others, self.self_pairs)
        values = pair_nll(logits @ self.latest[others].T / 2, pairs.same)
        if self.weighted:
            values = pairs.weights * values
        return {"likelihood": pairs.mean(values), "quantization": self.eta * (logits - signs(logits)).square().mean()}
