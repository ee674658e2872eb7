"""mAP as published code computes it, to compare with the tables of a paper.

Each definition is a sort call, with whatever order it leaves ties in, a denominator, and a rule for queries that find
nothing. Read from the code of the projects named; restated in our words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kinbits import hamming
from kinbits._util import require
from kinbits.errors import DataError, UsageError, unknown_name
from kinbits.metrics.groups import JUNK
from kinbits.metrics.names import Metric
from kinbits.metrics.relevance import Codes, GradedRelevance
from kinbits.metrics.result import RankingResult

Rows = NDArray[np.int64]
Sort = Callable[[NDArray[np.uint16], int], Rows]


@dataclass(frozen=True)
class LegacyDefinition:
    """One project's mAP.

    Attributes:
        name: Name for ``legacy=`` of `evaluate`.
        source: Project and file.
        order: Its sort call, and the order of ties that follows.
        denominator: ``"retrieved"``: hits in the list; ``"all"``: R; ``"min"``: min(R, k).
        empty: What happens to a query without a hit in its list: ``"dropped"``; ``"zero"``: it counts 0;
            ``"without truth dropped"``: 0 if the database holds relevant items, else dropped.
        note: Other particulars.
        sort: Distances and list length to row numbers, nearest first.
        shortened: Whether ``map@all`` leaves the farthest item out.
    """

    name: str
    source: str
    order: str
    denominator: Literal["retrieved", "all", "min"]
    empty: Literal["dropped", "zero", "without truth dropped"]
    note: str
    sort: Sort
    shortened: bool = False

    def __str__(self) -> str:
        return f"{self.name}: {self.source}; {self.order}; over {self.denominator}; nothing found: {self.empty}"


def legacy_definitions() -> tuple[LegacyDefinition, ...]:
    """List the legacy definitions that `evaluate` knows."""
    return _DEFINITIONS


def evaluate_legacy(
    queries: Codes, database: Codes, relevance: GradedRelevance, metrics: Sequence[Metric], name: str
) -> RankingResult:
    """Compute mAP as a project's code does.

    Raises:
        UsageError: If the definition is unknown, or a metric is another than mAP.
        DataError: If every query is dropped.
    """
    known = {definition.name: definition for definition in _DEFINITIONS}
    if name not in known:
        raise unknown_name("legacy definition", name, known)
    for metric in metrics:
        if metric.family != "map" or metric.variant:
            raise UsageError(
                f"legacy definitions exist of map@all and map@k; measure {metric.name} without legacy='{name}'"
            )
    definition = known[name]
    values = {metric.name: np.full(len(queries), np.nan) for metric in metrics}
    for query in range(len(queries)):
        levels = relevance.levels(query, query + 1)[0]
        near = hamming.distances(queries[query : query + 1], database)[0][levels != JUNK]
        relevant = relevance.scale.relevant[levels[levels != JUNK]]
        for metric in metrics:
            values[metric.name][query] = _average_precision(definition, near, relevant, metric.k)
    excluded = int(np.isnan(values[metrics[0].name]).sum())
    if excluded == len(queries):
        raise DataError("no query finds a relevant item in the database; check the labels of both")
    return RankingResult(values, excluded, {}, definition.order, name)


def _average_precision(
    definition: LegacyDefinition, near: NDArray[np.uint16], relevant: NDArray[np.bool_], k: int | None
) -> float:
    """Return the average precision of one query; NaN where the definition drops it."""
    length = len(near) if k is None else min(k, len(near))
    found = relevant[definition.sort(near, length)][:length]
    if definition.shortened and k is None:
        found = found[:-1]
    ranks = np.flatnonzero(found) + 1.0
    most = {"retrieved": len(ranks), "all": int(relevant.sum()), "min": min(int(relevant.sum()), length)}
    if len(ranks) == 0:
        zero = definition.empty == "zero" or (definition.empty != "dropped" and relevant.any())
        return 0.0 if zero else np.nan
    return float(np.sum(np.arange(1, len(ranks) + 1) / ranks) / most[definition.denominator])


def _quick(near: NDArray[np.uint16], length: int) -> Rows:
    """NumPy's default sort of float32, as these projects call it; the order of ties differs by processor."""
    return np.argsort(near.astype(np.float32))


def _stable(near: NDArray[np.uint16], length: int) -> Rows:
    return np.argsort(near, kind="stable")


def _partition(near: NDArray[np.uint16], length: int) -> Rows:
    distance = near.astype(np.float32)
    first = np.argpartition(distance, length - 1)[:length]
    return first[np.argsort(distance[first])]


def _topk(near: NDArray[np.uint16], length: int) -> Rows:
    torch = require("torch")
    rows = torch.topk(torch.from_numpy(near.astype(np.float32)), length, largest=False)[1]
    return np.asarray(rows.numpy())


_QUICK = "numpy.argsort, unstable"
_TOPK = "torch.topk on the CPU, unstable"
_DEFINITIONS = (
    LegacyDefinition(
        "hashnet",
        "thuml/HashNet, pytorch/src/test.py",
        _QUICK,
        "retrieved",
        "dropped",
        "a query without a hit in its first k is dropped, even if the database holds relevant items",
        _quick,
    ),
    LegacyDefinition(
        "deephash",
        "thulab/DeepHash, DeepHash/evaluation/__init__.py, get_mAPs_after_sign",
        "numpy.argpartition, then numpy.argsort, unstable",
        "retrieved",
        "dropped",
        "which of the items tied at rank k enter the list is up to the partition",
        _partition,
    ),
    LegacyDefinition(
        "deephash-pytorch",
        "swuxyj/DeepHash-pytorch, utils/tools.py, CalcTopMap",
        _QUICK,
        "retrieved",
        "zero",
        "its setting for 'all' is topK = -1, a slice that leaves the farthest item out",
        _quick,
        shortened=True,
    ),
    LegacyDefinition(
        "orthohash",
        "kamwoh/orthohash, functions/hashing.py, calculate_mAP (and CISiPLab/cisip-FIRe, functions/metrics.py)",
        _TOPK,
        "retrieved",
        "zero",
        "on a GPU, which its authors used, torch.topk leaves ties in another order",
        _topk,
    ),
    LegacyDefinition(
        "dcmh",
        "jiangqy/DCMH-CVPR2017, DCMH_matlab, calcMapTopkMapTopkPreTopkRecLabel.m",
        "MATLAB sort, stable: database order",
        "retrieved",
        "zero",
        "DSH and Caffe-DeepBinaryCode sort in the same way",
        _stable,
    ),
    LegacyDefinition(
        "landmarks",
        "tensorflow/models, delf, google_landmarks_dataset/metrics.py, MeanAveragePrecision",
        "none of its own, lists come sorted: database order is taken here",
        "min",
        "without truth dropped",
        "the definition of Google Landmarks v2, which knows no query without ground truth",
        _stable,
    ),
    LegacyDefinition(
        "landmarks-fire",
        "CISiPLab/cisip-FIRe, functions/metrics.py, compute_mAP_score_for_id_multi_R",
        _TOPK,
        "all",
        "zero",
        "names the rule of Google Landmarks v2 as its source, but divides by R where that divides by min(R, k)",
        _topk,
    ),
)
