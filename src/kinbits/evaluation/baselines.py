"""Rows of a report that need no training: short codes of the same features, and the features themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from kinbits import hamming
from kinbits._util import Bar
from kinbits.backbones import Backbone, extract
from kinbits.data import FeatureCache, Splits
from kinbits.errors import DataError
from kinbits.evaluation.measures import Measures
from kinbits.evaluation.relevance import relevance_of
from kinbits.evaluation.row import Row
from kinbits.evaluation.searches import Search, Searches, reads_no_text
from kinbits.evaluation.training_free import (
    BASELINES,
    CROSS_MODAL_BASELINE,
    codes_of,
    cross_modal_heads,
    image_head,
)
from kinbits.metrics import RankingResult, cosine_scores, evaluate_scores

UNCOMPRESSED = "features (cosine)"


def image_rows(searches: Searches, own: Search, measures: Measures) -> tuple[list[Row], list[str]]:
    """Measure `BASELINES` and the uncompressed features, on pooled features also where the model reads maps.

    Args:
        searches: The model's searches.
        own: Its search from image to image.
        measures: What to measure.

    Returns:
        The rows, and notes on what is missing or arbitrary.
    """
    model, splits = searches.model, searches.splits
    backbone = model.tower("image").backbone
    train, *features = _features(searches, backbone)
    rows, left_out = [], []
    with Bar("measuring baselines", len(BASELINES) + 1, searches.progress) as bar:
        for number, name in enumerate(BASELINES):
            bar.update(number, text=name)
            head = image_head(name, model.bits, train)
            if head is None:
                left_out.append(name)
                continue
            codes = codes_of(head, features[0]), codes_of(head, features[1])
            search = replace(own, codes=codes, words=hamming.BITS, tables=None)
            rows.append(measures.row(name, search, model.bits))
        bar.update(len(BASELINES), text=UNCOMPRESSED)
        rows.append(measures.row_of_scores(UNCOMPRESSED, cosine_scores(*features), own.relevance))
    return rows, list(_notes(left_out, model.bits, train, splits))


def cross_modal_rows(searches: Searches, measures: Measures) -> list[Row]:
    """Measure `CROSS_MODAL_BASELINE`, fitted on the training pairs, wherever texts take part; none where it cannot be.

    Args:
        searches: The model's searches.
        measures: What to measure.
    """
    model, part = searches.model, searches.splits.train
    directions = [direction for direction in searches.directions if "text" in direction]
    if not directions:
        return []
    image, text = (model.tower(modality).backbone for modality in ("image", "text"))
    if image.pooled is not image or not part.has_text.any():
        return []
    images, texts = (extract(part, backbone, cache=searches.cache) for backbone in (image, text))
    kept = images.valid & part.has_text
    heads = cross_modal_heads(model.bits, np.asarray(images.array[kept]), np.asarray(texts.array[kept]))
    if heads is None:
        return []
    found = (
        searches.encoded(one, lambda features, modality: codes_of(heads[modality], features)) for one in directions
    )
    return [measures.row(f"{CROSS_MODAL_BASELINE}, {one.direction}", one, model.bits) for one in found]


def rank_features(
    splits: Splits, backbone: Backbone, metrics: list[str], *, cache: FeatureCache | None = None
) -> RankingResult:
    """Measure a backbone's own features: images of a protocol, ranked by the cosine of uncompressed features.

    Args:
        splits: The protocol.
        backbone: What computes the features.
        metrics: Metric names, none of them within a radius.
        cache: Where features are kept between runs; None keeps none.

    Raises:
        DataError: If an image cannot be read, there is nothing that says which images are relevant, or the queries'
            answers are texts.
    """
    if splits.protocol.paired:
        raise reads_no_text(splits, "a ranking of image features")
    found = [extract(part, backbone, cache=cache) for part in (splits.query, splits.database)]
    for part, one in zip(("query", "database"), found, strict=True):
        if not one.valid.all():  # numbers over fewer images would look like the others
            raise DataError(
                f"{int((~one.valid).sum())} images of the {part} part cannot be read; repair the data first"
            )
    return evaluate_scores(cosine_scores(found[0].array, found[1].array), relevance_of(splits), metrics)


def _features(searches: Searches, backbone: Backbone) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pooled features of the training part, of the queries and of the database."""
    splits, pooled = searches.splits, backbone.pooled
    train = searches.read(splits.train, pooled).features
    if pooled is backbone:
        return train, *searches.image_features()
    return train, searches.read(splits.query, pooled).features, searches.read(splits.database, pooled).features


def _notes(left_out: list[str], bits: int, train: np.ndarray, splits: Splits) -> Iterator[str]:
    rows, width = train.shape
    if left_out and rows < 2:
        why = f"they are fitted on the training part, and that of {splits.protocol.name} has {rows} images"
        yield f"{', '.join(left_out)} left out: {why}"
    elif left_out:
        why = f"they make at most as many bits as there are features, {width}, and these codes have {bits}"
        yield f"{', '.join(left_out)} left out: {why}"
    elif rows <= bits:
        yield f"bits of pca and itq beyond {rows - 1} are arbitrary with {rows} training images"
