"""What an index must hold: the contents that a service has acknowledged, and what its answers may therefore be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np


class Item(NamedTuple):
    """A stored item: its code in hexadecimal, and the number in its column ``version``."""

    code: str
    version: int


State = Item | None
"""None stands for an item that is not in the index."""
ABSENT: frozenset[State] = frozenset([None])


class Ledger:
    """Possible states of all items. A change without an answer may have been made or not, so both states are possible.

    Args:
        codes: Codes of the items that nobody changes, uint8 ``(n, bytes)``; their ids are the rows.
    """

    def __init__(self, codes: np.ndarray) -> None:
        self.fixed = codes
        self._possible: dict[int, frozenset[State]] = {}
        self._sent: defaultdict[int, set[str]] = defaultdict(set)

    def send(self, changes: Mapping[int, State]) -> None:
        """Note changes before they are sent."""
        for one, state in changes.items():
            self._possible[one] = self.possible(one) | {state}
            if state is not None:
                self._sent[one].add(state.code)

    def acknowledge(self, changes: Mapping[int, State]) -> None:
        """Note that changes were answered: nothing else is possible any more."""
        self._possible.update({one: frozenset([state]) for one, state in changes.items()})

    def possible(self, one: int) -> frozenset[State]:
        """Return the possible states of an item."""
        if 0 <= one < len(self.fixed):
            return frozenset([Item(self.fixed[one].tobytes().hex(), 0)])
        return self._possible.get(one, ABSENT)

    def certain(self, one: int) -> Item | None:
        """Return an item that must be stored; None if it may be absent, or is not known for sure."""
        return next(iter(self.possible(one))) if len(self.possible(one)) == 1 else None

    def lost(self, stored: Mapping[int, Item]) -> list[int]:
        """Return the items whose stored state is not possible.

        Args:
            stored: All items of the index on disk.
        """
        known = {*range(len(self.fixed)), *self._possible, *stored}
        return sorted(one for one in known if stored.get(one) not in self.possible(one))

    def fault_of_item(self, one: int, found: State) -> str:
        """Return what is wrong with the answer that an item has this state; nothing if it is right."""
        return "" if found in self.possible(one) else f"item {one} is {found}, not one of {set(self.possible(one))}"

    def fault_at_zero(self, one: int, hits: Iterable[Mapping[str, Any]]) -> str:
        """Return what is wrong with the hits of an item's last code at radius 0.

        Args:
            one: An item whose state is known for sure.
            hits: As the service returns them.
        """
        found = {hit["id"]: hit["distance"] for hit in hits}
        if any(found.values()):
            return f"distances within radius 0 are {set(found.values())}"
        if (one in found) != (self.certain(one) is not None):
            return f"item {one} was {'found' if one in found else 'not found'} by its code"
        return ""

    def fault_of_nearest(self, query: np.ndarray, hits: list[dict[str, Any]], k: int) -> str:
        """Return what is wrong with the nearest items of a code.

        Items that change meanwhile may be among the hits or not. All other items are known, so the hits must hold each
        of them that is nearer than the last hit.

        Args:
            query: uint8 ``(bytes,)``.
            hits: As the service returns them, with codes.
            k: Number of hits that were asked for.
        """
        ids, distances = [hit["id"] for hit in hits], [hit["distance"] for hit in hits]
        if len(set(ids)) != k or distances != sorted(distances):
            return f"not {k} different hits in order: {ids} at {distances}"
        for hit in hits:
            code = np.frombuffer(bytes.fromhex(hit["code"]), np.uint8)
            if hit["code"] not in self._codes_of(hit["id"]) or bit_distances(query, code[None])[0] != hit["distance"]:
                return f"a hit has another code or distance: {hit}"
        nearer = np.flatnonzero(bit_distances(query, self.fixed) < distances[-1])
        missing = set(nearer.tolist()) - set(ids)
        return f"items {sorted(missing)} are nearer than the last hit, and were not found" if missing else ""

    def _codes_of(self, one: int) -> set[str]:
        """Return every code that an item had or may get: an answer may be older than the last change."""
        return {state.code for state in self.possible(one) if state is not None} | self._sent[one]


def bit_distances(query: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return Hamming distances, computed by NumPy alone."""
    distances: np.ndarray = np.unpackbits(codes ^ query, axis=1).sum(axis=1, dtype=np.int64)
    return distances
