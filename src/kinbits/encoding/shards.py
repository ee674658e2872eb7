"""The finished batches of one encoding job, kept until they are joined to a file of codes."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from kinbits._util import file_aside, full_path, locked_folder, open_arrow, write_text
from kinbits.encoding.codes_file import CodesFile
from kinbits.encoding.folders import stated_facts
from kinbits.encoding.places import relative_places
from kinbits.encoding.rows import KEY, with_format
from kinbits.encoding.writing import PARQUET, rows_of_table, write_table, write_text_file
from kinbits.errors import ArtefactError, DataError, PlatformError, platform_error

if TYPE_CHECKING:
    import pyarrow as pa

    from kinbits.data import Skipped


class CodeShards:
    """The finished batches of one job, in a hidden folder beside the file that they become.

    Each is written complete or not at all, so that a killed job continues after the last one. A ``with`` block holds
    the lock of the folder, so that only one process encodes to a file at a time.

    Args:
        target: The file of codes.
        job: JSON types that tell this job from others; batches of another job are removed.
        resume: Whether to keep finished batches of this job.

    Attributes:
        target: The file of codes.
        job: As given.
        folder: The hidden folder.

    Raises:
        PlatformError: On entry of the block, if another process encodes to the same file, or the folder cannot be
            written.
    """

    def __init__(self, target: Path, job: Mapping[str, Any], *, resume: bool = True) -> None:
        self.target, self.job = full_path(target), dict(job)
        self.folder = self.target.parent / f".{self.target.name}.parts"
        self._note = json.dumps(self.job)
        self._digest = hashlib.sha256(self._note.encode()).hexdigest()
        self._resume, self._finished, self._held = resume, 0, ExitStack()

    def __enter__(self) -> Self:
        try:
            with ExitStack() as held:
                held.enter_context(locked_folder(self.folder))
                self._start()
                self._held = held.pop_all()
        except BlockingIOError:
            raise PlatformError(
                f"another process is encoding to {self.target}; try again when it has finished, or give another path"
            ) from None
        except OSError as error:
            raise platform_error(f"{self.folder} cannot be written", error) from None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._held.close()

    def _start(self) -> None:
        note = self.folder / "job.json"
        if not (self._resume and note.is_file() and note.read_bytes() == self._note.encode()):
            for path in self.folder.iterdir():  # the folder itself stays, because it holds the lock
                path.unlink()
            write_text(note, self._note)
        while self._is_whole(self._finished):  # they are written in order
            self._finished += 1

    def _is_whole(self, number: int) -> bool:
        try:
            self._read(number)
        except ArtefactError:  # it is missing or damaged, and is encoded again
            return False
        return True

    def __len__(self) -> int:
        """Return the number of finished batches."""
        return self._finished

    def append(self, codes: CodesFile) -> None:
        """Keep the next batch: complete, or not at all.

        Raises:
            PlatformError: If it cannot be written.
        """
        write_table(self._path(self._finished), codes.to_table(job=self._digest))
        self._finished += 1

    def merge(self, skipped_before: Sequence[Skipped] = ()) -> tuple[int, tuple[Skipped, ...]]:
        """Join the batches to the file of codes, and remove them.

        Args:
            skipped_before: What the collection had left out before it was encoded.

        Returns:
            The number of codes, and all that was skipped.

        Raises:
            DataError: If no item could be read; an older file stays.
            ArtefactError: If a batch is damaged, or of another job.
            PlatformError: If the file cannot be written; the batches stay.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        from kinbits.data import Skipped

        schemas, rows = [], 0
        for table in map(self._read, range(len(self))):
            schemas.append(table.schema)
            rows += table.num_rows
        listed = [one for schema in schemas for one in json.loads(schema.metadata[KEY])["skipped"]]
        if listed and not rows:
            self.drop()
            raise DataError(f"no item can be read ({listed[0]['id']}: {listed[0]['reason']}); nothing was written")
        skipped = (*skipped_before, *(Skipped(one["id"], one["reason"]) for one in listed))
        places = relative_places(self.target, self.job)
        facts = with_format({**self.job, **places, "skipped": [vars(one) for one in skipped]})
        schema = pa.unify_schemas([schema.remove_metadata() for schema in schemas], promote_options="permissive")
        if self.target.suffix != PARQUET:
            write_text_file(
                self.target, (rows_of_table(self._read(number).cast(schema)) for number in range(len(self)))
            )
            self.drop()
            return rows, skipped
        try:
            described = schema.with_metadata({KEY: json.dumps(facts)})
            with file_aside(self.target) as aside, pq.ParquetWriter(aside, described) as writer:
                for number in range(len(self)):
                    writer.write_table(self._read(number).cast(schema))
        except OSError as error:
            raise platform_error(f"{self.target} cannot be written", error) from None
        self.drop()
        return rows, skipped

    def count_below(self, column: str, least: float) -> int:
        """Return how many items have a value below ``least`` in a column of numbers.

        Raises:
            ArtefactError: If a batch is damaged, or of another job.
        """
        values = (value for number in range(len(self)) for value in self._read(number)[column].to_pylist())
        return sum(value is not None and value < least for value in values)

    def drop(self) -> None:
        """Remove the batches."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06}.parquet"

    def _read(self, number: int) -> pa.Table:
        """Read a batch.

        Raises:
            ArtefactError: If it is missing, damaged, or of another job.
        """
        import pyarrow.parquet as pq
        from pyarrow.lib import ArrowException

        try:
            with open_arrow(self._path(number)) as file:
                table = pq.read_table(file)
            facts = stated_facts(table.schema)
        except (OSError, ValueError, ArrowException):
            raise ArtefactError(f"{self._path(number)} is damaged; encode the data again") from None
        if facts.get("job") != self._digest:
            raise ArtefactError(f"{self._path(number)} belongs to another encoding; encode the data again")
        return table
