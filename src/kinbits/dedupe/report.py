"""The result of a search for duplicates: a table for the terminal, JSON and CSV for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kinbits._util import check_parent, full_path, import_pandas, parse_json, printed, read_regular, write_text
from kinbits.data import Skipped
from kinbits.dedupe.calibration_result import Calibration
from kinbits.dedupe.groups import DuplicateGroup, DuplicateItem, Kind
from kinbits.dedupe.table import groups_table, summary
from kinbits.errors import ArtefactError, platform_error

FORMAT = 1
REPORT, TABLE = "report.json", "report.csv"
COLUMNS = (
    "group",
    "kind",
    "representative",
    "path",
    "bytes",
    "width",
    "height",
    "modified",
    "distance",
    "similarity",
)


@dataclass(frozen=True)
class KnownMatch:
    """A new item that is a copy of a known item of a bank.

    Attributes:
        path: The item, as in `DuplicateItem`.
        bank: Name of the bank.
        known: Id of the nearest item of the bank.
        distance: Bits between the two codes.
        similarity: Similarity by pixels, 0 to 1; None where only codes were compared.
    """

    path: str
    bank: str
    known: str
    distance: int
    similarity: float | None = None


@dataclass(frozen=True, repr=False)
class DedupeReport:
    """Duplicates of a collection, in groups. Prints as a table.

    Attributes:
        root: The folder that paths start from, or the name of the index or data set.
        groups: All groups, by kind as in `KINDS`, then the largest first.
        calibration: Radius for copies, recall for each edit, false pairs to expect; None where no codes were compared.
        items: Number of images that were compared.
        reused: How many of them an earlier run had read; they are unchanged since.
        skipped: What could not be read, with reasons.
        ignored: Files that are not images by their extension: extension -> count.
        model: Name of what made the codes.
        fingerprint: Fingerprint of the model, or None.
        settings: Options of the search by name.
        known: Items that match an item of a bank.
        notes: What is to be known about the result, a sentence each.
    """

    root: str
    groups: tuple[DuplicateGroup, ...]
    calibration: Calibration | None = None
    items: int = 0
    reused: int = 0
    skipped: tuple[Skipped, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)
    model: str = ""
    fingerprint: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    known: tuple[KnownMatch, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.groups)

    def __iter__(self) -> Iterator[DuplicateGroup]:
        return iter(self.groups)

    def __repr__(self) -> str:
        return f"DedupeReport({summary(self)})"

    def __str__(self) -> str:
        return printed(self.table())

    @property
    def radius(self) -> int | None:
        """Radius for copies in bits; None where no codes were compared."""
        return None if self.calibration is None else self.calibration.radius

    @property
    def spare_bytes(self) -> int:
        """Bytes of all files of copies, equal pixels and equal bytes but the representatives', each counted once."""
        kept: set[str] = set()
        spare: dict[str, int] = {}
        for group in self.of_kind("copies", "pixels", "bytes"):
            if group.representative.path not in spare:
                kept.add(group.representative.path)
            spare.update({item.path: item.bytes for item in group.others if item.path not in kept})
        return sum(spare.values())

    def of_kind(self, *kinds: Kind) -> list[DuplicateGroup]:
        """Return the groups of some kinds, in the order of the kinds given."""
        return [group for kind in kinds for group in self.groups if group.kind == kind]

    def table(self, most: int | None = 20) -> Any:
        """Return what a terminal shows, for `rich`.

        Args:
            most: Maximum number of groups of each kind; None shows all.
        """
        return groups_table(self, most)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON types."""
        return {
            "format": FORMAT,
            "root": self.root,
            "items": self.items,
            "reused": self.reused,
            "model": self.model,
            "fingerprint": self.fingerprint,
            "settings": dict(self.settings),
            "calibration": None if self.calibration is None else self.calibration.to_dict(),
            "groups": [{"kind": group.kind, "items": [asdict(item) for item in group]} for group in self.groups],
            "known": [asdict(match) for match in self.known],
            "skipped": [asdict(one) for one in self.skipped],
            "ignored": dict(self.ignored),
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """Return everything as JSON text; `from_json` reads it."""
        return json.dumps(self.to_dict(), indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> DedupeReport:
        """Read a report from the text of `to_json`.

        Raises:
            ArtefactError: If it is no report, or a newer kinbits wrote it.
        """
        try:
            values = parse_json(text)
            if values.pop("format") != FORMAT:
                raise ArtefactError(f"the report does not have format {FORMAT}; make it again with this kinbits")
            return cls._from_dict(values)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ArtefactError(f"not a report of duplicates ({type(error).__name__}: {error})") from None

    @classmethod
    def _from_dict(cls, values: dict[str, Any]) -> DedupeReport:
        found = values.pop("calibration")
        return cls(
            calibration=None if found is None else Calibration.from_dict(found),
            groups=tuple(
                DuplicateGroup(group["kind"], tuple(DuplicateItem(**item) for item in group["items"]))
                for group in values.pop("groups")
            ),
            known=tuple(KnownMatch(**match) for match in values.pop("known")),
            skipped=tuple(Skipped(**one) for one in values.pop("skipped")),
            notes=tuple(values.pop("notes")),
            **values,
        )

    @classmethod
    def open(cls, folder: str | Path) -> DedupeReport:
        """Read the report of a folder that `save` wrote.

        Raises:
            ArtefactError: If there is none, or it is damaged.
        """
        path = full_path(folder) / REPORT
        try:
            return cls.from_json(read_regular(path))
        except ArtefactError as error:
            raise ArtefactError(f"{path}: {error}") from None
        except OSError as error:
            raise ArtefactError(
                f"{path} cannot be read: {error.strerror or error}; search first: kinbits dedupe FOLDER -o REPORT"
            ) from None

    def rows(self) -> list[dict[str, Any]]:
        """Return a dict for each item of each group, with the columns of `to_csv`."""
        return [
            dict(zip(COLUMNS, (number, group.kind, place == 0, _text(item.path), *_facts(item)), strict=True))
            for number, group in enumerate(self.groups)
            for place, item in enumerate(group)
        ]

    def to_csv(self) -> str:
        """Return a table of text with a line for each item of each group; empty cells are unknown."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows())
        return text.getvalue()

    def to_pandas(self) -> Any:
        """Return a pandas data frame with the columns of `to_csv`.

        Raises:
            PlatformError: If pandas is not installed.
        """
        frame = import_pandas().DataFrame(self.rows(), columns=list(COLUMNS))
        return frame.astype({"distance": "Int64", "similarity": "Float64"})

    def save(self, folder: str | Path) -> list[Path]:
        """Write ``report.json`` and ``report.csv``; each file appears complete or not at all.

        Args:
            folder: Created if it does not exist.

        Returns:
            The paths of the two files.

        Raises:
            PlatformError: If a file cannot be written.
        """
        numbers, table = (full_path(folder) / name for name in (REPORT, TABLE))
        check_parent(numbers, "folder")
        try:
            write_text(numbers, self.to_json() + "\n")
            write_text(table, self.to_csv())
        except OSError as error:
            raise platform_error(f"{folder} cannot be written", error) from None
        return [numbers, table]


def _text(path: str) -> str:
    """Return a path as Unicode text: bytes of a name that are not UTF-8 become escapes."""
    return path.encode("utf-8", "backslashreplace").decode()


def _facts(item: DuplicateItem) -> tuple[Any, ...]:
    return tuple(asdict(item).values())[1:]
