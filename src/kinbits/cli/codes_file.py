"""Files of codes: Parquet with the columns id, code and metadata, written in parts that survive a kill."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kinbits._util import check_parent, file_aside, write_text
from kinbits.data import id_array, metadata_of, parse_json, row_is
from kinbits.encoding import FORMAT, KEY, code_rows
from kinbits.errors import ArtefactError, DataError, UsageError, platform_error
from kinbits.hamming import code_width

if TYPE_CHECKING:
    from kinbits.cli.encoding import Encoded
    from kinbits.data import Skipped


@dataclass(frozen=True)
class Codes:
    """What a file of codes holds.

    Attributes:
        codes: uint8 ``(n, w)``.
        ids: int64 or str ``(n,)``.
        columns: Metadata by name.
        facts: bits, fingerprint and model of the file; empty for a file that others wrote.
    """

    codes: np.ndarray
    ids: np.ndarray
    columns: Mapping[str, list[Any]]
    facts: Mapping[str, Any]


class Parts:
    """The finished batches of one job, in a hidden folder beside the file they will become.

    Args:
        target: The file of codes.
        job: Says whether the parts belong to this job; parts of another job are removed.
    """

    def __init__(self, target: Path, job: Mapping[str, Any]) -> None:
        self.target, self.job = target, dict(job)
        self.folder = target.parent / f".{target.name}.parts"
        self._start()

    def _start(self) -> None:
        note = self.folder / "job.json"
        try:
            if not (note.is_file() and note.read_text(encoding="utf-8") == json.dumps(self.job)):
                shutil.rmtree(self.folder, ignore_errors=True)
                self.folder.mkdir(parents=True)
                write_text(note, json.dumps(self.job))
        except OSError as error:
            raise platform_error(f"{self.folder} cannot be written", error) from None

    @property
    def done(self) -> int:
        """Number of finished batches; they are written in order."""
        number = 0
        while self._path(number).is_file():
            number += 1
        return number

    def write(self, number: int, batch: Encoded) -> None:
        """Keep one batch: complete, or not at all."""
        import pyarrow.parquet as pq

        told = {"skipped": [vars(one) for one in batch.dataset.skipped]}
        try:
            with file_aside(self._path(number)) as aside:
                pq.write_table(_table(batch, told), aside)
        except OSError as error:
            raise platform_error(f"{self.target} cannot be written", error) from None

    def merge(self, skipped_before: Sequence[Skipped]) -> tuple[int, list[Skipped]]:
        """Join the parts into the target, and remove them; return the rows and all that was skipped."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        from kinbits.data import Skipped

        files = [pq.ParquetFile(self._path(number)) for number in range(self.done)]
        schema = pa.unify_schemas([file.schema_arrow.remove_metadata() for file in files])
        told = [one for file in files for one in _told(file)["skipped"]]
        skipped = [*skipped_before, *(Skipped(one["id"], one["reason"]) for one in told)]
        facts = {"format": FORMAT, **self.job, "skipped": [vars(one) for one in skipped]}
        try:
            kept = schema.with_metadata({KEY: json.dumps(facts)})
            with file_aside(self.target) as aside, pq.ParquetWriter(aside, kept) as writer:
                for file in files:
                    writer.write_table(file.read().cast(schema))
        except OSError as error:
            raise platform_error(f"{self.target} cannot be written", error) from None
        shutil.rmtree(self.folder, ignore_errors=True)
        return sum(file.metadata.num_rows for file in files), skipped

    def drop(self) -> None:
        """Remove the parts."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06}.parquet"


def check_target(path: Path) -> None:
    """Refuse a target that cannot be written, before any work is done for it.

    Raises:
        UsageError: The name has another extension, or is a folder.
        PlatformError: The folder cannot be written.
    """
    if path.suffix != ".parquet" or path.is_dir():
        raise UsageError(f"codes go to a Parquet file, not to {path}; give a name that ends in .parquet")
    check_parent(path, "place")


def is_codes_file(path: Path) -> bool:
    """Tell whether a Parquet file holds codes rather than images.

    It does if kinbits wrote it as such, or if its column ``code`` holds bytes, or lists of them. With text or numbers
    there, which may as well be article codes, it does if no column looks like images.
    """
    import pyarrow.parquet as pq
    from pyarrow.lib import ArrowException

    if path.suffix != ".parquet" or not path.is_file():
        return False
    try:
        schema = pq.read_schema(path)
    except (OSError, ArrowException):
        return False
    names = schema.names
    if names.count("code") != 1:
        return False
    return KEY in (schema.metadata or {}) or _holds_bytes(schema.field("code").type) or not _has_images(names)


def _holds_bytes(kind: Any) -> bool:
    """Tell whether an Arrow type is one of bytes, or of lists of small numbers."""
    from pyarrow import types

    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return bool(types.is_integer(kind.value_type))
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind))


def _has_images(names: Sequence[str]) -> bool:
    from kinbits.data import IMAGE_NAMES, pick

    return pick(None, IMAGE_NAMES, names) is not None


def code_length(codes: Codes, path: Path, bits: int | None) -> int:
    """Return how long the codes of a file are: what it says, or what the user says where it is silent.

    Raises:
        UsageError: Neither says it.
        ArtefactError: They contradict each other.
    """
    length = codes.facts.get("bits", bits)
    if length is None:
        raise UsageError(f"{path} does not say how long its codes are; give --bits")
    if code_width(length) != codes.codes.shape[1]:
        raise ArtefactError(f"{path} holds codes of {codes.codes.shape[1]} bytes, which are no {length}-bit codes")
    if bits is not None and bits != length:
        raise ArtefactError(f"{path} holds {length}-bit codes, not {bits}-bit codes; leave --bits out")
    return int(length)


def read_codes(path: Path) -> Codes:
    """Read a file of codes, ours or another's with the columns ``id`` and ``code``.

    A code is bytes, a list of numbers from 0 to 255, or text of two hexadecimal digits a byte.

    Raises:
        ArtefactError: It is damaged, of a newer format, or its columns do not fit.
    """
    import pyarrow.parquet as pq
    from pyarrow.lib import ArrowException

    from kinbits.data import Table

    try:
        read = pq.read_table(path)
        table = Table(read, str(path))
        if table.names.count("id") != 1 or table.names.count("code") != 1:
            raise DataError("it needs one column id and one column code")
        ids, codes = id_array(table.cells("id"), "its column id"), _packed(table.cells("code"))
        others = [name for name in table.names if name.strip() and name not in ("id", "code")]
        columns = {name: metadata_of(table.cells(name))[0] for name in others}
    except (OSError, ArrowException) as error:
        first = str(error).splitlines()[0]
        raise ArtefactError(f"{path} cannot be read ({first}); encode the data again") from None
    except DataError as error:
        raise ArtefactError(f"{path} is no file of codes: {error}") from None
    facts = _facts(path, (read.schema.metadata or {}).get(KEY, b"{}"))
    return Codes(codes, ids, {name: values for name, values in columns.items() if values is not None}, facts)


def _packed(cells: Sequence[Any]) -> np.ndarray:
    """Turn codes as others write them into packed ones, uint8 ``(n, w)``.

    Raises:
        DataError: A code is none, or of another length than the first.
    """
    raw = [_as_bytes(row, cell) for row, cell in enumerate(cells)]
    other = next((row for row, code in enumerate(raw) if len(code) != len(raw[0])), None)
    if other is not None:
        raise DataError(f"the code of row {other} has {len(raw[other])} bytes, the first has {len(raw[0])}")
    return np.frombuffer(b"".join(raw), np.uint8).reshape(len(raw), -1 if b"".join(raw[:1]) else 0)


def _as_bytes(row: int, cell: Any) -> bytes:
    with suppress(ValueError, TypeError):
        if isinstance(cell, bytes) or (isinstance(cell, list) and bool not in map(type, cell)):
            return bytes(cell)
        if isinstance(cell, str):
            return bytes.fromhex(cell)
    raise DataError(f"{row_is('code', row, cell)}; give bytes, a list of numbers from 0 to 255, or hexadecimal digits")


def _facts(path: Path, text: bytes) -> dict[str, Any]:
    """Read what a file says about itself."""
    try:
        facts = parse_json(text)
    except ValueError as error:
        raise ArtefactError(f"{path} is damaged: its description is no JSON ({error}); encode the data again") from None
    known: dict[str, type | tuple[type, ...]] = {
        "format": int,
        "bits": int,
        "fingerprint": str,
        "model": str,
        "root": (str, type(None)),
    }
    if not isinstance(facts, dict) or any(not isinstance(facts[n], k) for n, k in known.items() if n in facts):
        raise ArtefactError(f"{path} is damaged: its description holds something else; encode the data again")
    if facts.get("format", FORMAT) > FORMAT:
        raise ArtefactError(f"{path} has format {facts['format']}, this kinbits reads {FORMAT}; update kinbits")
    return facts


def _table(batch: Encoded, told: Mapping[str, Any]) -> Any:

    columns = batch.dataset.metadata()
    columns.pop("code", None)  # the codes' own column
    return code_rows(batch.dataset.ids, batch.codes, columns, told)


def _told(file: Any) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(file.schema_arrow.metadata[KEY])
    return value
