"""DCMH: image and text codes from labelled pairs, tied to one shared set of binary codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from kinbits._util import Modality
from kinbits.errors import UsageError
from kinbits.heads import Head, Linear, Mlp
from kinbits.methods.base import Batch, Method, Optimizer, Recipe, Spec, TrainView, full_precision
from kinbits.methods.blocks.binary import signs
from kinbits.methods.blocks.discrete import training_labels
from kinbits.methods.blocks.labels import has_text
from kinbits.methods.blocks.pairwise import draw_partners, pair_nll, pairs_between
from kinbits.methods.registry import register


@register("dcmh")
class Dcmh(Method):
    """Make inner products across modalities predict shared labels; both sides of a pair share one binary code.

    With F and G the outputs of the image and the text network on all n rows ``(n, K)``, B in {-1, +1} ``(n, K)``,
    theta_ij = F_i . G_j / 2 and S_ij = 1 for a shared label::

        J = sum_ij softplus(theta_ij) - S_ij theta_ij + gamma (|B - F|^2 + |B - G|^2) + eta (|F^T 1|^2 + |G^T 1|^2)

    Three parts are updated in turns, with the others fixed: the image network on the batch's rows of F against all of
    G, the text network on its rows of G against all of F, and B = sign(F + G), which is the exact minimiser. Each
    network lowers its part of J, divided by n b. F and G are memories: each step writes the batch's new outputs into
    them. S is never stored.

    Differences: each batch trains the image network, then the text network; the authors alternate after whole passes.
    An epoch visits every row once, instead of batches drawn independently. F and G start from the untrained networks.
    Adam replaces plain SGD. The balance F^T 1 assumes that rows outside the batch have changed since they were written
    as the rows of the batch have. With the written values, a step would ignore its effect on those rows, and the sum
    would oscillate more and more. With more rows than ``partners``, a step draws that many of the other modality, which
    keeps the mean in expectation, and running sums for the balance, so that its cost does not grow with n. A text
    vector of zeros counts as missing: B then depends on the image alone. The sign of 0 is +1; in the authors' MATLAB
    code it is 0.

    Args:
        spec: The task, with labels and text.
        gamma: Weight of the pull to B.
        eta: Weight of the balance of bits. The paper's 1 costs accuracy on frozen features.
        weighted: Use HashNet's weights, so that rare similar pairs count as much as all others.
        partners: Maximum number of rows that a batch is compared with.
        hidden: Width of the text network's hidden layer; 8192 in the paper, for bags of words.

    Reference: Q.-Y. Jiang, W.-J. Li, "Deep Cross-Modal Hashing", CVPR 2017.
    """

    reads_text: ClassVar[bool] = True
    recipe = Recipe(
        epochs=30,
        batch_size=128,
        lr=1e-3,
        optimizer="adamw",
        weight_decay=1.0,
        backbone_weight_decay=0.01,
        min_steps=1560,
    )
    images: Tensor
    texts: Tensor
    shared: Tensor

    def __init__(
        self,
        spec: Spec,
        *,
        gamma: float = 1.0,
        eta: float = 0.01,
        weighted: bool = False,
        partners: int = 10_000,
        hidden: int = 512,
    ) -> None:
        super().__init__(spec)
        if min(gamma, eta) < 0 or min(partners, hidden) < 1:
            raise UsageError(
                f"need gamma, eta >= 0 and partners, hidden >= 1; given {gamma}, {eta}, {partners} and {hidden}"
            )
        self.gamma, self.eta, self.weighted, self.partners = gamma, eta, weighted, partners
        self.head: Head = Linear(spec.feature_dim, spec.bits, std=0.01)
        self.text_head = Mlp(spec.require_text_dim(), spec.bits, hidden=hidden, std=0.01)
        self.register_buffer("images", torch.zeros(spec.n_train, spec.bits))
        self.register_buffer("texts", torch.zeros(spec.n_train, spec.bits))
        self.register_buffer("shared", torch.ones(spec.n_train, spec.bits))
        self._labels: Tensor | None = None
        self._sums: dict[Modality, Tensor] = {}

    def parameter_lists(self) -> list[list[nn.Parameter]]:
        """Return the parameters of the image and of the text tower."""
        return [list(tower.parameters()) for tower in self.towers().values()]

    def prepare(self, train: TrainView) -> None:
        """Fill F and G with the outputs of the untrained networks, and set B."""
        present = torch.cat([has_text(chunk) for chunk in train.chunks("text")])
        self.images.copy_(self.outputs(train))
        self.texts.copy_(self.outputs(train, "text") * present[:, None])
        self.shared.copy_(signs(self.images + self.texts))

    def start_epoch(self, epoch: int, train: TrainView) -> None:
        """Take the labels of all rows, and sum F and G anew."""
        self._labels = training_labels(self, train)
        self._sums = {"image": self.images.sum(0), "text": self.texts.sum(0)}

    def end_epoch(self, epoch: int, train: TrainView) -> None:
        """Set B to its minimiser."""
        self.shared.copy_(signs(self.images + self.texts))

    def step(self, batch: Batch, optimizers: Sequence[Optimizer]) -> Mapping[str, Tensor]:
        """Train the image tower, then the text tower, on one batch."""
        present = has_text(batch.require_texts())
        every = torch.ones_like(present)
        turns = zip(self.towers(), (batch.features, batch.require_texts()), (every, present), optimizers, strict=True)
        terms: dict[str, Tensor] = {}
        for modality, features, rows, optimizer in turns:
            if not rows.any():
                continue
            logits = self.towers()[modality](features[rows])
            with full_precision(logits):
                parts = self.turn(modality, batch.rows[rows], batch.require_labels()[rows], logits.float())
            optimizer.minimise(torch.stack(list(parts.values())).sum())
            terms |= {f"{modality} {name}": term for name, term in parts.items()}
        return terms

    def turn(self, modality: Modality, rows: Tensor, labels: Tensor, logits: Tensor) -> dict[str, Tensor]:
        """Write the outputs of one modality into its memory, and return its share of J, over n b.

        Args:
            modality: Whose turn it is.
            rows: Row numbers, int64 ``(b,)``.
            labels: int64 ``(b,)`` or multi-hot ``(b, C)``.
            logits: The tower's output, float ``(b, K)``.
        """
        if self._labels is None:
            raise UsageError("method 'dcmh' compares with the whole training set; call start_epoch first")
        own, other = (self.images, self.texts) if modality == "image" else (self.texts, self.images)
        now, known = logits.detach(), self._sums[modality] - own[rows].sum(0)
        moved = (len(own) - len(rows)) * (now - own[rows]).mean(0)
        own[rows] = now
        self._sums[modality] = known + now.sum(0)
        total = known + moved + logits.sum(0)
        columns = draw_partners(self.spec.n_train, self.partners, logits.device)
        pairs = pairs_between(labels, self._labels[columns], rows, columns, self_pairs=True)
        values = pair_nll(logits @ other[columns].T / 2, pairs.same)
        if self.weighted:
            values = pairs.weights * values
        area = self.spec.n_train * len(rows)
        return {
            "likelihood": pairs.mean(values),
            "quantization": self.gamma * (self.shared[rows] - logits).square().sum() / area,
            "balance": self.eta * total.square().sum() / area,
        }
