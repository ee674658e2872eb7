"""Training sets of images, for a backbone that is trained along with the head."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Protocol, Self, Unpack

import numpy as np
import torch
from torch import Tensor, nn

from kinbits.methods import Batch, Method, ema_copy, evaluating, frozen_copy
from kinbits.training.distributed import gather_rows, my_share
from kinbits.training.training_set import Known, TrainingSet

if TYPE_CHECKING:
    from kinbits.data import Pairs
    from kinbits.labelling import ExpandedLabels


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

    def setup(self, fabric: Any, method: Method | None = None, epochs: int = 0) -> None:
        """Move to the device, and wrap the backbone for several processes."""
        super().setup(fabric, method, epochs)
        assert self.backbone is not None
        # channels last: a fifth faster on a CPU, more on a GPU's tensor cores
        self.backbone.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._autocast = fabric.autocast
        self._parallel = self.backbone
        self._sharers = fabric.world_size
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
            images=images[0] if len(mine) == len(rows) else None,
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
        with evaluating(self.backbone):
            parts = np.array_split(rows, -(-len(rows) // 256))
            return torch.cat([self.backbone(self._tensor(part)) for part in parts])
