"""Codes of contents: computed once, kept in the state, batch by batch; and distances of edited images."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kinbits import hamming
from kinbits._util import Bar
from kinbits.data import EDITS, BadImage, Dataset, Edit, PathItems, edit_image
from kinbits.dedupe.state import State
from kinbits.hamming import Codes

BATCH = 256  # images that are encoded, and kept together
SIDE = 768  # pixels of the longer side of an image before it is edited
GROWTH = 2.0  # times a collection grows before another sample is edited


class Model(Protocol):
    """What makes codes: a `kinbits.HashModel`, or anything alike."""

    @property
    def bits(self) -> int:
        """Length of the codes."""

    @property
    def fingerprint(self) -> str:
        """Decides the codes."""

    def encode(self, inputs: Any, **options: Any) -> Any:
        """Encode images, as `kinbits.HashModel.encode` does."""


def encode_contents(
    model: Model, files: Mapping[bytes, Path], state: State, *, progress: bool = False
) -> tuple[dict[bytes, bytes], dict[bytes, str]]:
    """Return the code of each content, and why others have none.

    Args:
        model: Makes the codes.
        files: For each content, a file that has it.
        state: Codes of earlier searches; new ones are kept after each batch.
        progress: Show progress on standard error.
    """
    width = hamming.code_width(model.bits)
    known = state.codes(model.fingerprint, list(files), width)
    missing = [name for name in files if name not in known]
    with Bar("encoding images", len(missing), progress) as bar:
        for start in range(0, len(missing), BATCH):
            some = missing[start : start + BATCH]
            rows = _encoded(model, some, [files[name] for name in some])
            state.keep_codes(model.fingerprint, rows)
            known.update({name: (code, fault) for name, code, fault in rows})
            bar.update(start + len(some))
    codes = {name: code for name, (code, _) in known.items() if code is not None}
    return codes, {name: fault or "cannot be read" for name, (code, fault) in known.items() if code is None}


def _encoded(
    model: Model, names: Sequence[bytes], paths: Sequence[Path]
) -> list[tuple[bytes, bytes | None, str | None]]:
    numbers = np.array([str(row) for row in range(len(paths))])
    found = model.encode(Dataset(PathItems(paths), numbers, name="images"), on_error="skip")
    codes = dict(zip(found.rows.tolist(), found.array, strict=True))
    reasons = {int(one.id): one.reason for one in found.skipped}
    return [(name, codes[row].tobytes() if row in codes else None, reasons.get(row)) for row, name in enumerate(names)]


def edit_distances(
    model: Model,
    load: Callable[[int], Image.Image],
    codes: Codes,
    state: State,
    *,
    edits: Sequence[Edit] = EDITS,
    sample: int,
    seed: int,
    progress: bool = False,
) -> dict[str, NDArray[np.int16]]:
    """Return for each edit the distances of sampled images to their edited copies.

    Images are scaled down to 768 pixels first, for time. The distances of an earlier search are used again until the
    collection has twice or half the size.

    Args:
        model: Makes the codes.
        load: Returns the image of a row, or raises `BadImage`.
        codes: Codes of all rows, uint8 ``(n, w)``.
        state: Distances of earlier searches.
        edits: The edits.
        sample: Number of images.
        seed: Seed of the sample and of the edits.
        progress: Show progress on standard error.
    """
    job, n = _job(model, edits, sample, seed), len(codes)
    known = state.edits(job, len(edits))
    if known is not None and known[0] <= GROWTH * n and n <= GROWTH * known[0]:
        return dict(zip(map(str, edits), known[1], strict=True))
    images: list[Image.Image] = []
    rows: list[int] = []
    for row in np.random.default_rng(seed).permutation(n).tolist():
        if len(images) == sample:
            break
        try:
            images.append(_small(load(row)))
            rows.append(row)
        except BadImage:  # it was changed or removed meanwhile
            continue
    if not images:
        return {}
    found = []
    with Bar("measuring copies", len(edits), progress) as bar:
        for done, edit in enumerate(edits, 1):
            changed = [edit_image(image, edit, seed=seed + place) for place, image in enumerate(images)]
            found.append(hamming.paired_distances(codes[rows], model.encode(changed)))
            bar.update(done)
    distances = np.array(found, np.int16)
    state.keep_edits(job, n, distances)
    return dict(zip(map(str, edits), distances, strict=True))


def _job(model: Model, edits: Sequence[Edit], sample: int, seed: int) -> str:
    facts = [model.fingerprint, list(map(str, edits)), sample, seed, SIDE]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _small(image: Image.Image) -> Image.Image:
    small = image.copy()
    small.thumbnail((SIDE, SIDE))
    return small
