"""One trial: fit a model, evaluate it, record what it took."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from kinbits import metrics
from kinbits.bench.experiment import Trial
from kinbits.bench.memory import forget_peak, peak_memory
from kinbits.bench.origin import provenance
from kinbits.bench.protocol_data import data_checksum, splits_of
from kinbits.bench.query_values import PER_QUERY
from kinbits.bench.weights import backbone_of, config_of_trial
from kinbits.data import FeatureCache, Splits
from kinbits.errors import DataError
from kinbits.evaluation import CROSS_MODAL, IMAGE_TO_IMAGE, UNCOMPRESSED, Direction, Searches, rank_features
from kinbits.fitting import fit, image_backbone
from kinbits.methods import get_method


def measure(trial: Trial) -> list[dict[str, Any]]:
    """Fit a model and evaluate it; one row per direction of search, with the `RankingResult` below ``per_query``.

    The model is fitted on the training part alone, and the numbers are taken once, when it is finished: nothing that
    is chosen during training sees a query.

    Raises:
        DataError: If an image cannot be read, or the trial's method reads no text where queries are to find texts.
    """
    splits = splits_of(trial.protocol)
    forget_peak()
    # before the work: a file that is edited meanwhile is another method, other data or other weights
    config, checksum = config_of_trial(trial), data_checksum(trial.protocol)
    started = time.perf_counter()
    found = _features(trial, splits) if trial.entry.method == UNCOMPRESSED else _model(trial, splits)
    record = {
        **trial.columns,
        "seconds": f"{time.perf_counter() - started:.1f}",
        "peak_mb": round(peak_memory() / 1e6),
        "config": config,
        "split_checksum": checksum,
        **provenance(),
        "method_version": "" if trial.entry.method == UNCOMPRESSED else get_method(trial.entry.method).version,
    }
    return [{**record, **row} for row in found]


def _model(trial: Trial, splits: Splits) -> list[dict[str, Any]]:
    cache = FeatureCache()
    model = fit(splits.train, trial.settings, cache=cache, backbone=backbone_of(trial))
    # features of a backbone that was trained along are good for this trial alone
    searches = Searches(model, splits, cache=None if model.training["backbone_trained"] else cache)
    if searches.skipped:  # numbers over fewer images would look like the others
        raise DataError(f"{len(searches.skipped)} images cannot be read; repair the data first")
    backbone = trial.backbone or model.tower("image").backbone.pooled.name
    directions = [one for one in (IMAGE_TO_IMAGE, *CROSS_MODAL) if one in searches.directions] or [searches.first]
    found = (searches[direction] for direction in directions)
    return [_row(backbone, one.direction, one.measure(trial.metrics)) for one in found]


def _features(trial: Trial, splits: Splits) -> list[dict[str, Any]]:
    """Rank by the cosine of the frozen features themselves."""
    backbone = image_backbone(splits.train, replace(trial.feature_settings, backbone=backbone_of(trial)))
    result = rank_features(splits, backbone, list(trial.metrics), cache=FeatureCache())
    return [_row(trial.backbone or backbone.name, IMAGE_TO_IMAGE, result)]


def _row(backbone: str, direction: Direction, result: metrics.RankingResult) -> dict[str, Any]:
    values = {name: f"{value:.6f}" for name, value in result.items()}
    return {"backbone": backbone, "direction": str(direction), **values, PER_QUERY: result}
