"""Weights of backbones that are folders on this machine: where they are, and the hash of their contents."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from kinbits._util import file_digest
from kinbits.bench.experiment import Trial
from kinbits.bench.identity import digest
from kinbits.data import RequiredFiles

FILES = ("config.json", "model.safetensors")
_READ = (".json", ".safetensors", ".txt", ".model")  # what a backbone is built from: weights, settings, vocabularies
_LOCAL = re.compile(r"(?:map:)?hf(?:-text)?:(.+)")


def backbone_of(trial: Trial) -> str | None:
    """Return the backbone of a trial as `kinbits.fit` takes it.

    Raises:
        DataError: If the folder of its weights is in no data folder.
    """
    return trial.backbone if trial.weights is None else f"hf:{_required(trial.weights).find(None)}"


def config_of_trial(trial: Trial) -> str:
    """Return the hash of all that makes the numbers of a trial: `Trial.config`, and a part for each folder of weights.

    The parts follow behind dashes. So rows can be compared on a machine that has no weights, where they cannot be made.
    """
    return "-".join([trial.config, *map(_contents, _folders(trial))])


def is_config_of(trial: Trial, config: str) -> bool:
    """Tell whether a row with this hash is of the present settings, and of the weights that are on this machine."""
    present = config_of_trial(trial).split("-")
    return config.split("-")[: len(present)] == present


def _folders(trial: Trial) -> list[Path]:
    """Return the folders of weights that are there: those of the experiment's ``weights``, and of ``hf:FOLDER``."""
    missing = trial.weights is not None and bool(_required(trial.weights).missing())
    names = [None if missing else backbone_of(trial), trial.features.get("text_backbone")]
    given = [_LOCAL.fullmatch(name) for name in names if name is not None]
    folders = [Path(os.path.expanduser(found[1])) for found in given if found is not None]
    return [folder for folder in folders if folder.is_dir()]


def _contents(folder: Path) -> str:
    """Return the hash of the files of weights, 12 hex digits."""
    files = sorted(path for path in folder.iterdir() if path.suffix in _READ and path.is_file())
    return digest([(path.name, _hash(path, path.stat().st_mtime_ns, path.stat().st_size)) for path in files])


@lru_cache(maxsize=32)
def _hash(path: Path, modified: int, size: int) -> str:
    return file_digest(path).hex()


def split_by_weights(trials: Sequence[Trial]) -> tuple[list[Trial], list[str]]:
    """Return the trials whose weights are on this machine, and a message for each folder that is missing."""
    folders = Counter(trial.weights for trial in trials if trial.weights is not None)
    absent = {folder: count for folder, count in folders.items() if _required(folder).missing()}
    messages = [
        f"{count} trial{'s' if count > 1 else ''} left out: no data folder (KINBITS_DATA) has {folder} with "
        f"{' and '.join(FILES)}"
        for folder, count in absent.items()
    ]
    return [trial for trial in trials if trial.weights not in absent], messages


def _required(folder: str) -> RequiredFiles:
    return RequiredFiles((folder,), FILES, "the weights of a backbone")
