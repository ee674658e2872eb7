"""MODEL arguments, and what is said of codes that tell little."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinbits.cli.output import note

if TYPE_CHECKING:
    import numpy as np

    from kinbits.encoding import CodesFile

MODEL_HELP = "Folder of a model; or one inside the package: kinbits/general-128, kinbits/copy-256, pdq, phash."
ModelArgument = Annotated[Path, typer.Argument(help=MODEL_HELP, show_default=False)]


def low_quality_text(low: int | None, total: int, *, left_out: bool = False) -> str | None:
    """Say how many codes have a quality too low to be matched, and whether they are left out; None if none has."""
    from kinbits.perceptual import LEAST_QUALITY, QUALITY

    if not low:
        return None
    about = f"{low:,} of {total:,} have {QUALITY} below {LEAST_QUALITY}: too few edges to match"
    return f"{about}; left out" if left_out else about


def note_low_quality_of(codes: CodesFile) -> None:
    """Say how many codes of a collection have a quality too low to be matched, if any has."""
    from kinbits.perceptual import LEAST_QUALITY, QUALITY

    values = codes.columns.get(QUALITY, ())
    text = low_quality_text(sum(value is not None and value < LEAST_QUALITY for value in values), len(codes))
    if text is not None:
        note(text)


def note_low_quality(names: list[str], quality: np.ndarray) -> None:
    """Name queries whose hashes have a quality too low to be matched."""
    from kinbits.perceptual import LEAST_QUALITY

    for name, value in zip(names, quality.tolist(), strict=True):
        if value < LEAST_QUALITY:
            note(f"{name}: quality {value} of 100, so its hits say little; {LEAST_QUALITY} is enough")
