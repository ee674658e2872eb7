"""Signals, as ThreatExchange exchanges hashes of known images and videos: a type and a value."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from kinbits.errors import DataError

SIGNAL_LINE = re.compile(r"[a-z][a-z0-9_]* +[0-9a-fA-F]{32,}", re.ASCII)
ANY_SIGNAL = re.compile(r"[a-z][a-z0-9_]* +\S.*", re.ASCII | re.DOTALL)
TYPE, VALUE = "signal_type", "signal_str"  # columns of its tables
_PDQ = re.compile("[0-9a-f]{64}", re.ASCII)
_NAMES = ("pdq", "HASH_PDQ")  # of the type: python-threatexchange's, and that of the API


class Signals(NamedTuple):
    """The PDQ hashes among signals.

    Attributes:
        values: Each hash once, 64 digits, in the order of the first occurrence.
        columns: Metadata by name; what several rows say of one hash is joined by a comma and a blank.
        left_out: Numbers of other signals, by type: those of files and videos are no codes of images.
    """

    values: list[str]
    columns: dict[str, list[str | None]]
    left_out: dict[str, int]


def signals_of(signals: Sequence[tuple[str, str]], columns: Mapping[str, Sequence[str | None]]) -> Signals:
    """Find the PDQ hashes among signals.

    Args:
        signals: Type and value of each of n.
        columns: Metadata by name, n values each.

    Raises:
        DataError: If there is none, or a value is no PDQ hash.
    """
    kept: dict[str, list[int]] = {}
    others: Counter[str] = Counter()
    for row, (kind, value) in enumerate(signals):
        if kind not in _NAMES:
            others[kind] += 1
            continue
        digits = value.strip().lower()
        if not _PDQ.fullmatch(digits):
            raise DataError(f"row {row} is {value[:80]!r}, not a PDQ hash; it has 64 hexadecimal digits")
        kept.setdefault(digits, []).append(row)
    if not kept:
        raise DataError(f"it holds no signal of type pdq, only {', '.join(sorted(others)) or 'none'}; give PDQ hashes")
    joined = {
        name: [_joined([cells[row] for row in rows]) for rows in kept.values()] for name, cells in columns.items()
    }
    return Signals(list(kept), joined, dict(others))


def _joined(cells: Sequence[str | None]) -> str | None:
    return ", ".join(dict.fromkeys(cell for cell in cells if cell)) or None
