"""The file of results: CSV rows, each trial once."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path

from kinbits._util import write_text
from kinbits.bench.experiment import Trial
from kinbits.bench.query_values import QueryValues
from kinbits.bench.status import Record, Status, owns
from kinbits.errors import ArtefactError

IDENTITY = ("protocol", "backbone", "direction", "method", "bits", "seed")
RECORD = ("seconds", "peak_mb", "config", "split_checksum", "version", "commit", "hardware")


class Results:
    """Rows of one experiment. The file on disk is always whole: each change writes it anew, aside.

    The first metric's value of each query is kept in a file next to it, see `QueryValues`.

    Args:
        path: The CSV file; it need not exist.
        metrics: Names of the measured columns.

    Raises:
        ArtefactError: If the file holds other columns.
    """

    def __init__(self, path: Path, metrics: Sequence[str]) -> None:
        self.path, self.metrics = path, list(metrics)
        self.columns = [*IDENTITY, *metrics, *RECORD]
        self.query_values = QueryValues(path, self.metrics[0])
        self.rows: list[Record] = []
        self._read()

    def status(self, trials: Iterable[Trial]) -> Status:
        """Tell which trials of an experiment are done, missing or stale, and which rows belong to none of them."""
        return Status.from_rows(self.rows, trials)

    def stale(self, trials: Iterable[Trial]) -> tuple[Trial, ...]:
        """Return the trials whose rows were made with other settings, versions or data than the present ones."""
        return self.status(trials).stale

    def replace(self, trial: Trial, rows: Sequence[Mapping[str, object]]) -> None:
        """Put rows of a trial where its old ones are in the file, or else at the end.

        Raises:
            PlatformError: If the file cannot be written.
        """
        self._read()  # hours may have passed: another command may have added or removed rows
        old = [number for number, row in enumerate(self.rows) if owns(trial, row)]
        kept = [row for number, row in enumerate(self.rows) if number not in old]
        place = old[0] if old else len(kept)
        kept[place:place] = [{name: str(row.get(name, "")) for name in self.columns} for row in rows]
        self.query_values.write(rows, kept)  # first: a trial whose row is in the file is done
        self._write(kept)

    def prune(self, trials: Iterable[Trial]) -> int:
        """Remove rows that belong to none of the trials, and return their number.

        Raises:
            PlatformError: If the file cannot be written.
        """
        orphans = self.status(trials).orphans
        if orphans:
            self._write([row for row in self.rows if row not in orphans])
            self.query_values.write((), self.rows)
        return len(orphans)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def _write(self, rows: list[Record]) -> None:
        write_rows(self.path, self.columns, rows)
        self.rows = rows

    def _read(self) -> None:
        if not self.path.exists():
            return
        reader = csv.DictReader(StringIO(self.path.read_text(encoding="utf-8"), newline=""))
        if list(reader.fieldnames or []) != self.columns:
            raise ArtefactError(
                f"{self.path} holds the columns {', '.join(reader.fieldnames or ['(none)'])}, but this experiment "
                f"writes {', '.join(self.columns)}; choose another file, or move that one away"
            )
        self.rows = list(reader)


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write a CSV file anew, aside.

    Raises:
        PlatformError: If the file cannot be written.
    """
    text = StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
