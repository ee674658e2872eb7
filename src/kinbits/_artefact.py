"""Model folders on disk: safetensors and JSON, written aside and renamed."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from kinbits._errors import ArtefactError, PlatformError
from kinbits._files import CONFIG, check_parent

if TYPE_CHECKING:
    import pyarrow as pa

TENSORS, CARD = "model.safetensors", "README.md"
LABELS, CODES = "labels.csv", "train-codes.parquet"


def write_folder(
    folder: Path,
    tensors: Mapping[str, Tensor],
    config: Mapping[str, Any],
    records: Mapping[str, Mapping[str, Any]],
    card: str,
    labels: pa.Table | None = None,
    codes: pa.Table | None = None,
) -> Path:
    """Write all files into a fresh folder beside the target, then put it in the target's place.

    Args:
        folder: Where the model goes; an older model there is replaced.
        tensors: All weights.
        config: Becomes ``config.json``.
        records: Further JSON files by name.
        card: Becomes ``README.md``.
        labels: Becomes ``labels.csv``.
        codes: Becomes ``train-codes.parquet``.

    Raises:
        ArtefactError: Something that is no model is there.
        PlatformError: The machine does not let it be written; an older model stays as it was.
    """
    check_target(folder)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        aside.chmod(0o755)
        save_file(dict(tensors), aside / TENSORS)
        for name, value in {CONFIG: {"kinbits": version("kinbits"), **config}, **records}.items():
            (aside / name).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
        (aside / CARD).write_text(card, encoding="utf-8")
        if labels is not None:
            from pyarrow import csv

            csv.write_csv(labels, aside / LABELS)
        if codes is not None:
            from pyarrow import parquet

            parquet.write_table(codes, aside / CODES)
        _replace(aside, folder)
    except (OSError, SafetensorError) as error:  # safetensors has an error of its own for a full disk
        reason = getattr(error, "strerror", None) or error
        raise PlatformError(f"cannot write the model {folder}: {reason}; check permissions and free space") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def check_target(folder: Path) -> None:
    """Refuse a target that cannot or should not be written, before any work is done for it.

    Raises:
        ArtefactError: Something that is no model is there.
        PlatformError: The parent folder cannot be written.
    """
    if folder.exists() and not (folder / CONFIG).exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ArtefactError(f"{folder} exists and is no kinbits model; choose another output folder")
    check_parent(folder, "output folder")


def _replace(aside: Path, folder: Path) -> None:
    """Put a finished folder in place; the old one is moved out first, since rename does not replace folders.

    Raises:
        OSError: A folder cannot be renamed; the old one is back in its place.
    """
    if not folder.exists():
        aside.replace(folder)
        return
    old = aside.with_name(aside.name + "-old")
    folder.replace(old)
    try:
        aside.replace(folder)
    except OSError:
        old.replace(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def read_folder(folder: Path, newest: int) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Any]]:
    """Read configuration, tensors and records.

    Args:
        folder: A model folder.
        newest: The newest format that this version reads.

    Raises:
        ArtefactError: A file is missing, damaged, or of a newer format.
    """
    if not (folder / CONFIG).is_file():
        raise ArtefactError(f"{folder} is no model folder (it has no {CONFIG}); `kinbits fit DATA -o MODEL` makes one")
    config = _json(folder / CONFIG)
    found = config.get("format")
    if not isinstance(found, int):
        raise ArtefactError(f"{folder / CONFIG} has no format number; it is no kinbits model or is damaged")
    if found > newest:
        raise ArtefactError(
            f"the model {folder} has format {found}, this kinbits reads up to {newest}; run `pip install -U kinbits`"
        )
    try:
        tensors = load_file(folder / TENSORS)
    except (OSError, SafetensorError, ValueError) as error:
        raise ArtefactError(f"{folder / TENSORS} cannot be read ({error}); copy or train the model again") from None
    names = ("training.json", "metrics.json")
    return config, tensors, {name: _json(folder / name) if (folder / name).exists() else {} for name in names}


def read_labels(folder: Path) -> pa.Table | None:
    """Read the labels that a model learned from; None if the folder holds none.

    Raises:
        ArtefactError: The file is damaged.
    """
    if not (folder / LABELS).exists():
        return None
    import pyarrow as pa
    from pyarrow import csv

    types = {"id": pa.string(), "label": pa.string(), "source": pa.string(), "confidence": pa.float64()}
    options = csv.ConvertOptions(column_types={**types, "round": pa.int64()}, strings_can_be_null=False)
    parsing = csv.ParseOptions(newlines_in_values=True)
    try:
        return csv.read_csv(folder / LABELS, convert_options=options, parse_options=parsing)
    except (OSError, pa.ArrowInvalid) as error:
        raise ArtefactError(f"{folder / LABELS} cannot be read ({error}); copy or train the model again") from None


def read_train_codes(folder: Path) -> pa.Table | None:
    """Read the codes that training gave its own images; None if the folder holds none.

    Raises:
        ArtefactError: The file is damaged.
    """
    if not (folder / CODES).exists():
        return None
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return parquet.read_table(folder / CODES)
    except (OSError, pa.ArrowInvalid) as error:
        raise ArtefactError(f"{folder / CODES} cannot be read ({error}); copy or train the model again") from None


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtefactError(f"{path} cannot be read ({error}); copy or train the model again") from None
    if not isinstance(value, dict):
        raise ArtefactError(f"{path} does not hold a JSON object; copy or train the model again")
    return value


def append_metrics(folder: Path, name: str, values: Mapping[str, Any]) -> None:
    """Add one protocol's numbers to a saved model's ``metrics.json``, in place."""
    path = folder / "metrics.json"
    known = _json(path) if path.exists() else {}
    aside = path.with_suffix(".part")
    try:
        aside.write_text(json.dumps({**known, name: dict(values)}, indent=2) + "\n", encoding="utf-8")
        aside.replace(path)
    except OSError as error:
        raise PlatformError(f"cannot write {path}: {error.strerror or error}") from None
