"""Reviews of duplicates as a service shows them: which report belongs to which index, and pages of groups."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from kinbits._util import full_path, printable
from kinbits.dedupe import KIND_TEXTS, Kind, Review, ReviewedGroup, ReviewedReport
from kinbits.errors import UsageError
from kinbits.serving.served_index import ServedIndex

GROUPS_SHOWN = 20  # of a page, without another wish
MOST_GROUPS = 100
FILES_OF_PAGE = 200  # a page with more has one group
FILES_OF_GROUP = 200  # of a group on a page; the others are read by its number


@dataclass(frozen=True)
class Wishes:
    """Which groups are asked for.

    Attributes:
        kind: Only groups of this kind.
        undecided: Only groups without a decision.
        start: Number of the first group, or a lower one.
        before: The groups before this number instead.
        limit: Maximum number of groups.
    """

    kind: Kind | None = None
    undecided: bool = False
    start: int = 0
    before: int | None = None
    limit: int = GROUPS_SHOWN


def open_reviews(given: Sequence[str], indexes: Sequence[str]) -> dict[str, Review]:
    """Return reviews by the names of their indexes.

    Args:
        given: Folders of reports; ``INDEX=REPORT`` names the index, which may be left out where there is only one.
        indexes: Names of all indexes.

    Raises:
        UsageError: If a report belongs to no index, or two belong to one.
        ArtefactError: If there is no report, or its decisions are those of another one.
        DataError: If the folder of the images cannot be opened.
    """
    found: dict[str, Review] = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals or full_path(text).exists():
            name, path = indexes[0], text
            if len(indexes) > 1:
                raise UsageError(
                    f"{text}: name the index of the duplicates: INDEX=REPORT; there are {', '.join(indexes)}"
                )
        if name not in indexes:
            raise UsageError(f"{text}: there is no index '{name}'; there are {', '.join(indexes)}")
        if name in found:
            raise UsageError(f"index '{name}' has two reports of duplicates; give one")
        found[name] = Review(Path(path))
    return found


def page_of(served: ServedIndex, review: Review, wishes: Wishes) -> dict[str, Any]:
    """Return a page of groups as JSON types, with what was decided so far.

    Args:
        served: The index.
        review: Its review.
        wishes: Which groups.
    """
    state, index = review.read(), served.name
    numbers = state.numbers(wishes.kind, undecided=wishes.undecided)
    sizes = [len(group) for group in state.report]
    if wishes.before is None:
        shown = _first([number for number in numbers if number >= wishes.start], sizes, wishes.limit)
    else:
        shown = _first([number for number in reversed(numbers) if number < wishes.before], sizes, wishes.limit)[::-1]
    place = numbers.index(shown[0]) if shown else 0
    groups = state.read(shown, slice(FILES_OF_GROUP))
    return {
        "index": index,
        "report": state.decisions.report,
        "images": served.may_show(state.root),
        "count": len(numbers),
        "place": place,
        "previous": shown[0] if place else None,
        "next": shown[-1] + 1 if shown and shown[-1] != numbers[-1] else None,
        "groups": [group_json(state, group, index) for group in groups],
        **totals_json(state),
    }


def _first(numbers: Iterable[int], sizes: Sequence[int], most: int) -> list[int]:
    """Return the first numbers of groups that fit on a page; at least one."""
    shown: list[int] = []
    files = 0
    for number in numbers:
        files += min(sizes[number], FILES_OF_GROUP)
        if shown and (len(shown) >= most or files > FILES_OF_PAGE):
            break
        shown.append(number)
    return shown


def totals_json(state: ReviewedReport) -> dict[str, Any]:
    """Return what was decided so far, and the kinds of groups, as JSON types."""
    totals = asdict(state.totals)
    kinds = {
        kind: {"title": KIND_TEXTS[kind][0], "text": KIND_TEXTS[kind][1], "groups": count}
        for kind, count in totals.pop("groups").items()
    }
    return {"totals": totals, "kinds": kinds}


def group_json(state: ReviewedReport, group: ReviewedGroup, index: str, start: int = 0) -> dict[str, Any]:
    """Return a group as JSON types; its files are named by their numbers from ``start``."""
    named = urlencode({"index": index, "report": state.decisions.report[:12]})
    return {
        "group": group.number,
        "kind": group.group.kind,
        "why": group.group.reason,
        "version": group.version,
        "size": len(group.group),
        "files": [
            {
                "file": place,
                **asdict(file.item),
                "shown": printable(file.item.path),
                "decision": file.decision,
                "note": file.note,
                "thumbnail": f"v1/duplicates/{group.number}/{place}/thumbnail?{named}",
            }
            for place, file in enumerate(group.files, start)
        ],
    }
