"""The finished batches of one encoding job, kept until they are joined to a file of codes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinbits._util import file_aside, full_path, write_text
from kinbits.encoding.codes_file import CodesFile, write_table
from kinbits.encoding.rows import FORMAT, KEY
from kinbits.errors import platform_error

if TYPE_CHECKING:
    from kinbits.data import Skipped


class CodeShards:
    """The finished batches of one job, in a hidden folder beside the file that they become.

    Each is written complete or not at all, so that a killed job goes on after the last one.

    Args:
        target: The file of codes.
        job: JSON types that tell this job from others; shards of another job are removed.

    Attributes:
        target: The file of codes.
        job: As given.
        folder: The hidden folder.
    """

    def __init__(self, target: Path, job: Mapping[str, Any]) -> None:
        self.target, self.job = full_path(target), dict(job)
        self.folder = self.target.parent / f".{self.target.name}.parts"
        self._start()
        self._finished = 0
        while self._path(self._finished).is_file():  # they are written in order
            self._finished += 1

    def _start(self) -> None:
        note = self.folder / "job.json"
        try:
            if not (note.is_file() and note.read_text(encoding="utf-8") == json.dumps(self.job)):
                self.drop()
                self.folder.mkdir(parents=True)
                write_text(note, json.dumps(self.job))
        except OSError as error:
            raise platform_error(f"{self.folder} cannot be written", error) from None

    def __len__(self) -> int:
        """Return the number of finished batches."""
        return self._finished

    def append(self, codes: CodesFile) -> None:
        """Keep the next batch: complete, or not at all.

        Raises:
            PlatformError: If it cannot be written.
        """
        write_table(self._path(self._finished), codes.to_table())
        self._finished += 1

    def merge(self, skipped_before: Sequence[Skipped] = ()) -> tuple[int, tuple[Skipped, ...]]:
        """Join the batches to the file of codes, and remove them.

        Args:
            skipped_before: What the collection had left out before it was encoded.

        Returns:
            The number of codes, and all that was skipped.

        Raises:
            PlatformError: If the file cannot be written; the batches stay.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        from kinbits.data import Skipped

        files = [pq.ParquetFile(self._path(number)) for number in range(len(self))]
        schema = pa.unify_schemas([file.schema_arrow.remove_metadata() for file in files])
        listed = [one for file in files for one in json.loads(file.schema_arrow.metadata[KEY])["skipped"]]
        skipped = (*skipped_before, *(Skipped(one["id"], one["reason"]) for one in listed))
        facts = {"format": FORMAT, **self.job, "skipped": [vars(one) for one in skipped]}
        try:
            described = schema.with_metadata({KEY: json.dumps(facts)})
            with file_aside(self.target) as aside, pq.ParquetWriter(aside, described) as writer:
                for file in files:
                    writer.write_table(file.read().cast(schema))
        except OSError as error:
            raise platform_error(f"{self.target} cannot be written", error) from None
        self.drop()
        return sum(file.metadata.num_rows for file in files), skipped

    def drop(self) -> None:
        """Remove the batches."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06}.parquet"
