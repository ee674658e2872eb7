"""Folders of codes: one Parquet file for each block of a collection, and a manifest that is written last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinbits._util import one_line, open_arrow, parse_json, read_regular
from kinbits.encoding.rows import KEY, arrow_columns
from kinbits.errors import ArtefactError

if TYPE_CHECKING:
    import pyarrow as pa

JOB, MANIFEST = "_job.json", "_manifest.json"
"""The note of the job, which is there from the start, and the manifest, which is there when all codes are.

Readers of folders of Parquet files, such as those of pyarrow, pandas and Spark, pass over names with an underscore.
"""


def shard_name(number: int) -> str:
    """Return the name of the file of a block, counted from 0.

    Example:
        >>> shard_name(12)
        'part-000012.parquet'
    """
    return f"part-{number:06}.parquet"


def stated_facts(schema: pa.Schema) -> dict[str, Any]:
    """Return what a file of codes says about itself, as JSON types; nothing if another program wrote it.

    Raises:
        ValueError: If that is damaged.
    """
    found = parse_json((schema.metadata or {}).get(KEY, b"{}"))
    if not isinstance(found, dict):
        raise ValueError("the description is no JSON object")
    return found


def metadata_types(columns: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Return the Arrow types in which a file of codes stores metadata.

    Raises:
        DataError: If a column cannot be stored.
    """
    return {name: array.type for name, array in arrow_columns(columns).items()}


def is_code_folder(path: Path) -> bool:
    """Tell whether a folder holds codes of `kinbits.scale.encode`, complete or not."""
    try:
        return path.is_dir() and "job" in parse_json(read_regular(_present(path, JOB)))
    except (OSError, ValueError, TypeError):
        return False


def shards_of_folder(path: Path) -> list[Path]:
    """Return the files of a folder of codes, in the order of the input.

    Raises:
        ArtefactError: If the folder is not complete, or damaged.
    """
    try:
        manifest = parse_json(read_regular(_present(path, MANIFEST)))
        job, blocks = manifest["job"], manifest["blocks"]
        found = [path / shard_name(number) for number in range(len(blocks))]
    except FileNotFoundError:
        raise ArtefactError(f"{path} is not complete: it has no {MANIFEST}; give the same encoding again") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ArtefactError(f"{path}/{MANIFEST} is damaged ({one_line(error)}); encode the data again") from None
    missing = next((one.name for one in found if not one.is_file()), None)
    if missing is not None:
        raise ArtefactError(f"{path} lacks {missing}; give the same encoding again, which makes it")
    for number, (file, rows) in enumerate(zip(found, blocks, strict=True)):
        _check_shard(file, job, number, rows)
    return found


def _present(folder: Path, name: str) -> Path:
    """Return a file of a folder, which version 0.1.0 wrote without the underscore."""
    old = folder / name[1:]
    return old if old.is_file() and not (folder / name).exists() else folder / name


def _check_shard(file: Path, job: str, number: int, rows: int) -> None:
    """Compare what a file says about itself with the manifest.

    Raises:
        ArtefactError: If it is damaged, or belongs to another folder or place.
    """
    from pyarrow import ArrowException, parquet

    try:
        with open_arrow(file) as opened:
            known = parquet.ParquetFile(opened)
            facts, held = stated_facts(known.schema_arrow), known.metadata.num_rows
    except (OSError, ValueError, ArrowException) as error:
        raise ArtefactError(f"{file} is damaged ({one_line(error)}); give the same encoding again") from None
    if facts.get("job") != job:
        raise ArtefactError(f"{file} is of another encoding than {MANIFEST}; give the same encoding again")
    if (facts.get("block"), held) != (number, rows):
        raise ArtefactError(
            f"{file} holds block {facts.get('block')} of {held} rows, and {MANIFEST} tells block {number} of {rows} "
            "rows; give the same encoding again"
        )
