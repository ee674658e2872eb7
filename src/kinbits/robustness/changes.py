"""Changed queries: made by an edit or an attack, encoded, and measured on the clean database."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from kinbits import hamming
from kinbits.attacks import Attack, Victim
from kinbits.data import Dataset, Edit, data_uri, edit_image
from kinbits.evaluation import example_of
from kinbits.robustness.clean_search import FIRST, METRIC, CleanSearch
from kinbits.robustness.knowledge import PROTOTYPE, Knowledge
from kinbits.robustness.row import ChangedExample, Group, RobustnessRow
from kinbits.robustness.visibility import to_bytes, visibility

OPPOSITE = "opposite code"  # name of a bound
BATCH = 64  # images that are attacked together
SIDE = 192  # pixels of a picture
Progress = Callable[[float], None]  # is given the share that is done


@dataclass(frozen=True)
class Changes:
    """Measures changed queries.

    Attributes:
        queries: The q queries.
        own: The search of the measured model.
        other: The search of the model that the same images are given to, or None.
        victim: The measured model as attacks see it; None where nothing is attacked.
        knowledge: What attacks know; None without labels.
        clean: The queries as the model takes them, uint8 ``(q, 3, s, s)``.
        codes: Their codes, uint8 ``(q, w)``.
        precisions: Their average precisions, float64 ``(q,)``.
        seed: Seed of everything random.
    """

    queries: Dataset
    own: CleanSearch
    other: CleanSearch | None
    victim: Victim | None
    knowledge: Knowledge | None
    clean: np.ndarray
    codes: hamming.Codes
    precisions: np.ndarray
    seed: int

    def unchanged(self) -> RobustnessRow:
        """Return the row of clean queries."""
        row, _ = self._row("clean", "clean", self.codes)
        return self._with_transfer(row, lambda other: other.pixels(self.queries.image))

    def edit(self, edit: Edit) -> RobustnessRow:
        """Edit the queries as they are given, and return the row; image i is edited with seed + i."""
        changed = self.edited(edit)
        pixels = self.own.pixels(changed)
        codes = self.own.encode(pixels)
        row, precisions = self._row("edit", str(edit), codes)
        row = self._with_transfer(row, lambda other: other.pixels(changed))
        return replace(row, example=self._example(pixels, codes, precisions, self.queries.image, changed))

    def edited(self, edit: Edit) -> Callable[[int], Image.Image]:
        """Return a function of a query's row that gives its edited image."""
        return lambda row: edit_image(self.queries.image(row), edit, seed=self.seed + row)

    def attack(self, group: Group, name: str, attack: Attack, progress: Progress = lambda share: None) -> RobustnessRow:
        """Attack the queries at the model's input size, round the images to 8 bits, and return the row.

        Args:
            group: Group of the row.
            name: Name of the row.
            attack: The attack.
            progress: Called with the share that is done.
        """
        started, made = time.perf_counter(), []
        for rows in np.array_split(np.arange(len(self.clean)), -(-len(self.clean) // BATCH)):
            made.append(to_bytes(self._attacked(attack, rows)).cpu())
            progress((rows[-1] + 1) / len(self.clean))
        seconds = (time.perf_counter() - started) / len(self.clean)
        pixels = torch.cat(made).numpy()
        seen = visibility(_floats(pixels), _floats(self.clean))
        codes = self.own.encode(pixels)
        row, precisions = self._row(group, name, codes)
        row = replace(row, **vars(seen), seconds=seconds, epsilon=attack.epsilon)
        row = self._with_transfer(row, lambda other: other.resized(pixels))
        if group == "curve":
            return row
        clean_of, changed_of = (lambda query: _image(self.clean[query])), (lambda query: _image(pixels[query]))
        return replace(row, example=self._example(pixels, codes, precisions, clean_of, changed_of))

    def _attacked(self, attack: Attack, rows: np.ndarray) -> Tensor:
        assert self.victim is not None
        known: dict[str, Any] = {}
        if self.knowledge is not None:
            part = torch.from_numpy(rows)
            sides = {"labels": self.knowledge.labels[part], "targets": self.knowledge.targets[part]}
            known = {**sides, "reference": self.knowledge.reference}
        return attack(self.victim, _floats(self.clean[rows]), seed=self.seed, rows=rows.tolist(), **known)

    def prototypes(self) -> RobustnessRow:
        """Return the row of codes that a network of labels learns."""
        assert self.knowledge is not None
        return self._row("bound", PROTOTYPE, *self.knowledge.prototypes(self.seed))[0]

    def bounds(self) -> Iterator[RobustnessRow]:
        """Yield rows of codes that no image need reach."""
        yield self._row("bound", OPPOSITE, ~self.codes & _mask(self.own.model.bits))[0]
        if self.knowledge is not None:
            for name, (away, at_target) in self.knowledge.bounds(self.seed).items():
                yield self._row("bound", name, away, at_target)[0]

    def _row(
        self, group: Group, name: str, codes: hamming.Codes, at_target: hamming.Codes | None = None
    ) -> tuple[RobustnessRow, np.ndarray]:
        """Measure codes; return the row, and the average precision of each query."""
        found, aimed = self.own.measure(codes), codes if at_target is None else at_target
        by_target = {} if self.knowledge is None else self.knowledge.measure(aimed, self.own)
        precisions = found.per_query[METRIC]
        each = tuple(None if np.isnan(one) else one for one in precisions.tolist())
        numbers = (found[METRIC], by_target.get(METRIC), found[FIRST], by_target.get(FIRST))
        return RobustnessRow(group, name, *numbers, precisions=each), precisions

    def _with_transfer(self, row: RobustnessRow, pixels_of: Callable[[CleanSearch], np.ndarray]) -> RobustnessRow:
        if self.other is None:
            return row
        precisions = self.other.average_precisions(self.other.encode(pixels_of(self.other)))
        return replace(row, transfer_map=float(np.nanmean(precisions)))

    def _example(
        self,
        pixels: np.ndarray,
        codes: hamming.Codes,
        precisions: np.ndarray,
        clean_of: Callable[[int], Image.Image],
        changed_of: Callable[[int], Image.Image],
    ) -> ChangedExample:
        """Show the query that lost most, by its pixels, codes and average precision, and by two pictures."""
        query = int(np.nanargmax(self.precisions - precisions))
        before = example_of(self.own.search(self.codes), query, self.precisions[query])
        after = example_of(self.own.search(codes), query, precisions[query])
        difference, factor = _difference(pixels[query], self.clean[query])
        return ChangedExample(
            replace(before, picture=data_uri(clean_of(query), SIDE)),
            replace(after, picture=data_uri(changed_of(query), SIDE)),
            data_uri(difference, SIDE),
            factor,
        )


def _floats(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels).float() / 255


def _image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def _difference(pixels: np.ndarray, clean: np.ndarray) -> tuple[Image.Image, float]:
    """Return a change ``(3, s, s)`` on grey, amplified as far as it fits, and how many times."""
    change = pixels.astype(np.int16) - clean
    factor = max(1, 127 // max(1, int(np.abs(change).max())))
    return _image((128 + factor * change).clip(0, 255).astype(np.uint8)), float(factor)


def _mask(bits: int) -> hamming.Codes:
    """Return a packed code, uint8 ``(1, w)``, with all bits 1, and 0 where a code is padded."""
    return hamming.pack(np.ones((1, bits), bool))
