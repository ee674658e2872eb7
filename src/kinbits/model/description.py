"""What a model folder says about itself, read without PyTorch."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinbits._util import CONFIG, full_path, one_line, read_regular, shortened
from kinbits.errors import ArtefactError
from kinbits.hamming import BITS
from kinbits.model.shipped import model_folder
from kinbits.perceptual import HASHES, PerceptualHash


@dataclass(frozen=True)
class ModelDescription:
    """What is known of a model before it is loaded.

    Attributes:
        bits: Code length.
        fingerprint: Tells it from other models.
        modalities: What it encodes: ``"image"`` or ``"vector"``, and ``"text"`` if it has a text tower.
        words: Words of a part of a code: 2 for bits, 16 or 256 for product codes, 0 for scaled codes.
        metric: What product or scaled codes are compared by; None if their head has no choice.
    """

    bits: int
    fingerprint: str
    modalities: tuple[str, ...]
    words: int = BITS
    metric: str | None = None


def named_hash(name: str | os.PathLike[str]) -> PerceptualHash | None:
    """Return the perceptual hash that a name means; None for a folder, also if a model was saved under this name."""
    found = HASHES.get(os.fspath(name)) if isinstance(name, (str, os.PathLike)) else None  # else full_path refuses it
    return None if found is None or os.path.exists(full_path(name) / CONFIG) else found


def describe_model(folder: str | os.PathLike[str]) -> ModelDescription:
    """Read what a model folder, or a perceptual hash by its name, says about itself, without its weights.

    Raises:
        ArtefactError: If there is no model, or its description is damaged.
    """
    ready = named_hash(folder)
    if ready is not None:
        return ModelDescription(ready.bits, ready.fingerprint, ("image",))
    folder = model_folder(folder)
    config = read_config(folder)
    bits, fingerprint, towers = (config.get(name) for name in ("bits", "fingerprint", "towers"))
    words = config.get("words", BITS)
    if (
        not isinstance(bits, int)
        or not isinstance(words, int)
        or not isinstance(fingerprint, str)
        or not isinstance(towers, dict)
    ):
        raise unreadable(folder / CONFIG, "it does not describe a model")
    modalities = tuple(_modality(name, tower) for name, tower in towers.items())
    return ModelDescription(bits, fingerprint, modalities, words, _metric(towers.get("image")))


def _modality(name: str, tower: Any) -> str:
    """Return what a tower encodes, given its description: vectors take the place of images."""
    backbone = tower.get("backbone") if isinstance(tower, dict) else None
    return "vector" if isinstance(backbone, dict) and backbone.get("backbone") == "features" else name


def _metric(tower: Any) -> str | None:
    """Return the metric of a tower's head, given its description."""
    head = tower.get("head") if isinstance(tower, dict) else None
    metric = head.get("metric") if isinstance(head, dict) else None
    return metric if isinstance(metric, str) else None


def read_config(folder: Path) -> dict[str, Any]:
    """Read ``config.json`` of a model folder.

    Raises:
        ArtefactError: If it is missing or damaged.
    """
    if not os.path.exists(folder / CONFIG):
        raise ArtefactError(
            f"{shortened(str(folder), 400)} is no model folder: it has no {CONFIG}; give the folder of a saved model"
        )
    return read_object(folder / CONFIG)


def read_object(path: Path) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Raises:
        ArtefactError: If it cannot be read, or holds something else.
    """
    try:
        value = json.loads(read_regular(path).decode("utf-8"))
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # half a surrogate pair could never be written again
    except (OSError, ValueError, RecursionError) as error:
        raise unreadable(path, error) from None
    if not isinstance(value, dict):
        raise unreadable(path, "it does not hold a JSON object")
    return value


def unreadable(path: Path, reason: object) -> ArtefactError:
    """Build the error for a file of a model that cannot be read."""
    return ArtefactError(f"{path} cannot be read ({one_line(reason)}); copy or train the model again")
