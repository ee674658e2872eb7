"""A network on the graph that guesses labels from the labels and features of neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn

from kinbits.labelling.graph import BLOCK
from kinbits.labelling.labels import PartialLabels

TARGETS = 2048  # maximum number of rows that a step learns from: it bounds the cost on large sets


@dataclass(frozen=True)
class LabelerSettings:
    """How a labeler is built and trained.

    Attributes:
        mask: Share of the labels that a step hides and learns from. 0 shows and learns from all; 1 shows none.
        hidden: Width of the hidden layer.
        dropout: Share of hidden values that are dropped.
        lr: Learning rate of Adam.
        weight_decay: Weight decay of Adam.
        steps: Number of steps.
    """

    mask: float = 0.5
    hidden: int = 64
    dropout: float = 0.3
    lr: float = 1e-2
    weight_decay: float = 5e-4
    steps: int = 120


class Labeler(nn.Module):
    """Two graph convolutions, Z = A Dropout(ReLU(A [F | Y] W1)) W2 (with biases).

    A is the symmetric graph, F the features, Y the shown labels. A F is computed once. A step computes only the hidden
    states of the neighbours of its rows.

    Args:
        adjacency: A, ``(n, n)``.
        smooth: A F, ``(n, d)``.
        classes: Number c of classes.
        settings: Sizes and settings.
    """

    def __init__(self, adjacency: csr_array, smooth: np.ndarray, classes: int, settings: LabelerSettings) -> None:
        super().__init__()
        self.adjacency, self.smooth, self.settings = adjacency, smooth, settings
        self.first = nn.Linear(smooth.shape[1] + classes, settings.hidden)
        self.second = nn.Linear(settings.hidden, classes)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, rows: np.ndarray, shown: csr_array) -> Tensor:
        """Return logits ``(m, c)`` of some rows, with the labels ``shown`` ``(n, c)`` as input."""
        block = csr_array(self.adjacency[rows])
        near = np.unique(block.indices)
        hidden = self.dropout(self._hidden(near, shown))
        heads = np.repeat(np.arange(len(rows)), np.diff(block.indptr))
        places = torch.from_numpy(np.stack([heads, np.searchsorted(near, block.indices)]))
        links = torch.sparse_coo_tensor(
            places, torch.from_numpy(block.data), (len(rows), len(near)), check_invariants=False
        )
        out: Tensor = self.second(torch.sparse.mm(links, hidden))
        return out

    def _hidden(self, rows: np.ndarray, shown: csr_array) -> Tensor:
        around = (self.adjacency[rows] @ shown).toarray()
        features = torch.from_numpy(self.smooth[rows]).float()
        return torch.relu(self.first(torch.cat([features, torch.from_numpy(around)], 1)))

    def learn(self, labels: PartialLabels, rng: np.random.Generator) -> None:
        """Train on all labels, in each step on a random hidden part of them."""
        known, mask = labels.labelled, self.settings.mask
        hidden = len(known) if mask in (0, 1) else int(np.clip(round(mask * len(known)), 1, len(known) - 1))
        optimizer = torch.optim.Adam(self.parameters(), self.settings.lr, weight_decay=self.settings.weight_decay)
        self.train()
        for _ in range(self.settings.steps):
            order = rng.permutation(known)
            shown = np.zeros(len(labels.rounds), bool)
            shown[order if mask == 0 else order[hidden:]] = True
            rows = order[:hidden][:TARGETS]
            losses = labels.loss(self(rows, labels.hot(shown)), rows)
            loss = (torch.from_numpy(labels.weights[rows]) * losses).mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    @torch.no_grad()
    def logits(self, rows: np.ndarray, labels: PartialLabels) -> Tensor:
        """Return the logits ``(m, c)`` of some rows, with all labels shown."""
        self.eval()
        shown = labels.hot(np.full(len(labels.rounds), self.settings.mask < 1))
        n = len(self.smooth)
        hidden = np.empty((n, self.settings.hidden), np.float32)
        for start in range(0, n, BLOCK):
            part = np.arange(start, min(n, start + BLOCK))
            hidden[part] = self._hidden(part, shown).numpy()
        out: Tensor = self.second(torch.from_numpy(self.adjacency[rows] @ hidden))
        return out
