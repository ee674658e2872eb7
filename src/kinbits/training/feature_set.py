"""Training sets of cached features, for a frozen backbone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self, Unpack

import numpy as np
import torch
from torch import Tensor

from kinbits._util import Modality
from kinbits.data import MappedRows
from kinbits.methods import Batch, Method
from kinbits.training.training_set import CHUNK, Known, TrainingSet, floats, mapped, part, resident

if TYPE_CHECKING:
    from kinbits.data import Pairs
    from kinbits.labelling import ExpandedLabels

CHUNK_CELLS = 1 << 25


class FeatureSet(TrainingSet):
    """Features of a frozen backbone.

    Those on disk are read into memory when a run starts, unless they take more than 2 GiB: then each batch is read.

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
        features: np.ndarray | MappedRows,
        labels: np.ndarray | None = None,
        texts: np.ndarray | MappedRows | None = None,
        views: Sequence[np.ndarray | MappedRows] = (),
        **known: Unpack[Known],
    ) -> None:
        super().__init__(labels, texts, **known)
        self._features = mapped(features)
        self._chunk = max(1, min(CHUNK, CHUNK_CELLS // features.shape[1]))  # maps are wide
        self._view_features = [mapped(view) for view in views]

    def __len__(self) -> int:
        return len(self._features)

    @property
    def stored(self) -> np.ndarray:
        """The features as they are kept, float16 or float32 ``(n, d)``, all in memory."""
        return np.asarray(self._features)

    def select(self, rows: np.ndarray, labels: ExpandedLabels | None = None, pairs: Pairs | None = None) -> Self:
        """Return some rows as a set of their own."""
        views = [part(view, rows) for view in self._view_features]
        return type(self)(part(self._features, rows), views=views, **self._select_targets(rows, labels, pairs))

    def setup(self, fabric: Any, method: Method | None = None, epochs: int = 0) -> None:
        """Get ready for a run, and read what is on disk into memory unless it is very large."""
        super().setup(fabric, method, epochs)
        self._features = resident(self._features)
        self._view_features = [resident(view) for view in self._view_features]

    def batch(self, rows: np.ndarray, seed: Sequence[int]) -> Batch:
        """Return rows of the stored features. Every process takes the whole batch: a head is cheap."""
        return Batch(
            rows=torch.from_numpy(rows).to(self.device),
            features=self._image_rows(rows),
            labels=self._label_rows(rows),
            views=self._draw_views(rows, seed),
            texts=self._text_rows(rows),
        )

    def _stored(self, modality: Modality) -> np.ndarray | MappedRows | None:
        return self._features if modality == "image" else super()._stored(modality)

    def _image_rows(self, rows: np.ndarray) -> Tensor:
        return floats(self._features, rows, self.device)

    def _draw_views(self, rows: np.ndarray, seed: Sequence[int]) -> tuple[Tensor, ...]:
        if not self._views:
            return ()
        order = np.random.default_rng(list(seed)).random((len(rows), len(self._view_features))).argsort(1)
        drawn = []
        for chosen in order.T[: self._views]:
            view = np.stack([self._view_features[v][row] for v, row in zip(chosen, rows, strict=True)])
            drawn.append(torch.from_numpy(view).to(self.device).float())
        return tuple(drawn)
