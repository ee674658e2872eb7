"""Labels of many images over many classes, in memory that grows with the labels and not with images times classes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Self

import numpy as np
import torch
from torch import Tensor

from kinbits._util import lazy
from kinbits.attacks.given import Numbers, as_tensor
from kinbits.errors import DataError

CELLS = 1 << 22  # numbers that are made at one time
DENSE = 1 << 24  # labels of at most so many cells are kept as a tensor, which is handier


class LabelRows:
    """The classes of each of n images: a multi-hot array ``(n, C)`` without its zeros.

    ``rows[places]`` is the labels of some images, ``len(rows)`` their number, and ``rows.shape`` is ``(n, C)``.

    Args:
        columns: Classes of all images, one image after another, ascending in each, int64 ``(m,)``.
        starts: Where those of each image begin, and m, int64 ``(n + 1,)``.
        classes: C.

    Attributes:
        columns, starts, classes: As given.
    """

    def __init__(self, columns: Tensor, starts: Tensor, classes: int) -> None:
        self.columns, self.starts, self.classes = columns, starts, classes

    @classmethod
    def from_labels(cls, labels: Numbers | LabelRows, classes: int) -> LabelRows:
        """Return labels, int ``(n,)`` with -1 for none, or multi-hot ``(n, C)``, as rows.

        Raises:
            DataError: If they have another form, or one is of no class.
        """
        if isinstance(labels, LabelRows):
            return labels
        given = labels if isinstance(labels, (Tensor, np.ndarray)) else as_tensor(labels, "labels")
        if given.ndim == 2 and given.shape[1] == classes:
            return cls._from_multi_hot(given)
        numbers = as_tensor(given, "labels")
        whole = numbers.ndim == 1 and not numbers.is_floating_point()
        if not whole or not bool(((numbers >= -1) & (numbers < classes)).all()):
            raise DataError(
                f"labels are {numbers.dtype} {tuple(numbers.shape)}; give class numbers (n,) from -1 to {classes - 1}, "
                f"or multi-hot rows (n, {classes})"
            )
        known = numbers.long() >= 0
        return cls(numbers.long()[known], _starts(known.long()), classes)

    @classmethod
    def _from_multi_hot(cls, given: Tensor | np.ndarray) -> Self:
        step, classes = max(1, CELLS // max(1, given.shape[1])), given.shape[1]
        columns, counts = [torch.zeros(0, dtype=torch.long)], [torch.zeros(0, dtype=torch.long)]
        for start in range(0, len(given), step):
            some = as_tensor(given[start : start + step], "labels") != 0
            columns.append(some.nonzero()[:, 1].to(columns[0]))
            counts.append(some.sum(dim=1).to(counts[0]))
        device = given.device if isinstance(given, Tensor) else "cpu"
        return cls(torch.cat(columns).to(device), _starts(torch.cat(counts)).to(device), classes)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __repr__(self) -> str:
        return f"LabelRows({len(self)} images, {self.classes} classes, {len(self.columns)} labels)"

    def __getitem__(self, places: Tensor | np.ndarray | Sequence[int] | slice) -> LabelRows:
        chosen = torch.arange(len(self), device=self.columns.device)[places]
        counts = self._counts[chosen]
        starts = _starts(counts)
        inside = torch.arange(int(starts[-1]), device=counts.device) - torch.repeat_interleave(starts[:-1], counts)
        return LabelRows(
            self.columns[torch.repeat_interleave(self.starts[:-1][chosen], counts) + inside], starts, self.classes
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Images and classes."""
        return len(self), self.classes

    @lazy
    def _counts(self) -> Tensor:
        return self.starts[1:] - self.starts[:-1]

    @lazy
    def _rows(self) -> Tensor:
        """Row of each label, int64 ``(m,)``."""
        return torch.repeat_interleave(torch.arange(len(self), device=self.columns.device), self._counts)

    @property
    def sizes(self) -> Tensor:
        """Number of classes of each image, float ``(n,)``."""
        return self._counts.float()

    @lazy
    def present(self) -> Tensor:
        """Which classes an image has, bool ``(C,)``."""
        found = torch.zeros(self.classes, dtype=torch.bool, device=self.columns.device)
        found[self.columns] = True
        return found

    def shared(self, labels: Tensor) -> Tensor:
        """Return how many classes each image has in common with labels, float ``(b, n)``.

        Args:
            labels: float multi-hot ``(b, C)`` on the same device.
        """
        turned, count = labels.float().T.contiguous(), len(labels)
        found, step = turned.new_zeros(len(self), count), max(1, CELLS // max(1, count))
        for start in range(0, len(self.columns), step):
            some = slice(start, start + step)
            found.index_add_(0, self._rows[some], turned[self.columns[some]])
        return found.T.contiguous()

    @lazy
    def distinct(self) -> LabelRows:
        """The distinct rows, without the empty one, in the order of `torch.unique` of the multi-hot array."""
        columns, starts = self.columns.tolist(), self.starts.tolist()
        rows = {tuple(columns[start:stop]) for start, stop in pairwise(starts)} - {()}
        ordered = sorted(rows, key=lambda row: [-column for column in row])
        flat = torch.tensor([column for row in ordered for column in row], dtype=torch.long)
        counts = torch.tensor([len(row) for row in ordered], dtype=torch.long)
        return LabelRows(flat, _starts(counts), self.classes).to(self.columns.device)

    def dense(self) -> Tensor:
        """Return a multi-hot array, float ``(n, C)``."""
        found = torch.zeros(self.shape, device=self.columns.device)
        found[self._rows, self.columns] = 1
        return found

    def to(self, device: torch.device | str) -> LabelRows:
        """Return the rows on a device."""
        return LabelRows(self.columns.to(device), self.starts.to(device), self.classes)


def handy_labels(labels: Numbers | LabelRows, classes: int) -> Tensor | LabelRows:
    """Return labels as a multi-hot tensor, float ``(n, C)``, where that is small, and as rows where it is not."""
    rows = LabelRows.from_labels(labels, classes)
    return rows.dense() if len(rows) * classes <= DENSE else rows


def _starts(counts: Tensor) -> Tensor:
    return torch.cat([counts.new_zeros(1), counts.cumsum(dim=0)])
