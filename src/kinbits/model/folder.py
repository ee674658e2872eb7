"""Model folders: safetensors and JSON, written aside and moved into place in one step."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from kinbits._util import (
    CONFIG,
    check_parent,
    folder_aside,
    full_path,
    open_arrow,
    open_regular,
    read_regular,
    write_text,
)
from kinbits.errors import ArtefactError, UsageError, platform_error
from kinbits.model.card import with_metrics
from kinbits.model.description import read_config, read_object, unreadable
from kinbits.model.operating_points import with_measured

if TYPE_CHECKING:
    import pyarrow as pa

TENSORS, CARD = "model.safetensors", "README.md"
TRAINING, METRICS = "training.json", "metrics.json"
LABELS, TRAIN_CODES = "labels.csv", "train-codes.parquet"
FILES = (CONFIG, TENSORS, TRAINING, METRICS, CARD, LABELS, TRAIN_CODES)
_LEFTOVER = re.compile(r"\..+\.[0-9a-f]{8}\.part(\..+)?")  # of a process that was killed while it wrote a file


def write_folder(
    folder: Path,
    tensors: Mapping[str, Tensor],
    config: Mapping[str, Any],
    records: Mapping[str, Mapping[str, Any]],
    card: str,
    labels: pa.Table | None = None,
    codes: pa.Table | None = None,
) -> Path:
    """Write all files into a new folder beside the target, then move it into place in one step.

    Args:
        folder: Where the model goes; an older model there is replaced, and a link stays.
        tensors: All weights.
        config: Becomes ``config.json``.
        records: Further JSON files by name.
        card: Becomes ``README.md``.
        labels: Becomes ``labels.csv``.
        codes: Becomes ``train-codes.parquet``.

    Raises:
        ArtefactError: If something that is no model is there, or a weight is not finite.
        PlatformError: If the folder cannot be written; an older model stays as it was.
    """
    check_finite(tensors, folder)
    try:
        check_target(folder)
        with folder_aside(folder, replace=True) as aside:
            _fill(aside, tensors, {CONFIG: {"kinbits": version("kinbits"), **config}, **records}, card, labels, codes)
    except (OSError, SafetensorError) as error:  # safetensors has an error of its own for a full disk
        raise platform_error(f"the model {folder} cannot be written", error) from None
    return folder


def _fill(
    aside: Path,
    tensors: Mapping[str, Tensor],
    records: Mapping[str, Mapping[str, Any]],
    card: str,
    labels: pa.Table | None,
    codes: pa.Table | None,
) -> None:
    for name, value in records.items():
        (aside / name).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    (aside / CARD).write_text(card, encoding="utf-8")
    save_file(dict(tensors), aside / TENSORS)
    shutil.copymode(aside / CARD, aside / TENSORS)  # safetensors makes files that their owner alone can read
    if labels is not None:
        from pyarrow import csv

        csv.write_csv(labels, aside / LABELS)
    if codes is not None:
        from pyarrow import parquet

        parquet.write_table(codes, aside / TRAIN_CODES)


def check_target(folder: Path, *, replace: bool = True) -> None:
    """Refuse a target that cannot be written or must not be replaced, before any work is done for it.

    Args:
        folder: Where a model is to be written.
        replace: Whether it may replace a model that is there.

    Raises:
        UsageError: If a model is there, and may not be replaced.
        ArtefactError: If something that is no model is there, or a model with further files.
        PlatformError: If the parent folder cannot be written.
    """
    known = _holds_model(folder)
    if folder.exists() and not known and (not folder.is_dir() or any(folder.iterdir())):
        raise ArtefactError(f"{folder} exists and is no kinbits model; choose another output folder")
    if known and not replace:
        raise UsageError(
            f"there is a model at {folder} already; choose another folder, or force it to be replaced and make its "
            f"indexes again"
        )
    others = sorted(path.name for path in folder.iterdir() if not _of_a_model(path.name)) if known else []
    if others:
        raise ArtefactError(
            f"the model {folder} would be replaced, and it holds {others[0]}, which is no file of a model; move that "
            "away, or choose another output folder"
        )
    check_parent(folder, "output folder")


def _of_a_model(name: str) -> bool:
    return name in FILES or _LEFTOVER.fullmatch(name) is not None


def _holds_model(folder: Path) -> bool:
    """Tell whether kinbits wrote a folder; models of other programs have a ``config.json`` too."""
    try:
        return "kinbits" in read_config(folder)
    except ArtefactError:
        return False


def check_finite(tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Refuse weights that are infinite or NaN, since their codes mean nothing.

    Raises:
        ArtefactError: If a weight is not finite; the message names the first tensor of that kind.
    """
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise ArtefactError(
                f"the model {folder}: the weights '{name}' are not finite, so its codes would mean nothing; train it "
                "again, with a smaller learning rate if it diverged"
            )


def read_folder(folder: Path, newest: int) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Any]]:
    """Read configuration, tensors and records.

    Args:
        folder: A model folder.
        newest: The newest format that this version reads.

    Raises:
        ArtefactError: If a file is missing, damaged, no regular file, or of a newer format; or a weight is not finite.
    """
    config = read_config(folder)
    found = config.get("format")
    if not isinstance(found, int):
        raise ArtefactError(f"{folder / CONFIG} has no format number; it is no kinbits model or is damaged")
    if found > newest:
        raise ArtefactError(
            f"the model {folder} has format {found}, this kinbits reads up to {newest}; run `pip install -U kinbits`"
        )
    tensors = _tensors(folder / TENSORS)
    check_finite(tensors, folder)
    training = read_object(folder / TRAINING) if (folder / TRAINING).exists() else {}
    if not isinstance(config.get("method"), dict) or not isinstance(config["method"].get("params", {}), dict):
        raise unreadable(folder / CONFIG, "it names no method")
    return config, tensors, {TRAINING: training, METRICS: _metrics(folder / METRICS)}


def _metrics(path: Path) -> dict[str, dict[str, Any]]:
    metrics = read_object(path) if path.exists() else {}
    if not all(isinstance(values, dict) for values in metrics.values()):
        raise unreadable(path, "it does not hold numbers by protocol")
    return metrics


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        os.close(open_regular(path))
        return load_file(path)
    except (OSError, SafetensorError, ValueError, RuntimeError, KeyError) as error:
        raise unreadable(path, error) from None


def read_labels(folder: Path) -> pa.Table | None:
    """Read the labels that a model learned from; None if the folder holds none.

    Raises:
        ArtefactError: If the file is damaged.
    """
    if not (folder / LABELS).exists():
        return None
    import pyarrow as pa
    from pyarrow import csv

    types = {"id": pa.string(), "label": pa.string(), "source": pa.string(), "confidence": pa.float64()}
    options = csv.ConvertOptions(column_types={**types, "round": pa.int64()}, strings_can_be_null=False)
    parsing = csv.ParseOptions(newlines_in_values=True)
    try:
        with open_arrow(folder / LABELS) as file:
            return csv.read_csv(file, convert_options=options, parse_options=parsing)
    except (OSError, pa.ArrowException) as error:
        raise unreadable(folder / LABELS, error) from None


def read_train_codes(folder: Path) -> pa.Table | None:
    """Read the codes that training gave its own images; None if the folder holds none.

    Raises:
        ArtefactError: If the file is damaged.
    """
    if not (folder / TRAIN_CODES).exists():
        return None
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with open_arrow(folder / TRAIN_CODES) as file:
            return parquet.read_table(file)
    except (OSError, pa.ArrowException) as error:
        raise unreadable(folder / TRAIN_CODES, error) from None


def append_metrics(folder: str | os.PathLike[str], name: str, values: Mapping[str, Any]) -> None:
    """Add one protocol's numbers to a saved model's ``metrics.json`` and card, each in one step; others stay.

    Raises:
        ArtefactError: If the file is damaged.
        PlatformError: If it cannot be written.
    """
    path = full_path(folder) / METRICS
    metrics = with_measured(_metrics(path), name, values)
    write_text(path, json.dumps(metrics, indent=2) + "\n")
    _refresh_card(path.with_name(CARD), metrics)


def _refresh_card(path: Path, metrics: Mapping[str, Mapping[str, Any]]) -> None:
    try:
        card = read_regular(path).decode("utf-8", "replace")
    except FileNotFoundError:
        return
    except OSError as error:
        raise platform_error(f"{path} cannot be read", error) from None
    write_text(path, with_metrics(card, metrics))
