"""The file of results: CSV rows, appended when a trial is done."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path

from kinbits._util import check_parent, write_text
from kinbits.bench.experiment import Trial
from kinbits.errors import ArtefactError, platform_error

IDENTITY = ("protocol", "backbone", "direction", "method", "bits", "seed")
RECORD = ("seconds", "peak_mb", "config", "split_checksum", "version", "commit", "hardware")


class Results:
    """Rows of one experiment, on disk after every trial.

    Args:
        path: The CSV file; it need not exist.
        metrics: Names of the measured columns.

    Raises:
        ArtefactError: If the file holds other columns.
        PlatformError: If the folder cannot be written.
    """

    def __init__(self, path: Path, metrics: Sequence[str]) -> None:
        self.path, self.metrics = path, list(metrics)
        self.columns = [*IDENTITY, *metrics, *RECORD]
        self.rows: list[dict[str, str]] = []
        check_parent(path, "file of results")
        if path.exists():
            self._read()

    def done(self, trial: Trial, checksum: str) -> bool:
        """Tell whether a trial is here, and was made with this very code of its method on this very split."""
        configs = trial.configs
        return any(row["config"] in configs and row["split_checksum"] == checksum for row in self.rows)

    def accept(self, trial: Trial, checksum: str) -> bool:
        """Let the last rows of a trial count as done, although the code of its method has changed since.

        Returns:
            Whether there are rows to accept: of a trial that is not done, with its settings, on this split.
        """
        rows = [row for row in self.rows if row["config"].partition("-")[0] == trial.settings]
        rows = [row for row in rows if row["split_checksum"] == checksum]
        if not rows or self.done(trial, checksum):
            return False
        last = rows[-1]["config"]
        for row in rows:
            if row["config"] == last:
                row["config"] = trial.config
        return True

    def save(self) -> None:
        """Write all rows anew.

        Raises:
            PlatformError: If the file cannot be written.
        """
        text = StringIO(newline="")
        writer = csv.DictWriter(text, self.columns)
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.path, text.getvalue())

    def add(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Append the rows of one trial: all of them or, where the machine fails, none that counts as done."""
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
        whole = text[: text.rfind("\n") + 1]  # the last line of a killed process has no end
        reader = csv.DictReader(StringIO(whole, newline=""))
        if list(reader.fieldnames or []) != self.columns:
            raise ArtefactError(
                f"{self.path} holds the columns {', '.join(reader.fieldnames or ['(none)'])}, but this experiment "
                f"writes {', '.join(self.columns)}; choose another file, or move that one away"
            )
        self.rows = list(reader)
        if whole != text:
            os.truncate(self.path, len(whole.encode()))
