"""Which model folder belongs to an index: a small file inside the index folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from kinbits._errors import ArtefactError
from kinbits._files import CONFIG

if TYPE_CHECKING:
    from kinbits.model import HashModel

NAME = "model.json"


def remember(index: Path, model: Path) -> None:
    """Write down, beside the index, where its model lies."""
    aside = index / f"{NAME}.tmp"
    aside.write_text(json.dumps({"model": str(model.resolve())}) + "\n", encoding="utf-8")
    aside.replace(index / NAME)


def remembered(index: Path) -> Path | None:
    """Return the folder of the model that an index was made with, if it was written down."""
    try:
        return Path(json.loads((index / NAME).read_text(encoding="utf-8"))["model"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def reads_text(index: Path) -> bool:
    """Tell whether the model that an index was made with has a text tower; False where it cannot be read."""
    model = remembered(index)
    try:
        return model is not None and "text" in json.loads((model / CONFIG).read_text(encoding="utf-8"))["towers"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def model_of(index: Path, given: Path | None) -> HashModel:
    """Load the model that was given, or the one that the index remembers.

    Raises:
        ArtefactError: There is none, or it cannot be loaded.
    """
    from kinbits.model import HashModel

    folder = given or remembered(index)
    if folder is None:
        raise ArtefactError(f"the index {index} does not know where its model lies; give --model MODEL")
    if given is None and not folder.exists():
        raise ArtefactError(f"the model of {index} was at {folder}, which is gone; give --model MODEL")
    return HashModel.load(folder)
