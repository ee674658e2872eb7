"""Training sets: cached features of a frozen backbone, or pixels through a backbone that is trained."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Protocol, Self, TypedDict, Unpack

import numpy as np
import torch
from torch import Tensor, nn

from kinbits._util import Modality
from kinbits.methods import Batch, Method, TrainSet, ema_copy, frozen_copy, update_ema
from kinbits.training.distributed import gather_rows, my_share, share_buffers

if TYPE_CHECKING:
    from kinbits.data import Pairs
    from kinbits.labelling import ExpandedLabels

IN_MEMORY = 2 << 30
CHUNK, CHUNK_CELLS = 8192, 1 << 25


class Known(TypedDict, total=False):
    """What may be known about the rows of a set besides labels and texts.

    Attributes:
        pairs: Pairs of these rows.
        weights: Probability with which each row takes part in an epoch, ``(n,)``; without it, all rows always do. In
            expectation every loss counts a row by its weight, and a pair of rows by the product of theirs.
        is_true: Which labels are true and may score others, bool ``(n,)``; without it, all.
        key: What identifies the data in a checkpoint.
    """

    pairs: Pairs | None
    weights: np.ndarray | None
    is_true: np.ndarray | None
    key: str


class TrainingSet(TrainSet):
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
        self, labels: np.ndarray | None = None, texts: np.ndarray | None = None, **known: Unpack[Known]
    ) -> None:
        self.labels = None if labels is None else torch.from_numpy(np.ascontiguousarray(labels))
        self.pairs = known.get("pairs")
        self.weights, self.is_true = known.get("weights"), known.get("is_true")
        self.key = known.get("key", "")
        self.rng = np.random.default_rng(0)
        self.device = torch.device("cpu")
        self._texts = None if texts is None else _resident(texts)
        self._chunk = CHUNK
        self._views, self._drop_last = 0, False
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
        found: dict[str, Any] = {
            "labels": None if self.labels is None else self.labels.numpy()[rows],
            "texts": None if self._texts is None else self._texts[rows],
            "pairs": pairs,
            "key": self.key,
        }
        if labels is not None:
            assert self.labels is not None
            values = labels.labels[rows].astype(self.labels.numpy().dtype)
            found |= {"labels": values, "weights": labels.weights[rows], "is_true": labels.true[rows]}
            found["key"] = _digest(found["key"].encode(), values.tobytes(), found["weights"].tobytes())
        if pairs is not None:
            found["key"] = _digest((found["key"] + pairs.fingerprint).encode())
        return found

    @abstractmethod
    def batch(self, rows: np.ndarray, seed: Sequence[int]) -> Batch:
        """Return the rows as a batch on the device; ``seed`` fixes what is random in it."""

    def setup(self, fabric: Any, method: Method, epochs: int) -> None:
        """Get ready for a run of a method: move to its device, and note what its batches hold."""
        self.device, self.epochs = fabric.device, epochs
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

        For methods with ``drop_last``, a smaller last batch is left out too. A single batch may have any size.

        Args:
            rows: int64 ``(m,)``, or groups ``(m, g)``, which are not torn apart.
            size: Rows per batch; at least one group.
            seed: Fixes what is random in the batches.
        """
        if rows.ndim == 2:
            group = rows.shape[1]
            rows, size = rows.reshape(-1), max(1, size // group) * group
        least = min(size if self._drop_last else 2, len(rows))
        for step, start in enumerate(range(0, len(rows), size)):
            part = rows[start : start + size]
            if len(part) >= least:
                yield self.batch(part, [*seed, step])

    def _text_rows(self, rows: np.ndarray) -> Tensor | None:
        return None if self._texts is None else _floats(self._texts, rows, self.device)

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


class FeatureSet(TrainingSet):
    """Features of a frozen backbone.

    Args:
        features: float16 or float32 ``(n, d)``, in memory or memory-mapped.
        labels: int64 ``(n,)`` or multi-hot ``(n, C)``, or None.
        texts: Text features ``(n, t)``, or None.
        views: Features of random views, each ``(n, d)``; two of them are drawn for each row and step.
        known: See `Known`.
    """

    frozen = True

    def __init__(
        self,
        features: np.ndarray,
        labels: np.ndarray | None = None,
        texts: np.ndarray | None = None,
        views: Sequence[np.ndarray] = (),
        **known: Unpack[Known],
    ) -> None:
        super().__init__(labels, texts, **known)
        self._features = _resident(features)
        self._chunk = max(1, min(CHUNK, CHUNK_CELLS // features.shape[1]))  # maps are wide
        self._view_features = [_resident(view) for view in views]

    def __len__(self) -> int:
        return len(self._features)

    @property
    def stored(self) -> np.ndarray:
        """The features as they are kept, float16 or float32 ``(n, d)``."""
        return self._features

    def select(self, rows: np.ndarray, labels: ExpandedLabels | None = None, pairs: Pairs | None = None) -> Self:
        """Return some rows as a set of their own."""
        views = [view[rows] for view in self._view_features]
        return type(self)(self._features[rows], views=views, **self._select_targets(rows, labels, pairs))

    def batch(self, rows: np.ndarray, seed: Sequence[int]) -> Batch:
        """Return rows of the stored features. Every process takes the whole batch: a head is cheap."""
        return Batch(
            rows=torch.from_numpy(rows).to(self.device),
            features=self._image_rows(rows),
            labels=self._label_rows(rows),
            views=self._draw_views(rows, seed),
            texts=self._text_rows(rows),
        )

    def _image_rows(self, rows: np.ndarray) -> Tensor:
        return _floats(self._features, rows, self.device)

    def _draw_views(self, rows: np.ndarray, seed: Sequence[int]) -> tuple[Tensor, ...]:
        if not self._views:
            return ()
        order = np.random.default_rng(list(seed)).random((len(rows), len(self._view_features))).argsort(1)
        drawn = []
        for chosen in order.T[: self._views]:
            view = np.stack([self._view_features[v][row] for v, row in zip(chosen, rows, strict=True)])
            drawn.append(torch.from_numpy(view).to(self.device).float())
        return tuple(drawn)


class PixelReader(Protocol):
    """Where a `PixelSet` reads images from."""

    def __len__(self) -> int: ...

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return preprocessed images, uint8 ``(b, 3, s, s)``."""


class PixelSet(TrainingSet):
    """Images through a backbone that is trained along with the head.

    Args:
        pixels: The images.
        backbone: Maps float ``(b, 3, s, s)`` in [0, 1] to features ``(b, d)``.
        augment: Random change of a float batch, or None.
        view: Random change that makes the views of two-view methods, or None.
        labels: int64 ``(n,)`` or multi-hot ``(n, C)``, or None.
        texts: Text features ``(n, t)``, or None.
        rows: The rows of ``pixels`` that the set consists of, int64 ``(n,)``; None takes all.
        known: See `Known`.
    """

    frozen = False

    def __init__(
        self,
        pixels: PixelReader,
        backbone: nn.Module,
        augment: nn.Module | None = None,
        view: nn.Module | None = None,
        labels: np.ndarray | None = None,
        texts: np.ndarray | None = None,
        rows: np.ndarray | None = None,
        **known: Unpack[Known],
    ) -> None:
        super().__init__(labels, texts, **known)
        self._pixels, self.backbone, self._augment, self._view = pixels, backbone, augment, view
        self._rows = np.arange(len(pixels)) if rows is None else rows
        self._parallel: Any = None
        self._autocast: Any = nullcontext

    def __len__(self) -> int:
        return len(self._rows)

    def select(self, rows: np.ndarray, labels: ExpandedLabels | None = None, pairs: Pairs | None = None) -> Self:
        """Return some rows as a set of their own, with the same backbone."""
        assert self.backbone is not None
        targets = self._select_targets(rows, labels, pairs)
        return type(self)(self._pixels, self.backbone, self._augment, self._view, rows=self._rows[rows], **targets)

    def setup(self, fabric: Any, method: Method, epochs: int) -> None:
        """Move to the device, and wrap the backbone for several processes."""
        super().setup(fabric, method, epochs)
        assert self.backbone is not None
        # channels last: a fifth faster on a CPU, more on a GPU's tensor cores
        self.backbone.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._autocast = fabric.autocast
        self._parallel = self.backbone
        if fabric.world_size > 1:
            if self.device.type == "cuda":
                self.backbone = nn.SyncBatchNorm.convert_sync_batchnorm(self.backbone)  # type: ignore[no-untyped-call]
            self._parallel = fabric.setup_module(self.backbone)
        self.ema_backbone = None
        if self._ema_decay is not None:
            self.ema_backbone = (ema_copy if self._ema_decay < 1 else frozen_copy)(self.backbone)

    def batch(self, rows: np.ndarray, seed: Sequence[int]) -> Batch:
        """Send this process's share of the rows through the backbone, and gather the features of all."""
        mine, rank = my_share(rows)
        pixels = self._tensor(mine)
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(int(np.random.SeedSequence([*seed, rank]).generate_state(1)[0]))
            change = self._view if self._views else self._augment
            images = [change(pixels) if change else pixels for _ in range(self._views or 1)]
            with self._autocast():
                outputs = self._parallel(torch.cat(images)).float().chunk(len(images))
                ema = self._ema_features(images[0])
        gathered = tuple(gather_rows(output, len(rows)) for output in outputs)
        return Batch(
            rows=torch.from_numpy(rows).to(self.device),
            features=gathered[0],
            labels=self._label_rows(rows),
            views=gathered if self._views else (),
            texts=self._text_rows(rows),
            ema_features=None if ema is None else gather_rows(ema, len(rows)),
        )

    @torch.no_grad()
    def _ema_features(self, images: Tensor) -> Tensor | None:
        """Return the slow copy's features of these very images."""
        if self.ema_backbone is None:
            return None
        features: Tensor = self.ema_backbone(images)
        return features.float()

    def _tensor(self, rows: np.ndarray) -> Tensor:
        return torch.from_numpy(self._pixels.read(self._rows[rows])).to(self.device).float() / 255

    @torch.no_grad()
    def _image_rows(self, rows: np.ndarray) -> Tensor:
        assert self.backbone is not None
        mode = self.backbone.training
        self.backbone.eval()
        parts = [self.backbone(self._tensor(part)) for part in np.array_split(rows, -(-len(rows) // 256))]
        self.backbone.train(mode)
        return torch.cat(parts)


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _resident(array: np.ndarray) -> np.ndarray:
    """Bring a mapped array into memory unless it is very large."""
    return np.array(array) if array.nbytes <= IN_MEMORY else array


def _floats(array: np.ndarray, rows: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.asarray(array[rows])).to(device).float()
