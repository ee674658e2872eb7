"""What an index of the command line knows beside its items: its model, and where its images lie.

Both stand in a small file inside the index folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinbits._util import CONFIG, full_path, read_regular, write_text
from kinbits.errors import ArtefactError

if TYPE_CHECKING:
    from kinbits.model import HashModel

NAME = "model.json"


def remember(index: Path, model: Path | None = None, root: Path | None = None) -> None:
    """Write down, beside the index, where its model lies, and a folder that paths of images start from.

    Raises:
        PlatformError: The file cannot be written.
    """
    known = _read(index)
    told = dict(known)
    if model is not None:
        told["model"] = str(full_path(model))
    if root is not None and root not in roots(index):
        told["roots"] = [*map(str, roots(index)), str(root)]
    if told != known:
        write_text(index / NAME, json.dumps(told) + "\n")


def remembered(index: Path) -> Path | None:
    """Return the folder of the model that an index was made with, if it was written down."""
    model = _read(index).get("model")
    return Path(model) if isinstance(model, str) else None


def roots(index: Path) -> list[Path]:
    """Return the folders that paths of images start from, in the order in which their items were added."""
    found = _read(index).get("roots")
    return [Path(root) for root in found if isinstance(root, str)] if isinstance(found, list) else []


def reads_text(index: Path) -> bool:
    """Tell whether the model that an index was made with has a text tower; False where it cannot be read."""
    model = remembered(index)
    return model is not None and "text" in _mapping(_mapping(_json(model / CONFIG)).get("towers"))


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
    return HashModel.from_pretrained(folder)


def _read(index: Path) -> dict[str, Any]:
    return _mapping(_json(index / NAME))


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _json(path: Path) -> Any:
    """Read what is no part of the index itself: without it an index is searched with --model."""
    try:
        return json.loads(read_regular(path))
    except (OSError, ValueError, RecursionError):
        return None
