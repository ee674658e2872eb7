"""Sampled images of a collection and edits of them: how far a copy is from its original."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kinbits import hamming
from kinbits._util import Bar, processors
from kinbits.data import EDITS, BadImage, Edit, edit_image
from kinbits.dedupe.encoded import Model
from kinbits.dedupe.looking import Look, look
from kinbits.dedupe.similarity import VERSION, similarity
from kinbits.dedupe.state import State
from kinbits.hamming import Codes
from kinbits.perceptual import LEAST_QUALITY

SIDE = 768  # pixels of the longer side of an image before it is edited
GROWTH = 2.0  # times a collection grows before another sample is edited
_SCALE = 1000  # of a similarity, as an integer
_FAR = 1000  # bits between hashes of which one says little


@dataclass(frozen=True)
class EditedCopies:
    """Sampled images beside their copies by one edit.

    Attributes:
        bits: Distances of the codes, int16 ``(m,)``.
        hash_bits: Distances of PDQ, int16 ``(m,)``; 1000 where a hash says little. None if nothing was looked at.
        similarity: Similarities by pixels, float64 ``(m,)``, or None.
    """

    bits: NDArray[np.int16]
    hash_bits: NDArray[np.int16] | None = None
    similarity: NDArray[np.float64] | None = None


def edit_sample(
    model: Model,
    load: Callable[[int], Image.Image],
    codes: Codes,
    state: State,
    *,
    looked: bool,
    edits: Sequence[Edit] = EDITS,
    sample: int,
    seed: int,
    progress: bool = False,
) -> dict[str, EditedCopies]:
    """Edit sampled images, and return for each edit what is between them and their copies.

    Images are scaled down to 768 pixels first, for time. The distances of an earlier search are used again until the
    collection has twice or half the size.

    Args:
        model: Makes the codes.
        load: Returns the image of a row, or raises `BadImage`.
        codes: Codes of all rows, uint8 ``(n, w)``.
        state: Distances of earlier searches.
        looked: Look at the images as well, and not only at their codes.
        edits: The edits.
        sample: Number of images.
        seed: Seed of the sample and of the edits.
        progress: Show progress on standard error.
    """
    job, n, measures = _job(model, edits, sample, seed, looked), len(codes), 3 if looked else 1
    known = state.edits(job, measures * len(edits))
    if known is not None and known[0] <= GROWTH * n and n <= GROWTH * known[0]:
        return _by_edit(edits, known[1].reshape(len(edits), measures, -1))
    rows, images = _sampled(load, n, sample, seed)
    if not images:
        return {}
    found: list[list[NDArray[np.int16]]] = []
    with Bar("measuring copies", len(edits), progress) as bar, ThreadPoolExecutor(processors()) as pool:
        compare = _comparison(images, pool) if looked else None
        for done, edit in enumerate(edits, 1):
            changed = [edit_image(image, edit, seed=seed + place) for place, image in enumerate(images)]
            found.append([hamming.paired_distances(codes[rows], model.encode(changed)).astype(np.int16)])
            found[-1] += compare(changed) if compare is not None else []
            bar.update(done)
    distances = np.array(found, np.int16)
    state.keep_edits(job, n, distances.reshape(measures * len(edits), -1))
    return _by_edit(edits, distances)


def _by_edit(edits: Sequence[Edit], distances: NDArray[np.int16]) -> dict[str, EditedCopies]:
    return {
        str(edit): EditedCopies(rows[0], rows[1], rows[2] / _SCALE) if len(rows) > 1 else EditedCopies(rows[0])
        for edit, rows in zip(edits, distances, strict=True)
    }


def _comparison(
    images: Sequence[Image.Image], pool: ThreadPoolExecutor
) -> Callable[[Sequence[Image.Image]], list[NDArray[np.int16]]]:
    """Return what measures the distances of PDQ and the similarities by pixels between images and their copies."""
    originals = list(pool.map(look, images))

    def compare(copies: Sequence[Image.Image]) -> list[NDArray[np.int16]]:
        seen = list(pool.map(look, copies))
        pairs = list(zip(originals, seen, strict=True))
        alike = list(pool.map(lambda pair: similarity(*(one.details for one in pair)), pairs))
        apart = hamming.paired_distances(_hashes(originals), _hashes(seen)).astype(np.int16)
        trusted = np.array([min(one.quality for one in pair) >= LEAST_QUALITY for pair in pairs])
        return [np.where(trusted, apart, np.int16(_FAR)), np.rint(_SCALE * np.array(alike)).astype(np.int16)]

    return compare


def _hashes(seen: Sequence[Look]) -> Codes:
    return np.frombuffer(b"".join(one.hash for one in seen), np.uint8).reshape(len(seen), -1)


def _sampled(load: Callable[[int], Image.Image], n: int, sample: int, seed: int) -> tuple[list[int], list[Image.Image]]:
    rows: list[int] = []
    images: list[Image.Image] = []
    for row in np.random.default_rng(seed).permutation(n).tolist():
        if len(images) == sample:
            break
        try:
            images.append(_small(load(row)))
            rows.append(row)
        except BadImage:  # it was changed or removed meanwhile
            continue
    return rows, images


def _job(model: Model, edits: Sequence[Edit], sample: int, seed: int, looked: bool) -> str:
    facts = [model.fingerprint, list(map(str, edits)), sample, seed, SIDE]
    facts += [VERSION] if looked else []
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _small(image: Image.Image) -> Image.Image:
    small = image.copy()
    small.thumbnail((SIDE, SIDE))
    return small
