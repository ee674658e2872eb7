"""Banks: lists of known items, such as removed ones, as indexes of codes; new images are compared with them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kinbits._util import full_path
from kinbits.dedupe.background import count_distances, fit_background
from kinbits.dedupe.calibrate import Calibrated, allowed_pairs
from kinbits.dedupe.collected import Collected, collect_index
from kinbits.dedupe.looking import Looking
from kinbits.dedupe.report import KnownMatch
from kinbits.dedupe.state import State
from kinbits.dedupe.table import TO_REVIEW
from kinbits.dedupe.verified import CODE_PAIRS, compare_pairs
from kinbits.errors import ArtefactError, UsageError
from kinbits.hamming import Codes
from kinbits.index import Index
from kinbits.model import shipped_name


def match_banks(
    found: Collected,
    banks: Sequence[Any],
    calibrated: Calibrated,
    model: Any,
    tolerance: float,
    *,
    progress: bool = False,
) -> tuple[list[KnownMatch], list[str]]:
    """Return the nearest known item of each image that is a copy of one, and what is to be known about that.

    A bank with a radius is matched by codes. Without one, pairs of near codes are looked at, as those of the collection
    were. Where they cannot be, such as where the images of the bank were removed, the radius is the largest at which
    the false matches to expect are few enough: by the background of the collection, times the number of images, times
    the number of known items.

    Args:
        found: The collection, with codes.
        banks: Indexes, their folders, or ``(index, radius)``.
        calibrated: What was found in the collection.
        model: What made the codes, or None if not known.
        tolerance: Expected false matches, as a share of the matches.
        progress: Show progress on standard error.

    Raises:
        UsageError: If a bank is no index, or its radius no number of bits.
        ArtefactError: If a bank has codes of another length or model.
    """
    matches, notes = [], []
    for bank in banks:
        index, radius, name = _opened(bank)
        _require_fit(index, found.codes, model, name)
        if radius is not None and radius > index.bits:
            raise UsageError(f"the radius of bank {name} is {radius}, and its codes have {index.bits} bits; give less")
        if not len(index):
            continue
        known = collect_index(index, name)
        if radius is None and calibrated.result.similarity is not None and known.has_images():
            some, unread = _looked_at(found, index, known, name, calibrated, progress)
            matches += some
            if not unread:
                continue
            index = _part(known, unread)
        some, told = _within(found, index, name, radius, calibrated, tolerance)
        matches += some
        notes += told
    return _nearest(matches), notes


def _part(known: Collected, rows: list[int]) -> Index:
    """Return an index of some known items."""
    assert known.codes is not None
    return Index.create(bits=8 * known.codes.shape[1]).add(
        known.codes[rows], ids=[known.items[row].path for row in rows]
    )


def _nearest(matches: Iterable[KnownMatch]) -> list[KnownMatch]:
    """Return one match of each image and bank: the most similar one, or else the nearest."""
    best: dict[tuple[str, str], KnownMatch] = {}
    for match in sorted(matches, key=lambda one: (-(one.similarity or 0), one.distance, one.known)):
        best.setdefault((match.path, match.bank), match)
    return [best[key] for key in sorted(best)]


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
        raise ArtefactError(
            f"bank {name} holds {index.bits}-bit codes, which do not fit; make it with the model of this search: "
            f"kinbits index create {name}.index {_model_name(model)} FOLDER"
        )
    if model is not None and index.fingerprint not in (None, model.fingerprint):
        raise ArtefactError(
            f"bank {name} was made with another model ({str(index.fingerprint)[:12]}) than this search "
            f"({model.fingerprint[:12]}); make it with the same one"
        )


def _model_name(model: Any) -> str:
    folder = getattr(model, "folder", None)
    return "MODEL" if folder is None else shipped_name(folder) or str(folder)


def _looked_at(
    found: Collected, index: Index, known: Collected, name: str, calibrated: Calibrated, progress: bool
) -> tuple[list[KnownMatch], list[int]]:
    """Return the most similar known item of each image, among those of near codes that were looked at.

    Also return the rows of near known items whose images are not there.
    """
    assert found.codes is not None
    n, rows = len(found), {item.path: row for row, item in enumerate(known.items)}
    hits = index.search(found.codes, k=min(CODE_PAIRS, len(index)))
    pairs = ((row, hit.ids.tolist(), hit.distances.tolist()) for row, hit in enumerate(hits))
    near = [(row, rows[str(one)], bits) for row, ids, apart in pairs for one, bits in zip(ids, apart, strict=True)]
    first, second, apart = np.array(near, np.int64).T
    kept = apart <= calibrated.result.radius
    first, second, apart = first[kept], second[kept], apart[kept]
    places = np.unique(np.concatenate([first, n + second]))
    looking = Looking(lambda place: _loaded(found, known, int(places[place])), (), State(None), progress=progress)
    hashes, trusted = looking.hashes(len(places))
    one, other = np.searchsorted(places, first), np.searchsorted(places, n + second)
    alike = compare_pairs(looking, hashes, trusted, one, other)
    best: dict[int, int] = {}
    for pair in np.lexsort((apart, -alike)).tolist():
        best.setdefault(int(first[pair]), pair)
    similarity = calibrated.result.similarity
    matches = [
        KnownMatch(item.path, name, known.items[second[pair]].path, int(apart[pair]), round(float(alike[pair]), 2))
        for row, pair in best.items()
        if alike[pair] >= similarity
        for item in found.files.get(row, (found.items[row],))
    ]
    return matches, sorted(int(places[place]) - n for place in looking.unread if places[place] >= n)


def _loaded(found: Collected, known: Collected, place: int) -> Image.Image:
    """Return an image of the collection, or of the bank, whose rows follow."""
    assert found.load is not None
    assert known.load is not None
    return found.load(place) if place < len(found) else known.load(place - len(found))


def _within(
    found: Collected, index: Index, name: str, radius: int | None, calibrated: Calibrated, tolerance: float
) -> tuple[list[KnownMatch], list[str]]:
    """Return the nearest known item of each image that is within the radius, and a note if no radius can be had."""
    assert found.codes is not None
    hits = index.search(found.codes, k=1)
    nearest, notes = np.array([hit.distances[0] for hit in hits], np.int64), []
    if radius is None:
        expected = _expected(found, index, calibrated)
        radius = _radius(nearest, expected, tolerance)
        notes = [_radius_note(name, len(index), radius, expected)]
    known = [str(hit.ids[0]) for hit in hits]
    return [
        KnownMatch(item.path, name, known[row], int(nearest[row]))
        for row in np.flatnonzero(nearest <= radius).tolist()
        for item in found.files.get(row, (found.items[row],))
    ], notes


def _radius_note(name: str, count: int, radius: int, expected: NDArray[np.float64]) -> str:
    """Say that codes alone decided, and by which radius; without one, name one whose matches a person can look at."""
    known = f"{count:,} known items have no image" if count != 1 else "1 known item has no image"
    start = f"bank {name}: {known} at hand, so codes alone decide"
    if radius >= 0:
        return f"{start}: within {radius} bits, {expected[radius]:.2g} false matches expected"
    start += ", and no radius keeps false matches rare"
    wider = np.flatnonzero(expected <= TO_REVIEW)
    if not len(wider):
        return f"{start}; try another model, such as pdq"
    return (
        f"{start}; give one, such as {name}.index={wider[-1]}, and review: about {expected[wider[-1]]:.2g} matches "
        "will be false"
    )


def _expected(found: Collected, index: Index, calibrated: Calibrated) -> NDArray[np.float64]:
    """Return the false matches to expect within each radius; a few images say nothing about different ones."""
    background = calibrated.background
    if background.start < 0:
        counts = count_distances(index.to_codes().codes, 0)
        background = fit_background(counts, np.zeros(len(counts)))
    return background.expected(float(len(found)) * len(index))


def _radius(nearest: NDArray[np.int64], expected: NDArray[np.float64], tolerance: float) -> int:
    matched = np.searchsorted(np.sort(nearest), np.arange(len(expected)), side="right")
    fits = np.flatnonzero(expected <= allowed_pairs(tolerance, matched))
    return int(fits[-1]) if len(fits) else -1
