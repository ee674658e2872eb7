"""The one parser of metric names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kinbits._errors import UsageError, unknown_name

_FAMILIES = ("map", "precision", "recall")
_FORM = "map@all, map@1000, precision@100, recall@10, precision@r2 or recall@r2 (any numbers)"


@dataclass(frozen=True)
class Metric:
    """A parsed name: what is measured, and over which part of the ranking.

    Attributes:
        name: As it was written, in lower case.
        family: ``"map"``, ``"precision"`` or ``"recall"``.
        k: Length of the list that counts; None for all, and where a radius is given.
        radius: Hamming radius; None where a list length is given.
    """

    name: str
    family: str
    k: int | None = None
    radius: int | None = None


def parse_metric(name: str) -> Metric:
    """Read a metric's name: ``map@all``, ``map@1000``, ``precision@100``, ``recall@10``, ``precision@r2``.

    Raises:
        UsageError: for any other name, with what is allowed.
    """
    match = re.fullmatch(r"([a-z]+)@(all|r?\d+)", name.strip().lower())
    if match is None:
        raise UsageError(f"metric '{name}' cannot be read; write {_FORM}")
    family, cut = match.groups()
    if family not in _FAMILIES:
        raise unknown_name("metric", family, _FAMILIES)
    return _checked(Metric(f"{family}@{cut}", family, **_cut(cut)))


def parse_metrics(names: Sequence[str]) -> list[Metric]:
    """Read several names; one string alone is taken for a list of one."""
    names = [names] if isinstance(names, str) else names
    if not names:
        raise UsageError(f"no metric was named; write {_FORM}")
    return [parse_metric(name) for name in names]


def _cut(text: str) -> dict[str, int]:
    if text == "all":
        return {}
    return {"radius": int(text[1:])} if text[0] == "r" else {"k": int(text)}


def _checked(metric: Metric) -> Metric:
    if metric.family == "map" and metric.radius is not None:
        raise UsageError(f"metric '{metric.name}': mAP is cut at a list length, not a radius; e.g. map@1000")
    if metric.family != "map" and metric.k is None and metric.radius is None:
        raise UsageError(f"metric '{metric.name}' is the same for every ranking; e.g. {metric.family}@100")
    if metric.k == 0:
        raise UsageError(f"metric '{metric.name}': the list must hold 1 item or more")
    return metric
