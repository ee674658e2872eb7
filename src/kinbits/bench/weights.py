"""Weights of backbones that are folders on this machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from kinbits.bench.experiment import Trial
from kinbits.data import RequiredFiles

FILES = ("config.json", "model.safetensors")


def backbone_of(trial: Trial) -> str | None:
    """Return the backbone of a trial as `kinbits.fit` takes it.

    Raises:
        DataError: If the folder of its weights is in no data folder.
    """
    return trial.backbone if trial.weights is None else f"hf:{_required(trial.weights).find(None)}"


def split_by_weights(trials: Sequence[Trial]) -> tuple[list[Trial], list[str]]:
    """Return the trials whose weights are on this machine, and a message for each folder that is missing."""
    folders = Counter(trial.weights for trial in trials if trial.weights is not None)
    absent = {folder: count for folder, count in folders.items() if _required(folder).missing()}
    messages = [
        f"{count} trials left out: no data folder (KINBITS_DATA) has {folder} with {' and '.join(FILES)}"
        for folder, count in absent.items()
    ]
    return [trial for trial in trials if trial.weights not in absent], messages


def _required(folder: str) -> RequiredFiles:
    return RequiredFiles((folder,), FILES, "the weights of a backbone")
