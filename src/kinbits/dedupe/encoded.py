"""Codes of contents: computed once, kept in the state, batch by batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from kinbits import hamming
from kinbits._util import Bar
from kinbits.data import Dataset, PathItems
from kinbits.dedupe.state import State

BATCH = 256  # images that are encoded, and kept together


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
