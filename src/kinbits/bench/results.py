"""The file of results: CSV rows, each trial once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from kinbits._util import locked_output
from kinbits.bench.experiment import Trial
from kinbits.bench.protocol_data import forget_data
from kinbits.bench.query_values import QueryValues
from kinbits.bench.rows import Record, read_rows, write_rows
from kinbits.bench.status import Status, owns

IDENTITY = ("protocol", "backbone", "direction", "method", "bits", "seed")
NUMBERS = ("seconds", "peak_mb")
RECORD = (*NUMBERS, "config", "split_checksum", "version", "method_version", "commit", "hardware")
LATER = ("method_version",)  # columns that files of before their time lack


class Results:
    """Rows of one experiment. The file on disk is always whole: each change writes it anew, aside.

    ``version`` is that of kinbits, ``method_version`` that of the method (`Method.version`). In rows of before the
    column it is empty; ``config`` covers it in all rows.

    The first metric's value of each query is kept in a file next to it, see `QueryValues`.

    Args:
        path: The CSV file; it need not exist.
        metrics: Names of the measured columns.

    Raises:
        ArtefactError: If the file holds other columns, or a row has the wrong form.
        PlatformError: If the file cannot be read.
    """

    def __init__(self, path: Path, metrics: Sequence[str]) -> None:
        self.path, self.metrics = path, list(metrics)
        self.columns = [*IDENTITY, *metrics, *RECORD]
        self.query_values = QueryValues(path, self.metrics[0])
        self.rows: list[Record] = []
        self._read()

    def status(self, trials: Iterable[Trial]) -> Status:
        """Tell which trials of an experiment are done, missing or stale, and which rows belong to none of them."""
        forget_data()
        return Status.from_rows(self.rows, trials)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep other processes from changing the file while the block runs, and read it anew.

        Raises:
            ArtefactError: If the file has another form.
            PlatformError: If another process is changing it.
        """
        with locked_output(self.path, "folder of results"):
            self._read()
            yield

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

    def prune(self, orphans: Collection[Record]) -> None:
        """Remove rows, such as those of no trial.

        Raises:
            PlatformError: If the file cannot be written.
        """
        if orphans:
            kept = [row for row in self.rows if row not in orphans]
            self._write(kept)
            self.query_values.write((), kept)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def _write(self, rows: list[Record]) -> None:
        write_rows(self.path, self.columns, rows)
        self.rows = rows

    def _read(self) -> None:
        if self.path.exists():
            self.rows = read_rows(self.path, self.columns, (*self.metrics, *NUMBERS), LATER)
