"""Models inside the package, which work offline and without a fit; `experiments/shipped_models.py` makes them."""

from __future__ import annotations

import os
from pathlib import Path

from kinbits._util import CONFIG, full_path
from kinbits.errors import ArtefactError, unknown_name

GENERAL_MODEL = "kinbits/general-128"
"""Similar photos, on EfficientNet-Lite0: what an index uses if no model is named."""

_OWNER = "kinbits"
_FOLDERS = Path(__file__).parents[1] / "shipped"


def shipped_models() -> list[str]:
    """Return the names of the models inside the package, sorted."""
    return sorted(f"{_OWNER}/{config.parent.name}" for config in _FOLDERS.glob(f"*/{CONFIG}"))


def model_folder(name: str | os.PathLike[str]) -> Path:
    """Return the folder of a model: the one that a path means, or of a model inside the package by its name.

    Raises:
        ArtefactError: If a name such as ``kinbits/general`` is no path here, and no model inside the package.
    """
    folder, text = full_path(name), os.fspath(name)
    owner, _, rest = text.partition("/")
    if owner != _OWNER or not rest or "/" in rest or os.path.exists(folder):
        return folder
    if text not in shipped_models():
        raise ArtefactError(str(unknown_name("model", text, shipped_models())))
    return _FOLDERS / rest


def shipped_name(folder: Path) -> str | None:
    """Return the name of a model inside the package by its folder; None for another folder."""
    return f"{_OWNER}/{folder.name}" if folder.parent == _FOLDERS else None


def shipped_folders() -> list[Path]:
    """Return the folders of all models inside the package."""
    return [model_folder(name) for name in shipped_models()]
