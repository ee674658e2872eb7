"""Parse the names of metrics."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kinbits.errors import UsageError, unknown_name
from kinbits.metrics.measures import FAMILIES, Family

_FORM = "e.g. map@all, map@1000, precision@100, recall@10, precision@r2, ndcg@100 or mrr"


@dataclass(frozen=True)
class Metric:
    """A parsed name: what is measured, and over which part of the ranking.

    Attributes:
        name: As it was written, in lower case.
        family: What is measured, e.g. ``"map"``.
        k: Length of the list that counts; None for all, and where a radius is given.
        radius: Hamming radius; None where a list length is given.
        variant: Another definition of the same measure, e.g. ``"retrieved"``; None for the usual one.
    """

    name: str
    family: str
    k: int | None = None
    radius: int | None = None
    variant: str | None = None


def parse_metric(name: str) -> Metric:
    """Read a metric's name.

    | name | what it is |
    | --- | --- |
    | ``map@all``, ``map@1000`` | mean average precision; denominator min(R, k) |
    | ``map@1000/all``, ``map@1000/retrieved`` | the same with the denominator R, or the hits found |
    | ``precision@100``, ``recall@100`` | of a list; with R < 100, R / 100 is the maximum of the precision |
    | ``precision@r2``, ``recall@r2``, ``f1@r2`` | of a Hamming ball; precision of an empty ball is 0 |
    | ``hit@10`` | whether a relevant item is in the list |
    | ``mrr``, ``rprecision`` | mean reciprocal rank; precision of a list of R |
    | ``ndcg@all``, ``ndcg@100``, ``acg@100`` | gain 2^g - 1 discounted by log2(1 + rank); mean grade |
    | ``wmap@all``, ``wmap@100`` | weighted mean average precision |
    | ``hp@100``, ``mahp@250``, ``mahp@250/trapezoid`` | hierarchical precision; its mean over 1..k, or the area below |
    | ``ann-recall@10``, ``1-recall@10`` | of the true 10 neighbours, of the one nearest |
    | ``map-revisited`` | of revisited Oxford and Paris: trapezoid rule |

    Raises:
        UsageError: If the name is none of these.
    """
    match = re.fullmatch(r"([a-z0-9-]+?)(?:@(all|r?\d+))?(?:/([a-z]+))?", name.strip().lower())
    if match is None:
        raise UsageError(f"metric '{name}' cannot be read; write {_FORM}")
    stem, cut, variant = match.groups()
    if stem not in FAMILIES:
        raise unknown_name("metric", stem, FAMILIES)
    metric = Metric(match.group(0), stem, **_cut(cut), variant=variant)
    _check(metric, cut, FAMILIES[stem])
    return metric


def parse_metrics(names: Sequence[str]) -> list[Metric]:
    """Read several names; one string alone is taken for a list of one."""
    names = [names] if isinstance(names, str) else names
    if not names:
        raise UsageError(f"no metric was named; write {_FORM}")
    return [parse_metric(name) for name in names]


def _cut(text: str | None) -> dict[str, int]:
    if text is None or text == "all":
        return {}
    return {"radius": int(text[1:])} if text[0] == "r" else {"k": int(text)}


def _check(metric: Metric, cut: str | None, family: Family) -> None:
    """Refuse a cut or variant that the family does not have."""
    name, stem = metric.name, metric.family
    if family.uncut and cut is not None:
        raise UsageError(f"metric '{name}' has no cut; write {stem}")
    if not family.uncut and cut is None:
        raise UsageError(f"metric '{name}' does not say where to cut; {_example(stem, family)}")
    if cut == "all" and not family.whole:
        raise UsageError(f"metric '{name}' is the same for every ranking; {_example(stem, family)}")
    if metric.radius is not None and family.within is None:
        raise UsageError(f"metric '{name}': {stem} is cut at a list length, not a radius; {_example(stem, family)}")
    if metric.k is not None and family.at is None:
        raise UsageError(f"metric '{name}': {stem} is cut at a radius, not a list length; {_example(stem, family)}")
    if metric.k == 0:
        raise UsageError(f"metric '{name}': the list must hold 1 item or more")
    if metric.variant is not None and metric.variant not in family.variants:
        raise unknown_name("definition", metric.variant, family.variants, place=f"of {stem}")


def _example(stem: str, family: Family) -> str:
    return f"e.g. {stem}@1000" if family.at else f"e.g. {stem}@r2"
