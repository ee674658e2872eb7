"""The file of results: one CSV row per run, appended when the run is done."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path

from kinbits._util import check_parent
from kinbits.bench.experiment import Run
from kinbits.errors import ArtefactError, platform_error

IDENTITY = ("protocol", "backbone", "direction", "method", "bits", "seed")
RECORD = ("seconds", "peak_mb", "config", "split_checksum", "version", "commit", "hardware")


class Results:
    """Rows of one experiment, on disk after every run.

    Args:
        path: The CSV file; it need not exist.
        metrics: Names of the measured columns.

    Raises:
        ArtefactError: The file holds other columns.
        PlatformError: The folder cannot be written.
    """

    def __init__(self, path: Path, metrics: Sequence[str]) -> None:
        self.path, self.metrics = path, list(metrics)
        self.columns = [*IDENTITY, *metrics, *RECORD]
        self.rows: list[dict[str, str]] = []
        check_parent(path, "file of results")
        if path.exists():
            self._read()

    def done(self, run: Run, checksum: str) -> bool:
        """Tell whether a run is here, and was made with this very code of its method on this very split."""
        configs = run.configs
        return any(row["config"] in configs and row["split_checksum"] == checksum for row in self.rows)

    def add(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Append the rows of one run: all of them or, where the machine fails, none that is counted as done."""
        texts = [{name: str(row.get(name, "")) for name in self.columns} for row in rows]
        fresh = not self.path.exists()
        try:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, self.columns)
                if fresh:
                    writer.writeheader()
                writer.writerows(texts)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise platform_error(f"{self.path} cannot be written", error) from None
        self.rows += texts

    def __iter__(self) -> Iterator[dict[str, str]]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def _read(self) -> None:
        text = self.path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]  # the last line of a killed run has no end
        reader = csv.DictReader(StringIO(whole, newline=""))
        if list(reader.fieldnames or []) != self.columns:
            raise ArtefactError(
                f"{self.path} holds the columns {', '.join(reader.fieldnames or ['(none)'])}, but this experiment "
                f"writes {', '.join(self.columns)}; choose another file, or move that one away"
            )
        self.rows = list(reader)
        if whole != text:
            os.truncate(self.path, len(whole.encode()))
