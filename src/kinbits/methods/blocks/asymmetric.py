"""Asymmetric codes: a network codes a sample of queries, the codes of the training set are free and swept by column."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from kinbits.errors import UsageError
from kinbits.methods.base import Batch, Method, Spec, TrainView
from kinbits.methods.blocks.discrete import (
    CodeSums,
    labelled_rows,
    row_chunks,
    similarity_ratio,
    sum_over_similar,
    sweep_bits,
    training_labels,
)
from kinbits.methods.blocks.labels import labelled


class Asymmetric(Method):
    """Base class of methods with free codes of the training rows.

    A round draws m queries Omega from the n labelled rows. With u_i = tanh(z_i) the network's output, v_j in
    {-1, +1}^K the free code of row j, S_ij = 1 for a shared label and -r otherwise, r = similar / other pairs of the
    round::

        J = sum_{i in Omega} sum_j (u_i . v_j - K S_ij)^2 + gamma sum_{i in Omega} |v_i - u_i|^2

    For ``inner`` epochs over Omega the network lowers J / (n b) on batches of b, with V fixed. Then one sweep over the
    bits k = 1..K sets each column to its exact minimiser, so that J cannot rise. With U the outputs recorded before
    each step, G = U^T U, and U' the rows of U at their places among n (elsewhere 0)::

        V_k = -sign(2 (V G_k - V_k G_kk) + Q_k)        Q = -2 K S^T U - 2 gamma U'

    Since V is fixed in a round, the fit of a batch is sum_i u_i (V^T V) u_i - 2 K u_i . (S V)_i + K^2 |S_i|^2, without
    storing S. A step costs O(b K^2), or O(b n K) with sets of labels. V takes n K bytes.

    Args:
        spec: The task.
        gamma: Weight of the distance between a query's two codes.
        samples: Queries m per round.
        inner: Epochs per round.
        soft: Use the target -r for other pairs; otherwise r = 1.
    """

    database: Tensor
    queries: Tensor
    recorded: Tensor
    ratio: Tensor
    swept: Tensor

    def __init__(self, spec: Spec, *, gamma: float, samples: int, inner: int, soft: bool) -> None:
        super().__init__(spec)
        if gamma < 0 or samples < 0 or inner < 1:
            raise UsageError(f"gamma {gamma}, samples {samples}, inner {inner}: need gamma, samples >= 0, inner >= 1")
        self.gamma, self.inner, self.soft = gamma, inner, soft
        m = min(samples, spec.n_train)
        flips = torch.from_numpy(spec.rng.integers(0, 2, (spec.n_train, spec.bits), dtype="int8"))
        self.register_buffer("database", 2 * flips - 1)
        self.register_buffer("queries", torch.zeros(m, dtype=torch.int64))
        self.register_buffer("recorded", torch.zeros(m, spec.bits))
        self.register_buffer("ratio", torch.ones(()))
        self.register_buffer("swept", torch.zeros((), dtype=torch.bool))
        self._known: CodeSums | None = None

    def epoch_rows(self, epoch: int, train: TrainView) -> Tensor:
        """Return the round's queries; draw new ones at the start of a round."""
        if epoch % self.inner == 0:
            self._draw(train)
        return self.queries[self.queries < self.spec.n_train]

    def _draw(self, train: TrainView) -> None:
        """Draw Omega from the labelled rows, in order, and compute r."""
        labels = training_labels(self, train)
        rows = labelled_rows(self, labels)
        drawn = train.rng.choice(rows, min(len(self.queries), len(rows)), replace=False)
        omega = torch.from_numpy(drawn).to(labels.device).sort().values
        self.queries.fill_(self.spec.n_train)
        self.queries[: len(omega)] = omega
        self.recorded.zero_()
        self.ratio.fill_(similarity_ratio(labels, omega, self.spec.classes) if self.soft else 1.0)

    def start_epoch(self, epoch: int, train: TrainView) -> None:
        """Compute the sums of the fixed codes that the loss needs: V^T V, sum V and n, and sums by class."""
        labels = training_labels(self, train)
        self._known = CodeSums(labels, self.database, labelled(labels), self.spec.classes)

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the fit to the labels and the distance to the free codes, both of J / (n b)."""
        if self._known is None:
            raise UsageError(f"method '{self.name}' compares with the whole training set; call start_epoch first")
        u, K, r = torch.tanh(logits), self.spec.bits, self.ratio
        self._record(batch.rows, u.detach())
        near, gram = self._known.near(batch.require_labels()), self._known.gram
        alike, n = near[:, K], gram[K, K]
        towards = (1 + r) * near[:, :K] - r * gram[K, :K]
        fit = ((u @ gram[:K, :K]) * u - 2 * K * towards * u).sum(1) + K**2 * (alike + r**2 * (n - alike))
        known = labelled(batch.require_labels()) / (n * len(batch))
        terms = {"fit": (known * fit).sum()}
        if self.gamma:
            apart = (self.database[batch.rows] - u).square().sum(1)
            terms["quantization"] = self.gamma * (known * apart).sum()
        return terms

    @torch.no_grad()
    def end_epoch(self, epoch: int, train: TrainView) -> None:
        """Sweep over the columns of V at the end of a round."""
        if (epoch + 1) % self.inner:
            return
        labels = training_labels(self, train)
        for part in row_chunks(self.spec.n_train):
            self._sweep(part, labels)
        unknown = ~labelled(labels)
        if unknown.any():
            self.database[unknown] = torch.where(self.outputs(train)[unknown] >= 0, 1, -1).to(torch.int8)
        self.swept.fill_(True)

    def train_codes(self) -> Tensor | None:
        """Return V as bits; None before the first sweep."""
        return self.database > 0 if self.swept else None

    def _sweep(self, part: slice, labels: Tensor) -> None:
        """Minimise J over one column after another, for the rows of one chunk."""
        omega = self.queries[self.queries < self.spec.n_train]
        U, r = self.recorded[: len(omega)], self.ratio
        near = sum_over_similar(labels[part], labels[omega], F.pad(U, (0, 1), value=1.0), self.spec.classes)
        Q = -2 * self.spec.bits * ((1 + r) * near[:, :-1] - r * U.sum(0))
        here = (omega >= part.start) & (omega < part.stop)
        Q[omega[here] - part.start] -= 2 * self.gamma * U[here]
        V = sweep_bits(self.database[part].float(), U.T @ U, Q).to(torch.int8)
        self.database[part] = torch.where(near[:, -1:] > 0, V, self.database[part])

    def _record(self, rows: Tensor, u: Tensor) -> None:
        """Keep the outputs of this round's queries."""
        place = torch.searchsorted(self.queries, rows).clamp_max(len(self.queries) - 1)
        mine = self.queries[place] == rows
        self.recorded[place[mine]] = u[mine].to(self.recorded.dtype)
