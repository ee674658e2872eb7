"""DDSH: labels train the network, and determine the codes of a sample directly."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from kinbits._util import cumcount
from kinbits.errors import UsageError
from kinbits.heads import Linear
from kinbits.methods.base import Batch, Method, Recipe, Spec, TrainView
from kinbits.methods.blocks.discrete import (
    CodeSums,
    balanced_minimum,
    flipped_minimum,
    labelled_rows,
    similarity_ratio,
    training_labels,
)
from kinbits.methods.blocks.labels import labelled, similar
from kinbits.methods.registry import register

ROWS_PER_CLASS = 10


@register("ddsh")
class Ddsh(Method):
    """Solve for the codes of a small sample bit by bit, and train the network to fit all other rows to them.

    A round splits the labelled rows into a sample Omega of m rows and the rest, Gamma. With b_i in {-1, +1}^K the code
    of row i, S_ij = 1 for a shared label and -r otherwise, r = similar / other pairs between all rows and Omega::

        J = sum_{i in Gamma or Omega} sum_{j in Omega} (K S_ij - b_i . b_j)^2

    Each of the round's ``inner`` epochs first replaces the codes of Omega, column by column. With R the residual of
    K S after the new columns before k, column b minimises f(b) = b^T Q b + p^T b. Here Q = -2 R between rows of Omega,
    with a zero diagonal, and p = -2 R^T b_k over Gamma. The best of m + 1 balanced codes is taken, see
    `balanced_minimum`. Then one pass over Gamma trains the network, u = tanh(z), on the mean
    over pairs of (K S_ij - u_i . b_j)^2, and keeps sign(u_i) as the code of row i.

    With ``refine``, which is not in the paper, single flips improve the new column, or the old one if it fits better.
    The flips count the columns after k too, so they lower J itself, and no column of Omega raises J.

    Only sums of codes by label are stored, not S. The memory is n K bytes, and an epoch costs O(K m^3) in addition to
    the network.

    Differences: Adam replaces SGD with a rate that falls over 150 passes. The search for balanced codes is that of the
    authors, without its shift and Cholesky factor, which cancel. If the sample has fewer than ten rows per class, it is
    drawn evenly over the classes. ``soft=False`` is the paper's S in {-1, +1}. Unlabelled rows are left out.

    Args:
        spec: The task.
        samples: Rows m of Omega; 0 chooses the paper's 100, at most n / 5.
        inner: Epochs per round; the paper has 50 rounds.
        soft: Use the target -r for other pairs, instead of -1.
        refine: Improve each column of Omega by single flips.

    Reference: Q.-Y. Jiang, X. Cui, W.-J. Li, "Deep Discrete Supervised Hashing", IEEE Transactions on Image Processing
    27(12), 2018.
    """

    recipe = Recipe(epochs=16, batch_size=64, lr=3e-4, weight_decay=1e-5, min_steps=1250)
    codes: Tensor
    sample: Tensor
    ratio: Tensor

    def __init__(
        self, spec: Spec, *, samples: int = 0, inner: int = 3, soft: bool = True, refine: bool = False
    ) -> None:
        super().__init__(spec)
        m = samples or max(2, min(100, spec.n_train // 5))
        if not 2 <= m < spec.n_train or inner < 1:
            raise UsageError(f"samples {m} of {spec.n_train} rows, inner {inner}: need 2 <= samples < rows, inner >= 1")
        self.inner, self.soft, self.refine = inner, soft, refine
        self.head = Linear(spec.feature_dim, spec.bits, std=0.01)
        flips = torch.from_numpy(spec.rng.integers(0, 2, (spec.n_train, spec.bits), dtype="int8"))
        self.register_buffer("codes", 2 * flips - 1)
        self.register_buffer("sample", torch.full((m,), spec.n_train))
        self.register_buffer("ratio", torch.ones(()))
        self._targets: Tensor | None = None

    def epoch_rows(self, epoch: int, train: TrainView) -> Tensor:
        """Return Gamma, the labelled rows outside the sample; draw a new sample at the start of a round."""
        labels = training_labels(self, train)
        if epoch % self.inner == 0:
            self._draw(labels, train.rng)
        return self._rest(labels).nonzero().flatten()

    def _draw(self, labels: Tensor, rng: np.random.Generator) -> None:
        """Draw Omega and take the share of similar pairs; evenly over the classes where they are many."""
        rows = labelled_rows(self, labels, least=2)
        count = min(len(self.sample), len(rows) // 2)
        if count < ROWS_PER_CLASS * self.spec.classes:
            rows = rows[_in_turns(labels[torch.from_numpy(rows)].cpu().numpy(), rng)][:count]
        else:
            rows = rng.choice(rows, count, replace=False)
        self.sample.fill_(self.spec.n_train)
        self.sample[:count] = torch.from_numpy(rows).to(self.sample.device).sort().values
        self.ratio.fill_(similarity_ratio(labels, self._omega, self.spec.classes) if self.soft else 1.0)

    @property
    def _omega(self) -> Tensor:
        return self.sample[self.sample < self.spec.n_train]

    def _rest(self, labels: Tensor) -> Tensor:
        """Tell which rows are in Gamma, bool ``(n,)``."""
        rest = labelled(labels)
        rest[self._omega] = False
        return rest

    @torch.no_grad()
    def start_epoch(self, epoch: int, train: TrainView) -> None:
        """Solve for the codes of Omega, with those of Gamma as the last pass left them."""
        labels = training_labels(self, train)
        omega, K, r = self._omega, self.spec.bits, float(self.ratio)
        sums = CodeSums(labels, self.codes, self._rest(labels), self.spec.classes)
        targets = self._targets = labels[omega]
        target = K * ((1 + r) * similar(targets, targets) - r)
        pull = K * ((1 + r) * sums.near(targets)[:, :K] - r * sums.gram[K, :K])
        exact = [t.cpu().double().numpy() for t in (self.codes[omega], target, pull, sums.gram[:K, :K])]
        self.codes[omega] = torch.from_numpy(solve(*exact, refine=self.refine)).to(self.codes)

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the fit of a part of Gamma to Omega, the mean over pairs of (K S - u . b)^2."""
        if self._targets is None:
            raise UsageError("method 'ddsh' compares with the round's sample; call epoch_rows and start_epoch first")
        u, K, r = torch.tanh(logits), self.spec.bits, self.ratio
        self.codes[batch.rows] = torch.where(u > 0, 1, -1).to(torch.int8)
        target = K * ((1 + r) * similar(batch.require_labels(), self._targets) - r)
        apart = (u @ self.codes[self._omega].to(u).T - target).square().mean(1)
        known = labelled(batch.require_labels())
        return {"fit": (known * apart).sum() / known.sum().clamp_min(1)}


def solve(B: np.ndarray, target: np.ndarray, pull: np.ndarray, gram: np.ndarray, *, refine: bool) -> np.ndarray:
    """Choose the codes of Omega bit by bit, those of Gamma fixed.

    Args:
        B: Codes of Omega so far, -1 and +1, float64 ``(m, K)``.
        target: K S between the rows of Omega, ``(m, m)``.
        pull: K S^T times the codes of Gamma, ``(m, K)``.
        gram: Products between the bits of Gamma's codes, ``(K, K)``.
        refine: See `Ddsh`.

    Returns:
        The new codes, float64 ``(m, K)``.
    """
    B = B.copy()
    for k in range(B.shape[1]):
        done, todo = B[:, :k], B[:, k + 1 :]
        Q, p = 2 * (done @ done.T - target), 2 * (done @ gram[:k, k] - pull[:, k])
        np.fill_diagonal(Q, 0)
        b = balanced_minimum(Q, p)
        if refine:
            Q, p = Q + 2 * todo @ todo.T, p + 2 * todo @ gram[k + 1 :, k]
            np.fill_diagonal(Q, 0)
            b = flipped_minimum(Q, p, [B[:, k], b])
        B[:, k] = b
    return B


def _in_turns(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Order rows at random, each class once before any comes twice, and so on; a set goes by one of its labels."""
    order = rng.permutation(len(labels))
    first = labels if labels.ndim == 1 else (labels * rng.random(labels.shape)).argmax(1)
    grouped = order[np.argsort(first[order], kind="stable")]
    return grouped[np.lexsort((rng.random(len(grouped)), cumcount(first[grouped])))]
