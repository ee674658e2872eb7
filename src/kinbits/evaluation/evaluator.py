"""Evaluate a model: its codes, baselines on the same features, and the features' own ranking."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from kinbits import hamming
from kinbits.data import Difficulty, FeatureCache, Splits
from kinbits.encoding import rows_of_ids
from kinbits.errors import UsageError
from kinbits.evaluation.baselines import cross_modal_rows, image_rows
from kinbits.evaluation.directions import IMAGE_TO_IMAGE, Direction
from kinbits.evaluation.leakage import leakage
from kinbits.evaluation.measures import Measures
from kinbits.evaluation.relevance import chosen_difficulty
from kinbits.evaluation.report.details import details_of
from kinbits.evaluation.report.report import Report
from kinbits.evaluation.row import Row
from kinbits.evaluation.searches import Search, Searches, without_radius
from kinbits.model import HashModel


def evaluate(
    model: HashModel,
    splits: Splits,
    *,
    metric_names: Sequence[str] | None = None,
    at: Sequence[str] = (),
    difficulty: Difficulty | None = None,
    baselines: bool = True,
    compare_with: Sequence[HashModel] = (),
    details: bool = False,
    database_codes: Literal["encoded", "learned"] = "encoded",
    asymmetric: bool = False,
    cache: FeatureCache | None = None,
    progress: bool = False,
) -> Report:
    """Measure a model on a protocol.

    Every number is the expectation over random order of ties (see `kinbits.metrics`). Baselines are computed on
    the same backbone's features with the same number of bits, fitted on the protocol's training part. A model that was
    trained on exactly the queries, or on all images that they were drawn from, is measured with a warning.

    Args:
        model: The model.
        splits: What `kinbits.load_protocol` or `kinbits.data.split_folder` returned. Where a query's answer is its own
            partner (images with texts and without labels), only the directions between images and texts are measured.
        metric_names: Names that `kinbits.metrics.parse_metric` knows; None for those of the protocol, the one of
            published tables first.
        at: Targets of operating points, e.g. ``["precision=0.95", "recall=0.9"]``. For each, the radius is chosen on
            half of the queries and measured on the other half, drawn by seed 0; see `kinbits.metrics.operating_point`.
        difficulty: ``"easy"``, ``"medium"`` or ``"hard"`` where the protocol's answers are graded (revisited Oxford and
            Paris, see `kinbits.data.GroundTruth`); None for medium there.
        baselines: Whether to measure LSH, PCA, PCA with random rotation, ITQ and the uncompressed features too. A model
            of images and texts is also compared with CCA.
        compare_with: Other models to compare with, e.g. of other lengths.
        details: Whether to gather what `Report.html` shows besides the numbers: the best and worst queries with their
            neighbours, classes taken for each other, statistics of the codes.
        database_codes: ``"learned"`` takes, for images of the database that the model was trained on, the codes that
            training gave them (`HashModel.train_codes`), as papers on asymmetric hashing do; all else is encoded.
        asymmetric: Whether to measure real-valued queries against the codes too, as `Index.search` ranks with
            ``distance="asymmetric"``; in the first direction.
        cache: Where features are kept between runs, or None for the default place.
        progress: Show progress on standard error.

    Returns:
        A `Report`: prints as a table, writes JSON and a plot. Where queries have labels, it holds the metrics of the
        first row for each class too.

    Raises:
        UsageError: If a metric, target or difficulty is unknown; or a difficulty is given and the protocol's answers
            are not graded; or targets are given and the model makes product codes; or learned codes are asked for and
            the model has none for this protocol's training part.
        DataError: If nothing says which images are relevant, or no query has a relevant item; or the answers are
            partners, and the model reads no text.
    """
    measures = Measures.from_names(splits.protocol.metrics if metric_names is None else metric_names, at)
    if model.words != hamming.BITS:
        made = hamming.describe_kind(model.bits, model.words)
        if measures.targets:
            raise UsageError(f"operating points are Hamming distances, and this model makes {made}; leave at out")
        if not without_radius(measures.metrics):
            raise UsageError(
                f"this model makes {made}, which have no radius in bits; give another metric, e.g. map@all"
            )
    _check_database_codes(database_codes, model, splits)
    chosen = chosen_difficulty(splits, difficulty)
    options: dict[str, Any] = {"cache": cache or FeatureCache(), "difficulty": chosen, "progress": progress}
    models = [model, *compare_with]
    names = _names(models)
    leaks = _warn_of_leaks(names, models, splits)

    searches = Searches(model, splits, **options)
    own = searches[searches.first]
    notes = [_put_learned_codes(model, own)] if database_codes == "learned" else []
    rows = [measures.row(_label(names[0], searches, own.direction), own, model.bits)]
    rows += _rows(names[0], searches, measures, searches.directions[1:])
    if asymmetric and own.words == hamming.BITS:
        row = measures.row_of_scores(f"{rows[0].name} (asymmetric)", own.scores, own.relevance)
        rows.append(replace(row, direction=str(own.direction)))
    for name, other in zip(names[1:], compare_with, strict=True):
        compared = Searches(other, splits, **options)
        rows += _rows(name, compared, measures, compared.directions)
        notes += [] if compared.directions else [f"{name} left out: it reads no text"]
    if baselines and own.direction == IMAGE_TO_IMAGE:
        found, more = image_rows(searches, own, measures)
        rows, notes = [*rows, *found], [*notes, *more]
    if baselines:
        rows += cross_modal_rows(searches, measures)
    rows.sort(key=lambda row: row.direction != str(IMAGE_TO_IMAGE))  # the others below the baselines of images
    notes += [note for note in (measures.note_on_cuts(len(own.items)), *leaks.values()) if note]
    return Report(
        splits.protocol.name,
        _facts(searches, chosen),
        list(measures.metrics),
        rows,
        [vars(skipped) for skipped in searches.skipped],
        details_of(own, model.bits) if details else None,
        notes,
        measures.classes(own),
        trained_on_queries=names[0] in leaks,
    )


def _check_database_codes(database_codes: str, model: HashModel, splits: Splits) -> None:
    """Refuse codes that were learned for other images, or none."""
    if database_codes not in ("encoded", "learned"):
        raise UsageError(f"database_codes '{database_codes}': give encoded or learned")
    if database_codes == "encoded":
        return
    if model.train_codes is None:
        name = model.method.get("name", "its method")
        raise UsageError(f"this model has no learned codes: '{name}' learns none; adsh and exchnet do")
    if model.training.get("data_fingerprint") != splits.train.fingerprint:
        raise UsageError(
            f"this model was trained on {model.training.get('data', 'other data')}, not on the training part of "
            f"{splits.protocol.name}; train on that, or leave the learned codes out"
        )


def _put_learned_codes(model: HashModel, search: Search) -> str:
    """Replace codes of the database by those that training gave these images, and say of how many."""
    ids, codes = search.items.ids, search.codes[1]
    places, learned = rows_of_ids(model.train_codes, ids)
    if not len(places):
        raise UsageError("no image of the database was trained on, so it has no learned codes; leave them out")
    codes[places] = learned
    return f"codes of {len(places):,} of {len(ids):,} database images as learned in training"


def _warn_of_leaks(names: Sequence[str], models: Sequence[HashModel], splits: Splits) -> dict[str, str]:
    """Warn of each model that was trained on queries, and return the warnings by name."""
    found = {name: leakage(model, splits) for name, model in zip(names, models, strict=True)}
    advice = "fit on the training part of the split (folder:PATH leaves the queries out)"
    leaks = {
        name: f"{name} was trained on {images}, so its numbers are too good; {advice}"
        for name, images in found.items()
        if images
    }
    for leak in leaks.values():
        warnings.warn(leak, stacklevel=3)
    return leaks


def _rows(name: str, searches: Searches, measures: Measures, directions: Sequence[Direction]) -> list[Row]:
    """Measure a model in several directions."""
    bits = searches.model.bits
    return [measures.row(_label(name, searches, one), searches[one], bits) for one in directions]


def _label(name: str, searches: Searches, direction: Direction) -> str:
    """Name a row; by its direction too where the model has several."""
    return f"{name}, {direction}" if "text" in searches.model.towers else name


def _names(models: Sequence[HashModel]) -> list[str]:
    """Name models by their method; by their bits too where several are compared."""
    methods = [str(model.method.get("name", "model")) for model in models]
    if len(models) == 1:
        return methods
    names = [f"{name}, {model.bits} bits" for name, model in zip(methods, models, strict=True)]
    return [f"{name} (model {place})" if names.count(name) > 1 else name for place, name in enumerate(names, 1)]


def _facts(searches: Searches, difficulty: Difficulty | None) -> dict[str, Any]:
    model, protocol = searches.model, searches.splits.protocol
    queries, database = (len(features) for features in searches.image_features())
    return {
        "version": protocol.version,
        "checksum": protocol.checksum,
        "relevance": protocol.relevance,
        **({"difficulty": difficulty} if difficulty else {}),
        "queries": queries,
        "database": database,
        "bits": model.bits,
        "method": model.method.get("name", "?"),
        "backbone": model.tower("image").backbone.name,
        "fingerprint": model.fingerprint,
        "ties": "expected",
    }
