"""Which classes a report page shows, and what it says about the others."""

from __future__ import annotations

from collections.abc import Sequence

from kinbits.metrics import ClassResult

_MOST = 100  # rows of a table that is still read


def shown_classes(found: Sequence[ClassResult], metrics: Sequence[str], name: str) -> tuple[list[ClassResult], str]:
    """Choose the classes of a table, the lowest value of the first metric first.

    Args:
        found: All classes.
        metrics: Metric names.
        name: The ranking that was measured.

    Returns:
        At most 100 classes, and a note on the table and on what it leaves out.
    """
    measured = [one for one in found if one.queries]
    first = next((metric for metric in metrics if measured and metric in measured[0].values), metrics[0])
    shown = sorted(measured, key=lambda one: one.values[first])[:_MOST]
    notes = [f"{name}, for the queries of each class, lowest {first} first; below each number its 95 % interval"]
    if len(shown) < len(measured):
        notes.append(f"the other {len(measured) - len(shown)} of {len(measured)} classes are in the JSON report")
    if any(not one.intervals for one in shown):
        notes.append("fewer than 5 queries have no interval")
    unanswered = [one.name for one in found if not one.queries]
    if unanswered:
        more = " …" if len(unanswered) > 10 else ""
        notes.append(f"without a relevant item: {', '.join(unanswered[:10])}{more}")
    return shown, "; ".join(notes) + "."
