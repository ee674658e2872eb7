"""Progressive representative labelling (prl)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from kinbits._util import cumcount
from kinbits.errors import UsageError
from kinbits.labelling.graph import NeighbourGraph, nearest, originals, unit_rows
from kinbits.labelling.labeler import Labeler, LabelerSettings
from kinbits.labelling.labels import PartialLabels
from kinbits.labelling.registry import Expansion, check_range, register

LARGE, SHOWN_HUBS = 10_000, 10


@register("prl")
@dataclass(frozen=True, kw_only=True)
class Prl(Expansion):
    """Label the most representative rows first, round by round, with a network on the graph of neighbours.

    Rows are linked to their k nearest others by cosine; d_j = sum_i 1[j in kNN(i)] measures how representative a row
    is. In each of ``rounds`` rounds a fresh labeler, Z = A Dropout(ReLU(A [F | Y] W1)) W2 with A = D^-1/2 (G or G^T or
    I) D^-1/2, learns from all labels there are: every step hides a share ``mask`` of them and lowers -1/|M| sum_{i in
    M} w_i log softmax(Z_i)[y_i] over the hidden ones M, with w = 1 for true labels and the confidence for guesses (sets
    of labels: binary cross-entropy). Of the ``candidates`` q unlabelled rows of the largest d, the q with the most
    confident guess get it as their label, weighted by the confidence max_c P_c.

    X. Yan, R. Chen, L. Feng, J. Yang, H. Zheng, W. Zhang, "Progressive Representative Labeling for Deep
    Semi-Supervised Learning", 2021 (arXiv 2108.06070). The graph, the choice by indegree and the rounds are the
    paper's; **the labeler's form and all numbers are a reconstruction**, since code and details are not known.

    Attributes:
        neighbours: Number k of neighbours. None takes 10 below 10,000 rows and 20 from there, at most all others.
        rounds: Number T of rounds.
        per_round: q as a share of the rows. With the defaults, at most half of all rows get a guess: the easy half.
        candidates: Size of the pool of a round, in multiples of q. With 1, the confidence has no choice.
        choice: Rows of the pool: those of the largest ``"indegree"``, ``"random"`` rows, or all rows, so that only the
            ``"confidence"`` chooses. The last two are for comparison.
        class_cap: Maximum number of guesses of one class in a round, in multiples of an even share; None sets no limit.
            Set 2 if one dense class takes all.
        stop: End if the median confidence of a pool is lower, since guesses would be mostly noise. centre: Subtract the
        mean feature before cosines. This avoids hubs near the mean, which are neighbours of rows of
            all kinds. (A cap on d at its 99th percentile has no effect: the pool is far larger than 1 %.)
        dims: Number of principal directions of the features. Time and memory grow with it, accuracy hardly does.
        copies: Smallest cosine of copies of one image, which would raise each other's d. One of them represents all in
            the graph, and shares its label with the others. Above 1: no copies.
        mask: Hidden share of the labels in a step. 0 shows and learns from all; 1 shows none.
        hidden: Width of the labeler's hidden layer.
        dropout: Dropout of the labeler.
        lr: Learning rate of the labeler (Adam).
        weight_decay: Weight decay of the labeler.
        steps: Training steps of the labeler in each round.
    """

    neighbours: int | None = None
    rounds: int = 5
    per_round: float = 0.1
    candidates: float = 2.0
    choice: Literal["indegree", "random", "confidence"] = "indegree"
    class_cap: float | None = None
    stop: float = 0.6
    centre: bool = True
    dims: int = 256
    copies: float = 0.999
    mask: float = LabelerSettings.mask
    hidden: int = LabelerSettings.hidden
    dropout: float = LabelerSettings.dropout
    lr: float = LabelerSettings.lr
    weight_decay: float = LabelerSettings.weight_decay
    steps: int = LabelerSettings.steps

    def __post_init__(self) -> None:
        for name in ("rounds", "dims", "hidden", "steps"):
            check_range(self, name, 1, np.inf)
        for name in ("per_round", "stop", "mask"):
            check_range(self, name, 0, 1)
        check_range(self, "neighbours", 1, np.inf)
        check_range(self, "candidates", 1, np.inf)
        check_range(self, "class_cap", 1, np.inf)
        check_range(self, "copies", 0, np.inf)
        check_range(self, "dropout", 0, 0.99)
        check_range(self, "weight_decay", 0, np.inf)
        check_range(self, "lr", 1e-12, np.inf)
        if self.per_round == 0:
            raise UsageError("per_round is 0, so that no round adds a label; give a share such as 0.1")
        if self.choice not in ("indegree", "random", "confidence"):
            raise UsageError(f"choice is '{self.choice}'; give indegree, random or confidence")

    def grow(self, features: np.ndarray, labels: PartialLabels, seed: int) -> dict[str, Any]:
        """As in `Expansion`."""
        points = unit_rows(features, self.centre, self.dims)
        neighbours, distances = nearest(points, self._count(len(points)))
        leads = originals(neighbours, distances, self.copies, labels.weights > 0)
        copies = labels.unlabelled[leads[labels.unlabelled] != labels.unlabelled]
        nodes = np.setdiff1d(np.arange(len(points)), copies)
        if len(copies):
            points = points[nodes]
            neighbours, _ = nearest(points, self._count(len(points)))
        inner = type(labels)(labels.values[nodes])
        report = self._rounds(NeighbourGraph(points, neighbours), inner, seed)
        new = np.flatnonzero(inner.rounds > 0)
        labels.add(nodes[new], inner.values[new], inner.weights[new], inner.rounds[new])
        shared = copies[labels.weights[leads[copies]] > 0]
        of = leads[shared]
        labels.add(shared, labels.values[of], labels.weights[of], np.maximum(labels.rounds[of], 1))
        hubs = report.pop("hubs")
        return {**report, "copies": len(copies), "hubs": [[int(nodes[row]), int(d)] for row, d in hubs]}

    def _count(self, n: int) -> int:
        return self.neighbours if self.neighbours is not None else min(10 if n < LARGE else 20, max(1, n - 1))

    def _rounds(self, graph: NeighbourGraph, labels: PartialLabels, seed: int) -> dict[str, Any]:
        rng = np.random.default_rng([seed, 13])
        rank = self._rank(graph, rng)
        wanted = max(1, round(self.per_round * len(rank)))
        history: list[dict[str, Any]] = []
        for number in range(1, self.rounds + 1):
            unlabelled = labels.unlabelled
            if not len(unlabelled):
                break
            size = len(unlabelled) if self.choice == "confidence" else round(self.candidates * wanted)
            pool = unlabelled[np.argsort(rank[unlabelled])][:size]
            labeler = self.labeler(graph, labels, rng)
            guesses, confidence, usable = labels.guess(labeler.logits(pool, labels))
            middle = float(np.median(confidence))
            if middle < self.stop:
                history.append({"round": number, "added": 0, "median_confidence": middle})
                break
            chosen = self._best(labels, guesses, confidence, usable, wanted)
            labels.add(pool[chosen], guesses[chosen], confidence[chosen], number)
            history.append({"round": number, "added": len(chosen), "median_confidence": middle})
        most = np.argsort(-graph.indegree, kind="stable")[:SHOWN_HUBS]
        return {"rounds": history, "hubs": list(zip(most, graph.indegree[most], strict=True))}

    def _rank(self, graph: NeighbourGraph, rng: np.random.Generator) -> np.ndarray:
        """Return the place of each node in the order of the pools; ties are in random order."""
        chance = rng.permutation(len(graph.indegree))
        if self.choice == "random":
            return chance
        return np.argsort(np.lexsort((chance, -graph.indegree)))

    def labeler(self, graph: NeighbourGraph, labels: PartialLabels, rng: np.random.Generator) -> Labeler:
        """Train a new labeler on all labels."""
        settings = LabelerSettings(self.mask, self.hidden, self.dropout, self.lr, self.weight_decay, self.steps)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**31)))
            labeler = Labeler(graph.adjacency, graph.smooth, len(labels.classes), settings)
            labeler.learn(labels, rng)
        return labeler

    def _best(
        self, labels: PartialLabels, guesses: np.ndarray, confidence: np.ndarray, usable: np.ndarray, wanted: int
    ) -> np.ndarray:
        """Return the places of the most confident guesses, at most ``class_cap`` even shares of a class."""
        order = np.argsort(-confidence, kind="stable")
        order = order[usable[order]]
        if self.class_cap is not None:
            most = max(1, round(self.class_cap * wanted / len(labels.classes)))
            kinds = labels.kinds(guesses[order])
            order = order[_place_in_class(kinds) < most]
        return np.asarray(order[:wanted])


def _place_in_class(kinds: np.ndarray) -> np.ndarray:
    """Number the members of each class in their given order, int64 ``(n,)``."""
    order = np.argsort(kinds, kind="stable")
    places = np.empty(len(kinds), np.int64)
    places[order] = cumcount(kinds[order])
    return places
