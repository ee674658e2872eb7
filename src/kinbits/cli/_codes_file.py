"""Files of codes: Parquet with the columns id, code and metadata, written in parts that survive a kill."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kinbits._code_rows import FORMAT, KEY, code_rows
from kinbits._errors import ArtefactError, PlatformError, UsageError

if TYPE_CHECKING:
    from kinbits.cli._encoding import Encoded
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
                _replace_text(note, json.dumps(self.job))
        except OSError as error:
            raise _fault(self.folder, error) from None

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
            aside = self._path(number).with_suffix(".tmp")
            pq.write_table(_table(batch, told), aside)
            _sync(aside)
            aside.replace(self._path(number))
        except OSError as error:
            raise _fault(self.target, error) from None

    def merge(self, skipped_before: Sequence[Skipped]) -> tuple[int, list[Skipped]]:
        """Join the parts into the target, and remove them; return the rows and all that was skipped."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        from kinbits.data import Skipped

        files = [pq.ParquetFile(self._path(number)) for number in range(self.done)]
        schema = pa.unify_schemas([file.schema_arrow.remove_metadata() for file in files])
        told = [one for file in files for one in _told(file)["skipped"]]
        skipped = [*skipped_before, *(Skipped(one["id"], one["reason"]) for one in told)]
        aside = self.folder / "merged.tmp"
        facts = {"format": FORMAT, **self.job, "skipped": [vars(one) for one in skipped]}
        try:
            with pq.ParquetWriter(aside, schema.with_metadata({KEY: json.dumps(facts)})) as writer:
                for file in files:
                    writer.write_table(file.read().cast(schema))
            _sync(aside)
            aside.replace(self.target)
        except OSError as error:
            raise _fault(self.target, error) from None
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
    import tempfile

    if path.suffix != ".parquet" or path.is_dir():
        raise UsageError(f"codes go to a Parquet file, not to {path}; give a name that ends in .parquet")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _fault(path, error) from None


def is_codes_file(path: Path) -> bool:
    """Tell whether a Parquet file holds codes rather than images."""
    import pyarrow.parquet as pq
    from pyarrow.lib import ArrowException

    if path.suffix != ".parquet" or not path.is_file():
        return False
    try:
        return "code" in pq.read_schema(path).names
    except (OSError, ArrowException):
        return False


def code_length(codes: Codes, path: Path, bits: int | None) -> int:
    """Return how long the codes of a file are: what it says, or what the user says where it is silent.

    Raises:
        UsageError: Neither says it.
        ArtefactError: They contradict each other.
    """
    length = codes.facts.get("bits", bits)
    if length is None:
        raise UsageError(f"{path} does not say how long its codes are; give --bits")
    if bits is not None and bits != length:
        raise ArtefactError(f"{path} holds {length}-bit codes, not {bits}-bit codes; leave --bits out")
    return int(length)


def read_codes(path: Path) -> Codes:
    """Read a file of codes, ours or another's with the columns ``id`` and ``code``.

    Raises:
        ArtefactError: It is damaged, of a newer format, or its columns do not fit.
    """
    import pyarrow.parquet as pq
    from pyarrow.lib import ArrowException

    try:
        table = pq.read_table(path)
    except (OSError, ArrowException) as error:
        first = str(error).splitlines()[0]
        raise ArtefactError(f"{path} cannot be read ({first}); encode the data again") from None
    facts = json.loads((table.schema.metadata or {}).get(KEY, b"{}"))
    if facts.get("format", FORMAT) > FORMAT:
        raise ArtefactError(f"{path} has format {facts['format']}, this kinbits reads {FORMAT}; update kinbits")
    raw = [code for code in table["code"].to_pylist() if code is not None]
    if "id" not in table.column_names or len(raw) != len(table) or len({*map(len, raw)}) > 1:
        raise ArtefactError(
            f"{path} needs a column id, and a column code of bytes of one length; encode the data again"
        )
    codes = np.frombuffer(b"".join(raw), np.uint8).reshape(len(raw), -1)
    others = [name for name in table.column_names if name not in ("id", "code")]
    return Codes(codes, np.array(table["id"].to_pylist()), {n: table[n].to_pylist() for n in others}, facts)


def _table(batch: Encoded, told: Mapping[str, Any]) -> Any:
    from kinbits.index._items import columns_of

    columns = columns_of(batch.dataset)
    columns.pop("code", None)  # the codes' own column
    return code_rows(batch.dataset.ids, batch.codes, columns, told)


def _told(file: Any) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(file.schema_arrow.metadata[KEY])
    return value


def _replace_text(path: Path, text: str) -> None:
    aside = path.with_suffix(".tmp")
    aside.write_text(text, encoding="utf-8")
    _sync(aside)
    aside.replace(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _fault(path: Path, error: OSError) -> PlatformError:
    return PlatformError(
        f"cannot write {path}: {error.strerror or error}; check permissions and free space, or choose another place"
    )
