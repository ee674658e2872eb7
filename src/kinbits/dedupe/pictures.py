"""Which files of a report show the same picture, through all groups of copies that they are in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kinbits.dedupe.groups import SAME_PICTURE, DuplicateGroup


def picture_classes(groups: Iterable[DuplicateGroup], places: Mapping[str, int]) -> list[int]:
    """Return a number for each file; those of two files are equal if the files show the same picture.

    Args:
        groups: The groups; those of bursts and similar images join nothing.
        places: Place of each path in the result, 0 to n - 1.
    """
    parent = list(range(len(places)))

    def find(place: int) -> int:
        while parent[place] != place:
            parent[place] = place = parent[parent[place]]
        return place

    for group in groups:
        if group.kind in SAME_PICTURE:
            first = find(places[group.representative.path])
            for item in group.others:
                parent[find(places[item.path])] = first
    return [find(place) for place in range(len(places))]
