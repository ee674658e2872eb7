"""Banks: lists of known items, such as removed ones, as indexes of codes; new images are compared with them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinbits._util import full_path
from kinbits.dedupe.background import count_distances, fit_background
from kinbits.dedupe.calibrate import Calibrated, allowed_pairs
from kinbits.dedupe.collected import Collected
from kinbits.dedupe.report import KnownMatch
from kinbits.errors import ArtefactError, UsageError
from kinbits.hamming import Codes
from kinbits.index import Index


def match_banks(
    found: Collected, banks: Sequence[Any], calibrated: Calibrated | None, model: Any, tolerance: float
) -> list[KnownMatch]:
    """Return the nearest known item of each image that is within the radius of a bank.

    A bank without a radius gets the largest at which the false matches to expect are few enough: by the background of
    the collection, times the number of images, times the number of known items.

    Args:
        found: The collection, with codes.
        banks: Indexes, their folders, or ``(index, radius)``.
        calibrated: Background of the collection.
        model: What made the codes, or None if not known.
        tolerance: Expected false matches, as a share of the matches.

    Raises:
        UsageError: If a bank is no index, or its radius no number of bits.
        ArtefactError: If a bank has codes of another length or model.
    """
    matches = []
    for bank in banks:
        index, radius, name = _opened(bank)
        _require_fit(index, found.codes, model, name)
        matches += _matches(found, index, name, radius, calibrated, tolerance)
    return sorted(matches, key=lambda match: (match.path, match.bank))


def _opened(bank: Any) -> tuple[Index, int | None, str]:
    given, radius = bank if isinstance(bank, tuple) and len(bank) == 2 else (bank, None)
    if radius is not None and (not isinstance(radius, int) or radius < 0):
        raise UsageError(f"the radius of a bank is {radius!r}; give a number of bits, 0 or more")
    if isinstance(given, (str, os.PathLike)):
        path = full_path(given)
        return Index.open(path), radius, path.name.removesuffix(".index")
    if not isinstance(given, Index):
        raise UsageError(f"a bank is a {type(given).__name__}; give an index, or its folder")
    path_text = given.info()["path"]
    return given, radius, "memory" if path_text is None else Path(path_text).name.removesuffix(".index")


def _require_fit(index: Index, codes: Codes | None, model: Any, name: str) -> None:
    if codes is None or index.bits != 8 * codes.shape[1]:
        raise ArtefactError(f"bank {name} holds {index.bits}-bit codes, which do not fit; make it with the same model")
    if model is not None and index.fingerprint not in (None, model.fingerprint):
        raise ArtefactError(
            f"bank {name} was made with another model ({str(index.fingerprint)[:12]}) than this search "
            f"({model.fingerprint[:12]}); make it with the same one"
        )


def _matches(
    found: Collected, index: Index, name: str, radius: int | None, calibrated: Calibrated | None, tolerance: float
) -> list[KnownMatch]:
    assert found.codes is not None
    if not len(index):
        return []
    hits = index.search(found.codes, k=1)
    nearest = np.array([hit.distances[0] for hit in hits], np.int64)
    if radius is None:
        radius = _radius(nearest, _expected(found, index, calibrated), tolerance)
    known = [str(hit.ids[0]) for hit in hits]
    return [
        KnownMatch(item.path, name, known[row], int(nearest[row]))
        for row in np.flatnonzero(nearest <= radius).tolist()
        for item in found.files.get(row, (found.items[row],))
    ]


def _expected(found: Collected, index: Index, calibrated: Calibrated | None) -> NDArray[np.float64]:
    """Return the false matches to expect within each radius; a few images say nothing about different ones."""
    background = None if calibrated is None else calibrated.background
    if background is None or background.start < 0:
        counts = count_distances(index.to_codes().codes, 0)
        background = fit_background(counts, np.zeros(len(counts)))
    return background.expected(float(len(found)) * len(index))


def _radius(nearest: NDArray[np.int64], expected: NDArray[np.float64], tolerance: float) -> int:
    matched = np.searchsorted(np.sort(nearest), np.arange(len(expected)), side="right")
    fits = np.flatnonzero(expected <= allowed_pairs(tolerance, matched))
    return int(fits[-1]) if len(fits) else -1
