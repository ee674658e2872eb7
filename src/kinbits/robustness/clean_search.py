"""The search of a model's clean database with images that may be changed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import interpolate

from kinbits import hamming
from kinbits.backbones import cached_forward
from kinbits.data import Dataset, FeatureCache, Splits
from kinbits.evaluation import IMAGE_TO_IMAGE, Search, relevance_of
from kinbits.metrics import RankingResult
from kinbits.model import HashModel
from kinbits.robustness.models import pixels_of, require_images_to_bits

METRIC, FIRST = "map@all", "map@5000"
_FEW = 128  # images; compiling a graph for fewer takes longer than it saves


class CleanSearch:
    """A model's codes of a protocol's database, and a way to search them with any pixels.

    Args:
        model: A model that turns images into bits.
        splits: The protocol.
        queries: Some of its queries.
        cache: Where features of the database are kept between runs, or None.
        progress: Show progress on standard error.

    Attributes:
        model: The model.
        items: The n items of the database that can be read.
        codes: Their packed codes, uint8 ``(n, w)``.

    Raises:
        UsageError: If the model reads no images, or makes no bits.
        DataError: If nothing says which images are relevant.
    """

    def __init__(
        self, model: HashModel, splits: Splits, queries: Dataset, *, cache: FeatureCache | None, progress: bool
    ) -> None:
        self._preprocess = require_images_to_bits(model)
        found = model.encode(splits.database, on_error="skip", cache=cache, progress=progress)
        self.model, self.codes, self._queries = model, found.array, queries
        self.items = splits.database.select(found.rows) if found.skipped else splits.database
        self._relevance = relevance_of(splits, queries, self.items)
        self._engine = "torch" if len(queries) < _FEW else "auto"  # the same for all rows, also after a resumption

    def pixels(self, image_of: Callable[[int], Image.Image], count: int | None = None) -> np.ndarray:
        """Return images as the model's backbone takes them, uint8 ``(q, 3, s, s)``.

        Args:
            image_of: Returns the image of a query, given its row; called in threads.
            count: Number of the first queries; None for all.
        """
        return pixels_of(self._preprocess, image_of, len(self._queries) if count is None else count)

    def resized(self, pixels: np.ndarray) -> np.ndarray:
        """Return pixels ``(q, 3, r, r)`` at the size that the model's backbone takes, rounded to bytes again."""
        if not self._preprocess.pixels:  # a hash of whole images
            return self.pixels(lambda row: Image.fromarray(np.ascontiguousarray(pixels[row].transpose(1, 2, 0))))
        side = self._preprocess.size
        if pixels.shape[-1] == side:
            return pixels
        given = torch.from_numpy(pixels).float()
        larger = interpolate(given, (side, side), mode="bilinear", antialias=True)
        return np.asarray(larger.round().clamp(0, 255).to(torch.uint8))

    def encode(self, pixels: np.ndarray) -> hamming.Codes:
        """Return the packed codes of pixels, uint8 ``(q, 3, s, s)``, by the path that `HashModel.encode` takes."""
        tower = self.model.tower("image")
        forward = cached_forward(tower.backbone, len(pixels), threads=None, engine=self._engine)  # type: ignore[arg-type]
        return tower.compute(forward(pixels))

    def search(self, codes: hamming.Codes) -> Search:
        """Return the search with codes of the queries, uint8 ``(q, w)``."""
        return Search(IMAGE_TO_IMAGE, self._queries, self.items, (codes, self.codes), self._relevance)

    def average_precisions(self, codes: hamming.Codes) -> np.ndarray:
        """Return the average precision of each query by its codes, float64 ``(q,)``; NaN where nothing is relevant."""
        return self.measure(codes).per_query[METRIC]

    def measure(self, codes: hamming.Codes) -> RankingResult:
        """Measure average precisions over the whole database, and over the first 5,000 items (`FIRST`)."""
        return self.search(codes).measure([METRIC, FIRST])
