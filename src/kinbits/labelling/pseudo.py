"""Plain pseudo-labelling (pseudo)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kinbits.labelling.graph import blocks
from kinbits.labelling.labels import PartialLabels
from kinbits.labelling.registry import Expansion, check_range, register


@register("pseudo")
@dataclass(frozen=True, kw_only=True)
class Pseudo(Expansion):
    """Train a linear classifier on the given labels, and guess the labels of all other rows.

    The simple alternative to `prl`, which also weights guesses by their confidence: softmax regression (logistic for
    sets of labels) on standardised features, with a penalty on squared weights, solved by L-BFGS.

    D.-H. Lee, "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural Networks",
    ICML workshop 2013. There the network itself guesses again in every epoch.

    Attributes:
        threshold: Minimum confidence of a guess; 0 takes all.
        penalty: Weight of the mean squared weight of the classifier.
    """

    threshold: float = 0.0
    penalty: float = 1e-2

    def __post_init__(self) -> None:
        check_range(self, "threshold", 0, 1)
        check_range(self, "penalty", 0, np.inf)

    def grow(self, features: np.ndarray, labels: PartialLabels, seed: int) -> dict[str, Any]:
        """As in `Expansion`; nothing is random here."""
        mean, deviation = _moments(features)
        known = labels.labelled

        def standard(rows: np.ndarray) -> Tensor:
            return torch.from_numpy(((features[rows] - mean) / deviation).astype(np.float32))

        linear = nn.Linear(features.shape[1], len(labels.classes))
        nn.init.zeros_(linear.weight)
        nn.init.zeros_(linear.bias)
        _solve(linear, standard(known), labels, known, self.penalty)
        added = 0
        with torch.no_grad():
            for _, rows in blocks(labels.unlabelled):
                guesses, confidence, usable = labels.guess(linear(standard(rows)))
                kept = usable & (confidence >= self.threshold)
                labels.add(rows[kept], guesses[kept], confidence[kept], 1)
                added += int(kept.sum())
        return {"rounds": [{"round": 1, "added": added}]}


def _moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation of each column, float32 ``(d,)``; a constant column gets deviation 1."""
    sums = np.zeros((2, features.shape[1]))
    for _, part in blocks(features):
        part = part.astype(np.float64)
        sums += [part.sum(0), np.square(part).sum(0)]
    mean, square = sums / len(features)
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    return mean.astype(np.float32), np.where(deviation > 1e-6, deviation, 1).astype(np.float32)


def _solve(linear: nn.Linear, inputs: Tensor, labels: PartialLabels, rows: np.ndarray, penalty: float) -> None:
    """Minimise the mean loss plus the penalty."""
    optimizer = torch.optim.LBFGS(linear.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = labels.loss(linear(inputs), rows).mean() + penalty * linear.weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
