"""Progressive representative labelling (prl)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from scipy.sparse import csr_array

from kinbits._util import cumcount
from kinbits.errors import UsageError
from kinbits.labelling.graph import indegree, nearest, originals, smoothed, symmetric, unit_rows
from kinbits.labelling.labeler import Labeler, Recipe
from kinbits.labelling.labels import PartialLabels
from kinbits.labelling.registry import Expansion, check_range, register

LARGE, SHOWN_HUBS = 10_000, 10


@register("prl")
@dataclass(frozen=True, kw_only=True)
class Prl(Expansion):
    """Label the most representative rows first, round by round, with a network on the graph of neighbours.

    Rows are linked to their k nearest others by cosine; d_j = sum_i 1[j in kNN(i)] tells how representative a row is.
    In each of ``rounds`` rounds a fresh labeler, Z = A Dropout(ReLU(A [F | Y] W1)) W2 with A = D^-1/2 (G or G^T or I)
    D^-1/2, learns from all labels there are: every step hides a share ``mask`` of them and lowers
    -1/|M| sum_{i in M} w_i log softmax(Z_i)[y_i] over the hidden ones M, with w = 1 for true labels and the confidence
    for guesses (sets of labels: binary cross-entropy). Of the ``candidates`` q unlabelled rows of the largest d, the q
    guessed with the largest confidence max_c P_c get their guess as label, weighed by that confidence.

    X. Yan, R. Chen, L. Feng, J. Yang, H. Zheng, W. Zhang, "Progressive Representative Labeling for Deep
    Semi-Supervised Learning", 2021 (arXiv 2108.06070). The graph, the choice by indegree and the rounds are the
    paper's; **the labeler's form and all numbers are a reconstruction**, since neither code nor details are known.

    Args:
        neighbours: k; None takes 10 below 10,000 rows and 20 from there, or all others of fewer rows: enough links to
            reach a labelled row.
        rounds: T. More of them add fewer rows at a time for the same total.
        per_round: q as a share of the rows. With 5 rounds half of all rows at most get a guess: the easy half.
        candidates: The pool of a round, in multiples of q; 1 leaves no choice to the confidence.
        choice: Who is in the pool: rows of the largest ``"indegree"``, ``"random"`` rows, or all of them, so that
            ``"confidence"`` alone chooses; the last two are for comparison.
        class_cap: Most guesses of one class in a round, in multiples of an even share; None sets no limit. Set 2 where
            one dense class takes all.
        stop: End when the median confidence of a pool is below it: guesses would then be mostly noise.
        centre: Subtract the mean feature before cosines, against hubs: rows near the mean that are neighbours of rows
            of every kind. (A cap on d at its 99th percentile would change nothing: the pool is far larger than 1 %.)
        dims: Principal directions of the features that are kept; time and memory grow with it, accuracy hardly.
        copies: Cosine from which an image counts as a copy. Copies of one image would elect each other; one of them
            stands for all in the graph and shares its label with the rest. Above 1: none.
        mask: Hidden share of the labels in a step; 0 shows and learns from all, 1 never shows one.
        hidden: Width of the labeler.
        dropout: Of the labeler.
        lr: Of the labeler (Adam).
        weight_decay: Of the labeler.
        steps: Of the labeler, in each round.
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
    mask: float = Recipe.mask
    hidden: int = Recipe.hidden
    dropout: float = Recipe.dropout
    lr: float = Recipe.lr
    weight_decay: float = Recipe.weight_decay
    steps: int = Recipe.steps

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
            raise UsageError("per_round is 0; a round that adds nothing teaches nothing, give a share such as 0.1")
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
        told = self._rounds(Nodes(points, neighbours), inner, seed)
        new = np.flatnonzero(inner.rounds > 0)
        labels.add(nodes[new], inner.values[new], inner.weights[new], inner.rounds[new])
        shared = copies[labels.weights[leads[copies]] > 0]
        of = leads[shared]
        labels.add(shared, labels.values[of], labels.weights[of], np.maximum(labels.rounds[of], 1))
        hubs = told.pop("hubs")
        return {**told, "copies": len(copies), "hubs": [[int(nodes[row]), int(d)] for row, d in hubs]}

    def _count(self, n: int) -> int:
        return self.neighbours if self.neighbours is not None else min(10 if n < LARGE else 20, max(1, n - 1))

    def _rounds(self, nodes: Nodes, labels: PartialLabels, seed: int) -> dict[str, Any]:
        rng = np.random.default_rng([seed, 13])
        rank = self._rank(nodes, rng)
        wanted = max(1, round(self.per_round * len(rank)))
        told: list[dict[str, Any]] = []
        for number in range(1, self.rounds + 1):
            unlabelled = labels.unlabelled
            if not len(unlabelled):
                break
            size = len(unlabelled) if self.choice == "confidence" else round(self.candidates * wanted)
            pool = unlabelled[np.argsort(rank[unlabelled])][:size]
            labeler = self.labeler(nodes, labels, rng)
            guesses, confidence, usable = labels.guess(labeler.logits(pool, labels))
            middle = float(np.median(confidence))
            if middle < self.stop:
                told.append({"round": number, "added": 0, "median_confidence": middle})
                break
            chosen = self._best(labels, guesses, confidence, usable, wanted)
            labels.add(pool[chosen], guesses[chosen], confidence[chosen], number)
            told.append({"round": number, "added": len(chosen), "median_confidence": middle})
        most = np.argsort(-nodes.indegree, kind="stable")[:SHOWN_HUBS]
        return {"rounds": told, "hubs": list(zip(most, nodes.indegree[most], strict=True))}

    def _rank(self, nodes: Nodes, rng: np.random.Generator) -> np.ndarray:
        """Return each node's place in the order in which nodes enter a pool; ties are broken by chance."""
        chance = rng.permutation(len(nodes.indegree))
        if self.choice == "random":
            return chance
        return np.argsort(np.lexsort((chance, -nodes.indegree)))

    def labeler(self, nodes: Nodes, labels: PartialLabels, rng: np.random.Generator) -> Labeler:
        """Train a fresh labeler on all labels there are."""
        recipe = Recipe(self.mask, self.hidden, self.dropout, self.lr, self.weight_decay, self.steps)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**31)))
            labeler = Labeler(nodes.adjacency, nodes.smooth, len(labels.classes), recipe)
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


class Nodes:
    """The rows that make the graph, and what is computed of them once."""

    def __init__(self, points: np.ndarray, neighbours: np.ndarray) -> None:
        self.indegree = indegree(neighbours)
        self.adjacency: csr_array = symmetric(neighbours)
        self.smooth = smoothed(self.adjacency, points)


def _place_in_class(kinds: np.ndarray) -> np.ndarray:
    """Number the members of each class in the order in which they stand."""
    order = np.argsort(kinds, kind="stable")
    places = np.empty(len(kinds), np.int64)
    places[order] = cumcount(kinds[order])
    return places
