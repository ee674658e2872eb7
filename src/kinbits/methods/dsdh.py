"""DSDH: a pairwise likelihood for the network, and discrete codes that a linear classifier reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from kinbits.errors import UsageError
from kinbits.heads import build_head
from kinbits.methods.base import Batch, Method, Recipe, Spec, TrainView
from kinbits.methods.blocks.discrete import labelled_rows, row_chunks, sweep_bits, training_labels
from kinbits.methods.blocks.labels import labelled
from kinbits.methods.blocks.pairwise import draw_partners, pair_nll, pairs_between
from kinbits.methods.registry import register


@register("dsdh")
class Dsdh(Method):
    """Learn pairs by likelihood, and discrete codes that agree with the network and separate the classes.

    With u_i the logits of row i ``(K,)``, theta_ij = u_i . u_j / 2, s_ij = 1 for a shared label, D the discrete
    codes ``(K, n)``, Y the labels ``(C, n)`` and W a linear classifier ``(K, C)``::

        J = sum_ij (softplus(theta_ij) - s_ij theta_ij) + mu |Y - W^T D|^2 + nu |W|^2 + eta sum_i |d_i - u_i|^2

    The network lowers the mean of the first term, over pairs of a row of the batch with recorded outputs of the
    training set, and eta times the mean of (d - u)^2. After each epoch W = (D D^T + nu / mu I)^-1 D Y^T, and the
    codes follow bit by bit with all others fixed, exactly, so that neither step raises J (DCC)::

        P = W Y + (eta / mu) U^T        D_k <- sign(P_k - D_rest^T W_rest w_k)        w_k the k-th row of W

    Differences: recorded outputs start from one pass over the set instead of 0. With more than ``partners`` rows, each
    batch is compared with a new sample of them; a step then costs O(b partners K), and the mean is unbiased. A row is
    paired with itself only with ``self_pairs``. Unlabelled rows are in no pair, and have the network's signs. Sets of
    labels are rows of Y that sum to 1. The terms are means, so the paper's eta is eta K / n here: its 55 is 0.35 for 32
    bits and 5,000 rows. The default 0.1 was better than both this value and the 0.01 of a later implementation on
    held-out images. The network encodes queries and database, not D.

    Args:
        spec: The task.
        mu: Weight of the classifier's error.
        nu: Weight of the classifier's size.
        eta: Weight of the distance between outputs and codes.
        sweeps: Sweeps over the codes per epoch.
        partners: Recorded rows that a batch is compared with.
        self_pairs: Keep i = j.
        head: A linear layer, or one with batch normalisation.

    Reference: Q. Li, Z. Sun, R. He, T. Tan, "Deep Supervised Discrete Hashing", NeurIPS 2017.
    """

    recipe = Recipe(
        epochs=40,
        batch_size=128,
        lr=1e-3,
        optimizer="adamw",
        weight_decay=5.0,
        backbone_weight_decay=1e-5,
        min_steps=2500,
    )
    codes: Tensor
    recorded: Tensor
    classifier: Tensor

    def __init__(
        self,
        spec: Spec,
        *,
        mu: float = 0.01,
        nu: float = 1.0,
        eta: float = 0.1,
        sweeps: int = 1,
        partners: int = 10_000,
        self_pairs: bool = False,
        head: Literal["linear", "linear-batchnorm"] = "linear",
    ) -> None:
        super().__init__(spec)
        if mu <= 0 or nu <= 0 or eta < 0:
            raise UsageError(f"mu {mu}, nu {nu}, eta {eta}: need mu, nu > 0 and eta >= 0")
        if sweeps < 1 or partners < 1:
            raise UsageError(f"sweeps {sweeps}, partners {partners}: need at least 1 of each")
        self.mu, self.nu, self.eta, self.sweeps = mu, nu, eta, sweeps
        self.partners, self.self_pairs = partners, self_pairs
        self.head = build_head({"name": head, "features": spec.feature_dim, "bits": spec.bits})
        self.register_buffer("codes", torch.ones(spec.n_train, spec.bits, dtype=torch.int8))
        self.register_buffer("recorded", torch.zeros(spec.n_train, spec.bits))
        self.register_buffer("classifier", torch.zeros(spec.bits, spec.classes))
        self._labels: Tensor | None = None

    def prepare(self, train: TrainView) -> None:
        """Record the outputs of all rows, and start the codes from their signs."""
        labels = training_labels(self, train)
        labelled_rows(self, labels)
        self.recorded.copy_(self.outputs(train))
        self.codes.copy_(torch.where(self.recorded >= 0, 1, -1))
        self._alternate(labels)

    def start_epoch(self, epoch: int, train: TrainView) -> None:
        """Take the labels that batches are compared with."""
        self._labels = training_labels(self, train)

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the likelihood of the batch's pairs with recorded rows, and the distance to the discrete codes."""
        if self._labels is None:
            raise UsageError("method 'dsdh' compares with the whole training set; call start_epoch first")
        self.recorded[batch.rows] = logits.detach().to(self.recorded)
        rows = draw_partners(self.spec.n_train, self.partners, logits.device)
        pairs = pairs_between(batch.require_labels(), self._labels[rows], batch.rows, rows, self.self_pairs)
        known = labelled(batch.require_labels())
        apart = (self.codes[batch.rows] - logits).square().mean(1)
        return {
            "likelihood": pairs.mean(pair_nll(logits @ self.recorded[rows].T / 2, pairs.same)),
            "quantization": self.eta * (known * apart).sum() / known.sum().clamp_min(1),
        }

    def end_epoch(self, epoch: int, train: TrainView) -> None:
        """Solve for the classifier, then sweep over the codes."""
        self._alternate(training_labels(self, train))

    @torch.no_grad()
    def _alternate(self, labels: Tensor) -> None:
        """Fit the classifier to the codes, then the codes to the classifier and to the recorded outputs."""
        self.classifier.copy_(self._ridge(labels))
        G = self.mu * self.classifier @ self.classifier.T
        for part in row_chunks(len(labels)):
            U, V = self.recorded[part], self.codes[part].float()
            Q = -2 * (self.mu * self._pulled(labels[part]) + self.eta * U)
            for _ in range(self.sweeps):
                V = sweep_bits(V, G, Q)
            signs = torch.where(U >= 0, 1, -1)
            self.codes[part] = torch.where(labelled(labels[part])[:, None], V.to(torch.int8), signs)

    def _ridge(self, labels: Tensor) -> Tensor:
        """Return the W that fits the labels best, float ``(K, C)``."""
        K, device = self.spec.bits, self.codes.device
        gram, moments = torch.zeros(K, K, device=device), torch.zeros(self.spec.classes, K, device=device)
        for part in row_chunks(len(labels)):
            y = labels[part]
            D = self.codes[part].float() * labelled(y)[:, None]
            gram += D.T @ D
            if y.ndim == 1:
                moments.index_add_(0, y.clamp_min(0), D)
            else:
                moments += _shares(y).T @ D
        W: Tensor = torch.linalg.solve(gram + self.nu / self.mu * torch.eye(K, device=device), moments.T)
        return W

    def _pulled(self, labels: Tensor) -> Tensor:
        """Return W y for each row, float ``(b, K)``."""
        return self.classifier.T[labels.clamp_min(0)] if labels.ndim == 1 else _shares(labels) @ self.classifier.T


def _shares(sets: Tensor) -> Tensor:
    """Return sets of labels as rows that sum to 1."""
    return sets.float() / sets.sum(1, keepdim=True).clamp_min(1)
