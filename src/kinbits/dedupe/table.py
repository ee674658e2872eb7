"""How a terminal shows a report of duplicates, in 80 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kinbits._util import printable
from kinbits.dedupe.groups import KINDS, DuplicateGroup, DuplicateItem, Kind

if TYPE_CHECKING:
    from kinbits.dedupe.calibration_result import Calibration
    from kinbits.dedupe.report import DedupeReport

HEADINGS: dict[Kind, str] = {
    "bytes": "same file",
    "pixels": "same pixels",
    "copies": "copies",
    "bursts": "bursts",
    "similar": "similar",
}
_SHOWN = 6  # items of a group
_SEVERAL = {"two": "two edits together", "three": "three edits together"}
_LITTLE = 0.3  # share of copies found that is little
TO_REVIEW = 20.0
"""False pairs that a person can look through."""


def summary(report: DedupeReport) -> str:
    """Return what was found, in a line."""
    counts = [(kind, len(report.of_kind(kind))) for kind in KINDS]
    found = ", ".join(f"{count:,} {HEADINGS[kind]}" for kind, count in counts if count) or "no duplicates"
    return f"{report.root}: {report.items:,} image{'s' * (report.items != 1)}; groups: {found}"


def groups_table(report: DedupeReport, most: int | None) -> Any:
    """Return the tables of the groups and of the calibration, for `rich`."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = [Text(printable(summary(report)), "bold")]
    parts += [_kind_table(report, kind, most) for kind in KINDS if report.of_kind(kind)]
    parts += [_known_table(report, most)] if report.known else []
    parts += [Text(printable(line)) for line in closing_lines(report)]
    return Group(*parts)


def closing_lines(report: DedupeReport) -> list[str]:
    """Return what is to be known about the result, a line each."""
    lines = []
    if report.spare_bytes:
        lines.append(f"{size_text(report.spare_bytes)} are in copies beside the best of each group")
    found = report.calibration
    if found is not None:
        lines.append(_radius_line(found))
        share = found.mean_recall
        nothing = found.radius < 0
        if not found.given and (nothing or (share is not None and share < _LITTLE)):
            lines.append(_wider_line(found))
        if found.recall and not nothing:
            worst = sorted(found.recall.items(), key=lambda pair: (pair[1], pair[0]))[:4]
            low = ", ".join(f"{_SEVERAL.get(name, name)} {share:.0%}" for name, share in worst)
            lines.append(f"copies found: {found.mean_recall:.1%} over {len(found.recall)} edits; fewest: {low}")
    if report.skipped:
        one = report.skipped[0]
        rest = "; the report lists all" * (len(report.skipped) > 1)
        lines.append(f"{len(report.skipped):,} skipped, e.g. {one.id}: {one.reason}{rest}")
    if report.ignored:
        count = sum(report.ignored.values())
        lines.append(f"{count:,} other file{'s' * (count != 1)} without an extension of images")
    return [*lines, *report.notes]


def size_text(count: int) -> str:
    """Return a number of bytes in a unit that keeps it short.

    Example:
        >>> size_text(999), size_text(12_345_678)
        ('999 B', '12.3 MB')
    """
    value, units = float(count), ["B", "kB", "MB", "GB", "TB", "PB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.0f} {units[0]}" if units[0] == "B" else f"{value:.3g} {units[0]}"


def _kind_table(report: DedupeReport, kind: Kind, most: int | None) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    groups = report.of_kind(kind)
    shown = groups if most is None else groups[:most]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True, expand=False)
    table.add_column(HEADINGS[kind], overflow="fold", ratio=1)
    columns = ["pixels", "size", *(["bits"] if kind not in ("bytes", "pixels") else [])]
    columns += ["alike"] if any(item.similarity is not None for group in shown for item in group) else []
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for group in shown:
        _add_group(table, group, len(columns))
    rest = len(groups) - len(shown)
    if rest:
        table.add_row(f"... and {rest:,} more groups")
    return table


def _add_group(table: Any, group: DuplicateGroup, columns: int) -> None:
    from rich.text import Text

    for place, item in enumerate(group.items[:_SHOWN]):
        name = Text(printable(item.path if place == 0 else f"  {item.path}"), "bold" if place == 0 else "")
        table.add_row(name, *_cells(item)[:columns])
    rest = len(group) - _SHOWN
    if rest > 0:
        table.add_row(f"  ... and {rest:,} more")
    table.add_section()


def _cells(item: DuplicateItem) -> list[str]:
    pixels = f"{item.width}x{item.height}" if item.width else ""
    bits = "" if item.distance is None else str(item.distance)
    alike = "" if item.similarity is None else f"{item.similarity:.0%}"
    return [pixels, size_text(item.bytes) if item.bytes else "", bits, alike]


def _known_table(report: DedupeReport, most: int | None) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True)
    for name in ("known", "bank", "is"):
        table.add_column(name, overflow="fold")
    shown = report.known if most is None else report.known[:most]
    looked = any(match.similarity is not None for match in shown)
    for name in ("bits", "alike")[: 1 + looked]:
        table.add_column(name, justify="right", no_wrap=True)
    for match in shown:
        alike = "" if match.similarity is None else f"{match.similarity:.0%}"
        names = (Text(printable(text)) for text in (match.path, match.bank, match.known))
        table.add_row(*names, *(str(match.distance), alike)[: 1 + looked])
    if len(report.known) > len(shown):
        table.add_row(f"... and {len(report.known) - len(shown):,} more")
    return table


def _radius_line(found: Calibration) -> str:
    """Say what counts as a copy, and how many of the pairs found are false."""
    if found.similarity is not None:
        return _similarity_line(found, found.similarity)
    if found.radius < 0:
        return f"no radius keeps false pairs rare: among equal codes, {found.false_pairs[0]:.2g} are expected"
    start = f"radius {found.radius} of {found.bits} bits, {'given' if found.given else 'calibrated'}: "
    return start + _expected(found)


def _similarity_line(found: Calibration, similarity: float) -> str:
    how = "given" if found.given else "calibrated"
    return (
        f"looked at {found.looked_at:,} pairs of near codes; copies are those of similarity {similarity:.2f} or more, "
        f"{how}: {_expected(found)}"
    )


def _expected(found: Calibration) -> str:
    expected = f"{found.expected_false_pairs:.2g} false pairs expected"
    if found.found_pairs is None:
        return expected
    if found.expected_false_pairs >= max(found.found_pairs, 1):
        return f"all {found.found_pairs:,} pairs found may be false"
    return f"{expected} among {found.found_pairs:,} found"


def _wider_line(found: Calibration) -> str:
    """Name a radius or a similarity whose false pairs a person can look through."""
    wider = max((r for r, expected in enumerate(found.false_pairs) if expected <= TO_REVIEW), default=0)
    levels = len(found.false_pairs) - 1
    taken = found.radius if found.similarity is None else round(levels * (1 - found.similarity))
    if wider <= taken:
        return "the model does not tell copies from other images here; try another one, such as pdq"
    name = f"radius of {wider}" if found.similarity is None else f"similarity of {1 - wider / levels:.2f}"
    return (
        f"to find more copies, give a {name} and review the groups: about "
        f"{found.false_pairs[wider]:.0f} of the pairs will be false; or try another model, such as pdq"
    )
