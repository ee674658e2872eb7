"""Features of a data set: decoded in threads, computed by the compiled graph, stored in the cache."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from kinbits._util import checked, processors
from kinbits.backbones.base import Backbone
from kinbits.backbones.compiled import BATCH, COMPILE_ROWS, Engine, Forward, cached_forward
from kinbits.data import NOT_FINITE, BadImage, Dataset, FeatureCache, MappedRows, Skipped, finite_rows, image_change
from kinbits.errors import DataError, UsageError

Progress = Callable[[int, int], None]
Chunk = tuple[np.ndarray, np.ndarray, list[str]]

_AHEAD = 3  # number of batches that are decoded in advance; limits the memory


@dataclass(frozen=True)
class View:
    """One augmented view of every image; equal fields give equal views.

    Attributes:
        augmentation: Name of an augmentation, e.g. ``"two_view"``; see `kinbits.data.augmentation`.
        seed: Seed of the run.
        number: Number of the view, from 0.
    """

    augmentation: str
    seed: int = 0
    number: int = 0


@dataclass(frozen=True)
class Features:
    """Features of a data set.

    Attributes:
        array: float16 ``(n, d)``, memory-mapped if it comes from a cache; float32 for vector data, which pass through
            unchanged, and `kinbits.data.MappedRows` for those that `extract` left on disk. Rows that are not valid have
            undefined values.
        valid: bool ``(n,)``; True if the item could be read.
        skipped: The unreadable items, each with the reason.
    """

    array: Any
    valid: np.ndarray
    skipped: tuple[Skipped, ...]

    def __len__(self) -> int:
        return len(self.array)

    def readable_part(self, dataset: Dataset) -> Dataset:
        """Return the data set without its unreadable rows, which are added to ``skipped``."""
        bad = np.flatnonzero(~self.valid)
        return dataset.without(bad, [skipped.reason for skipped in self.skipped]) if len(bad) else dataset


def extract(
    dataset: Dataset,
    backbone: Backbone,
    *,
    cache: FeatureCache | None = None,
    progress: Progress | None = None,
    view: View | None = None,
    threads: int | None = None,
    engine: Engine = "auto",
    mapped: bool = False,
) -> Features:
    """Compute the features of every item, or read them from the cache.

    Text backbones read ``dataset.texts``, the others the items.

    Args:
        dataset: n images, texts or vectors.
        backbone: A backbone with its current weights.
        cache: Cache for the features; None computes them in memory.
        progress: Function that is called with (rows done, n).
        view: Augmented view to use instead of the original images; images only.
        threads: CPU threads for the graph, and the same number for decoding; None uses all cores.
        engine: See :func:`fast_forward`; ``"auto"`` compiles nothing for fewer than 128 rows. The compiled graph is
            reused while the backbone exists and its weights do not change.
        mapped: Whether vectors that are on disk stay there, as `kinbits.data.MappedRows`.

    Raises:
        UsageError: If ``cache`` is no `FeatureCache`, or a view is asked of a backbone that takes no pixels.
        DataError: If the data set has no items of the backbone's modality, or its vectors have another width.
        PlatformError: If the cache cannot be written.
    """
    _check(dataset, backbone, view)
    checked(cache, FeatureCache | None, "cache")
    if backbone.modality == "vector":
        return _vectors(dataset, backbone, mapped)
    cached = None
    if cache is not None:
        cached = cache.open(_key(dataset, backbone, view), len(dataset), backbone.feature_dim)
    if cached is None or not cached.complete:
        with _Extractor(dataset, backbone, view, threads, engine) as extractor:
            if cached is None:
                return _in_memory(dataset, backbone, extractor, progress)
            cached.fill(extractor.compute, progress)
    elif progress:
        progress(len(dataset), len(dataset))
    return Features(cached.array, cached.valid, _skipped(dataset, cached.reasons))


def features_of_pixels(pixels: np.ndarray, backbone: Backbone) -> Features:
    """Compute the features of images that are preprocessed already, by the compiled graph.

    `kinbits.HashModel.encode` takes the result. A service decodes images in other processes and encodes them together.

    Args:
        pixels: uint8 ``(n, 3, s, s)``, as ``backbone.preprocessing`` returns them.
        backbone: A backbone of images.

    Raises:
        UsageError: If the backbone reads no images, or pixels of another shape.
    """
    preprocessing = backbone.preprocessing
    shape = None if preprocessing is None else (3, preprocessing.size, preprocessing.size)
    if shape is None or pixels.dtype != np.uint8 or pixels.shape[1:] != shape:
        raise UsageError(
            f"pixels are {pixels.dtype} {pixels.shape}; backbone '{backbone.name}' reads "
            f"{f'uint8 (n, {shape[0]}, {shape[1]}, {shape[2]})' if shape else 'no images'}"
        )
    forward = cached_forward(backbone, max(len(pixels), COMPILE_ROWS), threads=None, engine="auto")
    with np.errstate(over="ignore"):  # infinite values are refused by the head
        array = forward(pixels).astype(np.float16)
    return Features(array, np.ones(len(array), bool), ())


def _check(dataset: Dataset, backbone: Backbone, view: View | None) -> None:
    wanted, kind = backbone.modality, dataset.items.kind
    if wanted == "text" and dataset.texts is None:
        raise DataError(f"'{dataset.name}' has no texts for backbone '{backbone.name}'; name its text column")
    if wanted != "text" and wanted != kind:
        remedy = "'features' is the backbone for vectors" if kind == "vector" else "use an image backbone"
        raise DataError(f"backbone '{backbone.name}' reads {wanted} data, '{dataset.name}' holds {kind}s; {remedy}")
    if view is not None and wanted != "image":
        raise DataError(f"augmented views exist for images only, not for {wanted} backbone '{backbone.name}'")
    if view is not None:
        backbone.require_pixels("an augmented view")


def _key(dataset: Dataset, backbone: Backbone, view: View | None) -> dict[str, str | int]:
    preprocessing = backbone.preprocessing
    shown = asdict(view) | ({"of": "whole images"} if image_change(view.augmentation) else {}) if view else None
    return {
        "dataset": dataset.fingerprint,
        "backbone": backbone.fingerprint,
        "preprocessing": json.dumps(preprocessing.to_dict() if preprocessing else None, sort_keys=True),
        "view": json.dumps(shown, sort_keys=True),
    }


def _in_memory(dataset: Dataset, backbone: Backbone, extractor: _Extractor, progress: Progress | None) -> Features:
    n, step = len(dataset), 8 * BATCH
    array, valid = np.zeros((n, backbone.feature_dim), np.float16), np.zeros(n, bool)
    reasons: dict[int, str] = {}
    for start in range(0, n, step):
        stop = min(n, start + step)
        array[start:stop], valid[start:stop], why = extractor.compute(start, stop)
        reasons.update(zip((start + np.flatnonzero(~valid[start:stop])).tolist(), why, strict=True))
        if progress:
            progress(stop, n)
    return Features(array, valid, _skipped(dataset, reasons))


def _vectors(dataset: Dataset, backbone: Backbone, mapped: bool) -> Features:
    stored = dataset.items.stored_vectors
    width = backbone.architecture().get("dim", backbone.feature_dim)
    if len(stored.shape) != 2 or stored.shape[1] not in (width, backbone.feature_dim):
        raise DataError(
            f"vectors of shape {stored.shape} do not fit: {width} numbers each are read"
            f"{'' if width == backbone.feature_dim else f', or their first {backbone.feature_dim}'}; give such vectors"
        )
    array: np.ndarray | MappedRows
    if mapped and isinstance(stored, (np.memmap, MappedRows)):
        stored = stored if isinstance(stored, MappedRows) else MappedRows([stored])
        shortened = stored.changed(partial(_shortened, backbone))
        array, valid = shortened.changed(partial(_read_by, backbone)), finite_rows(shortened)
    else:
        array = _shortened(backbone, np.asarray(stored))
        valid = finite_rows(array)
        array = _read_by(backbone, array)
    return Features(array, valid, _skipped(dataset, dict.fromkeys(np.flatnonzero(~valid).tolist(), NOT_FINITE)))


def _shortened(backbone: Backbone, vectors: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # infinite values are reported as not finite
        return np.asarray(vectors, np.float32)[:, : backbone.feature_dim]


def _read_by(backbone: Backbone, vectors: np.ndarray) -> np.ndarray:
    """Return float32 vectors ``(n, d)`` as a backbone for vectors reads them."""
    if not getattr(backbone, "normalise", False):
        return vectors
    return np.asarray(backbone(torch.from_numpy(np.array(vectors))).numpy())


def _skipped(dataset: Dataset, reasons: dict[int, str]) -> tuple[Skipped, ...]:
    return tuple(Skipped(str(dataset.ids[row]), reason) for row, reason in sorted(reasons.items()))


class _Extractor:
    """Computes the features of a range of rows; threads decode a few batches in advance."""

    def __init__(
        self, dataset: Dataset, backbone: Backbone, view: View | None, threads: int | None, engine: Engine
    ) -> None:
        self._dataset, self._backbone, self._view = dataset, backbone, view
        self._forward: Forward = cached_forward(backbone, len(dataset), threads=threads, engine=engine)
        self._change = image_change(view.augmentation) if view else None
        self._augment = _augmenter(backbone, view) if view and not self._change else None
        self._pool = ThreadPoolExecutor(threads or processors(), thread_name_prefix="kinbits-decode")

    def __enter__(self) -> _Extractor:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def compute(self, start: int, stop: int) -> Chunk:
        """Return float16 features of rows start to stop, the mask of valid rows, and a reason for each other row."""
        work = self._texts(start, stop) if self._backbone.modality == "text" else self._images(start, stop)
        array, reasons = np.zeros((stop - start, self._backbone.feature_dim), np.float16), {}
        for rows, features, bad in work:
            with np.errstate(over="ignore"):  # infinite values are detected below
                array[rows] = features
            reasons.update(bad)
        for row in np.flatnonzero(~np.isfinite(array).all(axis=1)).tolist():
            reasons.setdefault(row, "its features are not finite numbers in float16")
            array[row] = 0
        valid = np.ones(stop - start, bool)
        valid[list(reasons)] = False
        return array, valid, [reasons[row] for row in sorted(reasons)]

    def _images(self, start: int, stop: int) -> Iterator[tuple[np.ndarray, np.ndarray, dict[int, str]]]:
        # batches start at multiples of BATCH, because each block of BATCH rows has its seed for a view
        edges = [start, *range((start // BATCH + 1) * BATCH, stop, BATCH), stop]
        spans = list(itertools.pairwise(edges))
        waiting = [self._submit(*span) for span in spans[:_AHEAD]]
        for number, span in enumerate(spans):
            pixels, bad = self._collect(waiting.pop(0))
            if number + _AHEAD < len(spans):
                waiting.append(self._submit(*spans[number + _AHEAD]))
            if self._augment:
                pixels = self._augment(pixels, span[0])
            rows = np.arange(span[0] - start, span[1] - start)
            yield rows, self._forward(pixels), {int(rows[place]): why for place, why in bad.items()}

    def _submit(self, start: int, stop: int) -> list[Future[np.ndarray | str]]:
        return [self._pool.submit(self._decode, row) for row in range(start, stop)]

    def _decode(self, row: int) -> np.ndarray | str:
        preprocessing = self._backbone.preprocessing
        assert preprocessing is not None
        try:
            image = self._dataset.items.image(row)
            if self._change and self._view:
                image = self._change(image, np.random.default_rng(_seed(self._view, row)))
            return preprocessing(image)
        except BadImage as error:
            return str(error)

    def _collect(self, batch: list[Future[np.ndarray | str]]) -> tuple[np.ndarray, dict[int, str]]:
        assert self._backbone.preprocessing is not None
        side = self._backbone.preprocessing.size
        pixels, bad = np.zeros((len(batch), 3, side, side), np.uint8), {}
        for place, future in enumerate(batch):
            result = future.result()
            if isinstance(result, str):
                bad[place] = result
            else:
                pixels[place] = result
        return pixels, bad

    def _texts(self, start: int, stop: int) -> Iterator[tuple[np.ndarray, np.ndarray, dict[int, str]]]:
        texts = (self._dataset.texts or ())[start:stop]
        # texts of similar length share a batch, which keeps the padding short
        order = np.argsort([len(text) for text in texts], kind="stable")
        for first in range(0, len(order), BATCH):
            rows = order[first : first + BATCH]
            yield rows, self._forward([texts[row] for row in rows]), {}


def _augmenter(backbone: Backbone, view: View) -> Callable[[np.ndarray, int], np.ndarray]:
    from kinbits.data import augmentation

    assert backbone.preprocessing is not None
    steps = augmentation(view.augmentation, backbone.preprocessing.size)

    def augment(pixels: np.ndarray, row: int) -> np.ndarray:
        seed = _seed(view, row // BATCH)
        with torch.random.fork_rng(devices=[]):  # restores the state of the global generator
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would also seed the GPU generators
            views: torch.Tensor = steps(torch.from_numpy(pixels).float() / 255)
        return np.asarray((views * 255).round().to(torch.uint8))

    return augment


def _seed(view: View, number: int) -> int:
    """Return the seed of a row or of a block of rows."""
    text = f"{view.augmentation} {view.seed} {view.number} {number}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "little")
