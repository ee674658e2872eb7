"""Training sets: what the trainer and a method know about the rows of a run."""

from __future__ import annotations

import hashlib
import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack

import numpy as np
import torch
from torch import Tensor, nn

from kinbits._util import Modality, memory_bytes
from kinbits.data import MappedRows, select_rows
from kinbits.errors import DataError, UsageError
from kinbits.methods import Batch, Method, TrainView, update_ema
from kinbits.training.distributed import share_buffers

if TYPE_CHECKING:
    from kinbits.data import Pairs
    from kinbits.labelling import ExpandedLabels

IN_MEMORY = 2 << 30
CHUNK = 8192


class Known(TypedDict, total=False):
    """What may be known about the rows of a set besides labels and texts.

    Attributes:
        pairs: Pairs of these rows.
        weights: Probability with which each row takes part in an epoch, ``(n,)``; without it, all rows always do. In
            expectation every loss counts a row by its weight, and a pair of rows by the product of theirs.
        key: What identifies the data in a checkpoint.
    """

    pairs: Pairs | None
    weights: np.ndarray | None
    key: str


class TrainingSet(TrainView):
    """The rows of a run, with what the trainer needs beyond what a method may see.

    What is known about the rows is given when a set is built; `select` builds another one of some rows. Only the set
    itself follows a run, by `setup`, `reseed` and `after_step`.

    Args:
        labels: int64 ``(n,)`` or multi-hot ``(n, C)``, or None.
        texts: Text features ``(n, t)``, or None.
        known: See `Known`.

    Attributes:
        backbone: The network that is trained along, or None.
        ema_backbone: A copy that follows it slowly, for methods that ask for one, or None.
    """

    backbone: nn.Module | None = None
    ema_backbone: nn.Module | None = None

    def __init__(
        self,
        labels: np.ndarray | None = None,
        texts: np.ndarray | MappedRows | None = None,
        **known: Unpack[Known],
    ) -> None:
        self.labels = None if labels is None else torch.from_numpy(np.ascontiguousarray(labels))
        self.pairs = known.get("pairs")
        self.weights = known.get("weights")
        self.key = known.get("key", "")
        self.rng = np.random.default_rng(0)
        self.device = torch.device("cpu")
        self._texts = None if texts is None else mapped(texts)
        self._chunk = CHUNK
        self._views, self._drop_last = 0, False
        self._sharers = 1  # processes that share each batch
        self._ema_decay: float | None = None

    @abstractmethod
    def select(self, rows: np.ndarray, labels: ExpandedLabels | None = None, pairs: Pairs | None = None) -> Self:
        """Return some rows as a set of their own.

        Args:
            rows: int64 ``(m,)``.
            labels: Labels of all rows of this set, which take the place of those given; None keeps those given.
            pairs: Pairs of the selected rows, or None.
        """

    def _select_targets(self, rows: np.ndarray, labels: ExpandedLabels | None, pairs: Pairs | None) -> dict[str, Any]:
        """Return what the constructor takes about some rows; the key covers labels and pairs."""
        own = None if self.labels is None else self.labels.cpu().numpy()
        arrays = {"labels": own, "texts": self._texts, "weights": self.weights}
        found: dict[str, Any] = {name: None if array is None else part(array, rows) for name, array in arrays.items()}
        found |= {"pairs": pairs, "key": self.key}
        if labels is not None:
            assert own is not None
            values = labels.labels[rows].astype(own.dtype)
            found |= {"labels": values, "weights": labels.weights[rows]}
            found["key"] = _digest(found["key"].encode(), values.tobytes(), found["weights"].tobytes())
        if pairs is not None:
            found["key"] = _digest((found["key"] + pairs.fingerprint).encode())
        return found

    @abstractmethod
    def batch(self, rows: np.ndarray, seed: Sequence[int]) -> Batch:
        """Return the rows as a batch on the device; ``seed`` fixes what is random in it."""

    def setup(self, fabric: Any, method: Method | None = None, epochs: int = 0) -> None:
        """Get ready for a run: move to its device, and note what the batches of a method hold.

        Args:
            fabric: A `lightning_fabric.Fabric`, launched.
            method: What learns from this set; None if it only validates.
            epochs: Length of the run.
        """
        self.device, self.epochs = fabric.device, epochs
        self._texts = None if self._texts is None else resident(self._texts)
        if method is not None:
            self._views, self._drop_last, self._ema_decay = method.views, method.drop_last, method.ema_decay
        if self.labels is not None:
            self.labels = self.labels.to(self.device)

    def reseed(self, seed: Sequence[int]) -> None:
        """Draw from here on as this seed says; the loop calls it before every epoch."""
        self.rng = np.random.default_rng(seed)

    def after_step(self) -> None:
        """Move the slow copy of the backbone."""
        decay = 1.0 if self._ema_decay is None else self._ema_decay
        if decay < 1 and self.ema_backbone is not None and self.backbone is not None:
            update_ema(self.ema_backbone, self.backbone, decay)

    def share_statistics(self) -> None:
        """Give all processes the same backbone, before anything is decided from its features."""
        if self.backbone is not None:
            share_buffers(self.backbone)

    def draw_rows(self, rows: np.ndarray, seed: Sequence[int]) -> np.ndarray:
        """Return those of the rows ``(m,)``, or of the groups ``(m, g)`` with all their rows, that take part."""
        if self.weights is None:
            return rows
        present = np.random.default_rng(seed).random(len(self)) < self.weights
        return np.asarray(rows[present[rows].reshape(len(rows), -1).all(1)])

    def batches(self, rows: np.ndarray, size: int, seed: Sequence[int]) -> Iterator[Batch]:
        """Yield the rows in batches; a last batch of one row is left out, since nothing can be learned from it.

        So is one of fewer rows than processes that share it. For methods with ``drop_last``, a smaller last batch is
        left out too. A single batch may have any size, but for a row of each process.

        Args:
            rows: int64 ``(m,)``, or groups ``(m, g)``, which are not torn apart.
            size: Rows per batch; at least one group.
            seed: Fixes what is random in the batches.

        Raises:
            UsageError: If more processes share a batch than it has rows.
        """
        if rows.ndim == 2:
            group = rows.shape[1]
            rows, size = rows.reshape(-1), max(1, size // group) * group
        if min(size, len(rows)) < self._sharers:
            raise UsageError(
                f"{self._sharers} processes share each batch of {min(size, len(rows))} images; use fewer devices, or a "
                "larger batch_size"
            )
        least = min(size if self._drop_last else max(2, self._sharers), len(rows))
        for step, start in enumerate(range(0, len(rows), size)):
            part = rows[start : start + size]
            if len(part) >= least:
                yield self.batch(part, [*seed, step])

    def features(self, modality: Modality = "image") -> Tensor:
        """Return the features of all rows at once, float ``(n, d)``; 4nd bytes.

        Raises:
            DataError: If they are larger than the memory of this machine.
        """
        stored = self._stored(modality)
        if stored is not None and 4 * math.prod(stored.shape) > memory_bytes():
            raise DataError(
                f"this method reads the features of all {len(self):,} rows at once, "
                f"{4e-9 * math.prod(stored.shape):,.0f} GB, and this machine has {1e-9 * memory_bytes():,.0f} GB of "
                f"memory; give fewer rows, or choose a method that learns by batches"
            )
        return super().features(modality)

    def _stored(self, modality: Modality) -> np.ndarray | MappedRows | None:
        """Return the stored features of a modality; None if they are computed from images."""
        return self._texts if modality == "text" else None

    def _text_rows(self, rows: np.ndarray) -> Tensor | None:
        return None if self._texts is None else floats(self._texts, rows, self.device)

    def _label_rows(self, rows: np.ndarray) -> Tensor | None:
        return None if self.labels is None else self.labels[torch.from_numpy(rows).to(self.device)]

    def chunks(self, modality: Modality = "image", rows: np.ndarray | None = None) -> Iterator[Tensor]:
        """Yield all rows' features in order, or those of some rows."""
        rows = np.arange(len(self)) if rows is None else rows
        for start in range(0, len(rows), self._chunk):
            part = rows[start : start + self._chunk]
            if modality == "text":
                texts = self._text_rows(part)
                assert texts is not None, "this data has no text"
                yield texts
            else:
                yield self._image_rows(part)

    @abstractmethod
    def _image_rows(self, rows: np.ndarray) -> Tensor: ...


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()


def mapped(array: np.ndarray | MappedRows) -> np.ndarray | MappedRows:
    """Return an array as it is, or what is on disk as `MappedRows`, of which nothing is copied before a run."""
    return MappedRows([array]) if isinstance(array, np.memmap) else array


def part(array: np.ndarray | MappedRows, rows: np.ndarray) -> np.ndarray | MappedRows:
    """Return some rows ``(m,)`` of an array: itself, if these are all rows in their order."""
    whole = len(rows) == len(array) and np.array_equal(rows, np.arange(len(rows)))
    return array if whole else select_rows(array, rows)


def resident(array: np.ndarray | MappedRows) -> np.ndarray | MappedRows:
    """Bring what is on disk into memory unless it is very large."""
    return np.asarray(array) if array.nbytes <= IN_MEMORY else array


def floats(array: np.ndarray | MappedRows, rows: np.ndarray, device: torch.device) -> Tensor:
    """Return rows of an array ``(n, d)`` on a device, float32 ``(m, d)``."""
    return torch.from_numpy(np.asarray(array[rows])).to(device).float()
