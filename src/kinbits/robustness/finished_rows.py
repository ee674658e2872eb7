"""Finished rows of a report on disk, so that an interrupted run goes on from them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kinbits._util import full_path, locked_output, parse_json, write_text
from kinbits.errors import ArtefactError, UsageError
from kinbits.robustness.row import RobustnessRow, row_from_dict

ROWS = "rows.json"
Key = tuple[str, str, str]


@contextmanager
def finished_rows(
    folder: str | Path | None, identity: Mapping[str, Any], *, resume: bool, force: bool
) -> Iterator[FinishedRows]:
    """Yield the finished rows of a folder, to which no other process adds meanwhile; arguments as of `FinishedRows`.

    Raises:
        PlatformError: If another process measures into the folder, or it cannot be written.
    """
    with ExitStack() as stack:
        if folder is not None:
            stack.enter_context(locked_output(full_path(folder) / ROWS, "folder"))
        yield FinishedRows(folder, identity, resume=resume, force=force)


class FinishedRows:
    """Rows that are done, by what makes them; each addition is on disk before the next one begins.

    Args:
        folder: Folder of the file; None keeps the rows in memory alone.
        identity: What makes all rows: model, data and settings.
        resume: Whether to go on from what is there.
        force: Whether to begin again where there are rows.

    Raises:
        UsageError: If there are rows, and neither ``resume`` nor ``force`` is given; or if another model, other data or
            other settings made them.
        ArtefactError: If the file is damaged.
    """

    def __init__(self, folder: str | Path | None, identity: Mapping[str, Any], *, resume: bool, force: bool) -> None:
        self._identity, self._rows = dict(identity), dict[Key, list[RobustnessRow]]()
        self._path = None if folder is None else full_path(folder) / ROWS
        if self._path is None or not self._path.exists():
            return
        if resume:
            self._rows = self._read(self._path)
        elif not force:
            raise UsageError(
                f"{self._path.parent} holds a report; resume it, give another folder, or begin again by force"
            )

    def __contains__(self, key: Key) -> bool:
        return key in self._rows

    def __getitem__(self, key: Key) -> list[RobustnessRow]:
        return self._rows[key]

    def add(self, key: Key, rows: Sequence[RobustnessRow]) -> None:
        """Keep the rows of a key.

        Raises:
            PlatformError: If the file cannot be written.
        """
        self._rows[key] = list(rows)
        if self._path is not None:
            done = [{"key": key, "rows": [asdict(row) for row in rows]} for key, rows in self._rows.items()]
            write_text(self._path, json.dumps({"identity": self._identity, "done": done}) + "\n")

    def _read(self, path: Path) -> dict[Key, list[RobustnessRow]]:
        try:
            found = parse_json(path.read_text("utf-8"))
            known = dict(found["identity"])
            rows = {tuple(one["key"]): [row_from_dict(row) for row in one["rows"]] for one in found["done"]}
            if not all(rows.values()):
                raise ValueError("a finished step has no rows")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArtefactError(f"{path} is damaged ({type(error).__name__}); remove it, and begin again") from error
        other = [name for name in self._identity if known.get(name) != self._identity[name]]
        if other:
            raise UsageError(
                f"{path.parent} was begun with another {' and '.join(other)}; give the same, another folder, or begin "
                f"again by force"
            )
        return rows
