"""Training sets: cached features of a frozen backbone, or pixels through a backbone that is trained."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from kinbits.methods import Batch, Modality, TrainSet, ema_copy, frozen_copy, update_ema
from kinbits.training.distributed import gather_rows, my_share, share_buffers

IN_MEMORY = 2 << 30
CHUNK, CHUNK_CELLS = 8192, 1 << 25


class Trainable(TrainSet):
    """What the trainer needs beyond what a method may see.

    Attributes:
        backbone: The network that is trained along, or None.
        ema_backbone: A copy that follows it slowly, for methods that ask for one, or None.
        ema_decay: What the copy keeps of itself in each step, 1 for a copy that never changes; None for no copy.
        views: How many random views of each image a batch carries.
        drop_last: Whether a smaller last batch is left out.
        weights: Probability with which each row takes part in an epoch, ``(n,)``, so that in expectation every loss
            counts it, and every pair of rows the product of theirs; None: all rows always do.
        true: Which labels are true and may judge others, bool ``(n,)``; None: all.
        key: What identifies the data in a checkpoint.
        chunk: Rows that `chunks` yields at once.
    """

    backbone: nn.Module | None = None
    ema_backbone: nn.Module | None = None
    ema_decay: float | None = None
    views: int = 0
    drop_last: bool = False
    weights: np.ndarray | None = None
    true: np.ndarray | None = None
    key: str = ""
    chunk: int = CHUNK

    def __init__(self, labels: np.ndarray | None, texts: np.ndarray | None) -> None:
        self.labels = None if labels is None else torch.from_numpy(np.ascontiguousarray(labels))
        self.rng = np.random.default_rng(0)
        self._texts = None if texts is None else _resident(texts)
        self.device = torch.device("cpu")

    @abstractmethod
    def batch(self, rows: np.ndarray, seed: Sequence[int]) -> Batch:
        """Return the rows as a batch on the device; ``seed`` fixes what is random in it."""

    def setup(self, fabric: Any) -> None:
        """Move to the run's device."""
        self.device = fabric.device
        if self.labels is not None:
            self.labels = self.labels.to(self.device)

    def stepped(self) -> None:
        """Do what follows a step: move the slow copy of the backbone."""
        share = 1.0 if self.ema_decay is None else self.ema_decay
        if share < 1 and self.ema_backbone is not None and self.backbone is not None:
            update_ema(self.ema_backbone, self.backbone, share)

    def agree(self) -> None:
        """Give all processes the same backbone, before anything is decided from its features."""
        if self.backbone is not None:
            share_buffers(self.backbone)

    def drawn(self, rows: np.ndarray, seed: Sequence[int]) -> np.ndarray:
        """Return those of the rows ``(m,)``, or of the groups ``(m, g)`` with all their rows, that take part."""
        if self.weights is None:
            return rows
        present = np.random.default_rng(seed).random(len(self)) < self.weights
        return np.asarray(rows[present[rows].reshape(len(rows), -1).all(1)])

    def batches(self, rows: np.ndarray, size: int, seed: Sequence[int]) -> Iterator[Batch]:
        """Yield the rows in batches; a last batch of one row is left out, since nothing can be learned from it.

        With `drop_last`, a smaller last batch is left out too. The only batch is yielded whatever its size.

        Args:
            rows: int64 ``(m,)``, or groups ``(m, g)``, which are not torn apart.
            size: Rows per batch; at least one group.
            seed: Fixes what is random in the batches.
        """
        if rows.ndim == 2:
            group = rows.shape[1]
            rows, size = rows.reshape(-1), max(1, size // group) * group
        least = min(size if self.drop_last else 2, len(rows))
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
        for start in range(0, len(rows), self.chunk):
            part = rows[start : start + self.chunk]
            if modality == "text":
                texts = self._text_rows(part)
                assert texts is not None, "this data has no text"
                yield texts
            else:
                yield self._image_rows(part)

    @abstractmethod
    def _image_rows(self, rows: np.ndarray) -> Tensor: ...


class FeatureSet(Trainable):
    """Features of a frozen backbone.

    Args:
        features: float16 or float32 ``(n, d)``, in memory or memory-mapped.
        labels: int64 ``(n,)`` or multi-hot ``(n, C)``, or None.
        texts: Text features ``(n, t)``, or None.
        views: Features of random views, each ``(n, d)``; two of them are drawn for each row and step.
    """

    frozen = True

    def __init__(
        self,
        features: np.ndarray,
        labels: np.ndarray | None = None,
        texts: np.ndarray | None = None,
        views: Sequence[np.ndarray] = (),
    ) -> None:
        super().__init__(labels, texts)
        self._features = _resident(features)
        self.chunk = max(1, min(CHUNK, CHUNK_CELLS // features.shape[1]))  # maps are wide
        self._views = [_resident(view) for view in views]

    def __len__(self) -> int:
        return len(self._features)

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
        if not self.views:
            return ()
        order = np.random.default_rng(list(seed)).random((len(rows), len(self._views))).argsort(1)
        drawn = []
        for chosen in order.T[: self.views]:
            view = np.stack([self._views[v][row] for v, row in zip(chosen, rows, strict=True)])
            drawn.append(torch.from_numpy(view).to(self.device).float())
        return tuple(drawn)


class Pixels(Protocol):
    """Where a `PixelSet` reads images from."""

    def __len__(self) -> int: ...

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return preprocessed images, uint8 ``(b, 3, s, s)``."""


class PixelSet(Trainable):
    """Images through a backbone that is trained along with the head.

    Args:
        pixels: The images.
        backbone: Maps float ``(b, 3, s, s)`` in [0, 1] to features ``(b, d)``.
        augment: Random change of a float batch, or None.
        view: Random change that makes the views of two-view methods, or None.
        labels: int64 ``(n,)`` or multi-hot ``(n, C)``, or None.
        texts: Text features ``(n, t)``, or None.
    """

    frozen = False

    def __init__(
        self,
        pixels: Pixels,
        backbone: nn.Module,
        augment: nn.Module | None = None,
        view: nn.Module | None = None,
        labels: np.ndarray | None = None,
        texts: np.ndarray | None = None,
    ) -> None:
        super().__init__(labels, texts)
        self._pixels, self.backbone, self._augment, self._view = pixels, backbone, augment, view
        self._parallel: Any = None
        self._autocast: Any = nullcontext

    def __len__(self) -> int:
        return len(self._pixels)

    def setup(self, fabric: Any) -> None:
        """Move to the device and wrap the backbone for several processes."""
        super().setup(fabric)
        assert self.backbone is not None
        # channels last: a fifth faster on a CPU, more on a GPU's tensor cores
        self.backbone.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._autocast = fabric.autocast
        self._parallel = self.backbone
        if fabric.world_size > 1:
            if self.device.type == "cuda":
                self.backbone = nn.SyncBatchNorm.convert_sync_batchnorm(self.backbone)  # type: ignore[no-untyped-call]
            self._parallel = fabric.setup_module(self.backbone)
        if self.ema_decay is not None:
            self.ema_backbone = (ema_copy if self.ema_decay < 1 else frozen_copy)(self.backbone)

    def batch(self, rows: np.ndarray, seed: Sequence[int]) -> Batch:
        """Send this process's share of the rows through the backbone, and gather the features of all."""
        mine, rank = my_share(rows)
        pixels = self._tensor(mine)
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(int(np.random.SeedSequence([*seed, rank]).generate_state(1)[0]))
            change = self._view if self.views else self._augment
            images = [change(pixels) if change else pixels for _ in range(self.views or 1)]
            with self._autocast():
                outputs = self._parallel(torch.cat(images)).float().chunk(len(images))
                ema = self._ema_features(images[0])
        gathered = tuple(gather_rows(output, len(rows)) for output in outputs)
        return Batch(
            rows=torch.from_numpy(rows).to(self.device),
            features=gathered[0],
            labels=self._label_rows(rows),
            views=gathered if self.views else (),
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
        return torch.from_numpy(self._pixels.read(rows)).to(self.device).float() / 255

    @torch.no_grad()
    def _image_rows(self, rows: np.ndarray) -> Tensor:
        assert self.backbone is not None
        mode = self.backbone.training
        self.backbone.eval()
        parts = [self.backbone(self._tensor(part)) for part in np.array_split(rows, -(-len(rows) // 256))]
        self.backbone.train(mode)
        return torch.cat(parts)


def _resident(array: np.ndarray) -> np.ndarray:
    """Bring a mapped array into memory unless it is very large."""
    return np.array(array) if array.nbytes <= IN_MEMORY else array


def _floats(array: np.ndarray, rows: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.asarray(array[rows])).to(device).float()
