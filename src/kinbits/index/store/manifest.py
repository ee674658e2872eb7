"""The manifest: a small JSON file with the names and checksums of all other files of an index."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from itertools import pairwise
from typing import Any

import numpy as np

from kinbits import hamming
from kinbits.backbones import Concepts
from kinbits.data import RESERVED
from kinbits.errors import ArtefactError
from kinbits.index.store import bitmap
from kinbits.index.store.checked_array import FileEntry
from kinbits.index.store.ids import MOST_BYTES, readable_id
from kinbits.index.store.kept_vectors import Kept
from kinbits.index.store.links import Link
from kinbits.index.store.search_tables import ArrayEntry, TablesEntry, behind
from kinbits.index.store.segment import Segment

FORMAT = "kinbits-index"
VERSION = 2
KEEPING_VERSION = 3  # an older kinbits would take product codes and kept vectors for damage
NEWEST_VERSION = 4  # and concepts
NAME = "manifest.json"

_INT_IDS = "<i8"
_LARGEST = 2**63 - 1
_MOST_ROWS = 2**48
_TABLE_DTYPES = ("|u1", "<u4", "<u8", "<i8")


@dataclass(frozen=True)
class SegmentEntry:
    """A segment and its files by role.

    Always ``codes`` and ``ids``; ``alive`` if any row is dead, ``rows`` if there are columns, ``vectors`` if kept,
    ``concepts`` if those of any item are known.

    Attributes:
        number: Number of the segment, part of the names of its files.
        rows: Number of rows, deleted ones included.
        dead: Number of deleted rows.
        id_dtype: ``<i8`` or ``|S1`` to ``|S1024``.
        first: Smallest id.
        last: Largest id.
        columns: Names of the metadata columns.
        files: Files by role.
        tables: Search tables; None without them.
    """

    number: int
    rows: int
    dead: int
    id_dtype: str
    first: int | str
    last: int | str
    columns: tuple[str, ...]
    files: Mapping[str, FileEntry]
    tables: TablesEntry | None = None

    @classmethod
    def from_segment(cls, segment: Segment) -> SegmentEntry:
        """Describe a segment whose files are on disk."""
        first, last = map(readable_id, segment.bounds)
        return cls(
            number=segment.number,
            rows=segment.rows,
            dead=segment.dead,
            id_dtype=segment.stored_ids.dtype.str,
            first=first,
            last=last,
            columns=tuple(segment.columns),
            files={role: part.entry for role, part in segment.files().items() if part.entry is not None},
            tables=segment.tables.entry if segment.tables is not None else None,
        )


@dataclass(frozen=True)
class Manifest:
    """See `kinbits.index.store.state.State` for the fields.

    Attributes:
        model: Folder of the model; None if not known.
        image_roots: Folders that paths of images start from.
    """

    bits: int
    fingerprint: str | None
    id_kind: str | None
    next_id: int
    next_segment: int
    generation: int
    segments: tuple[SegmentEntry, ...] = field(default=())
    model: Link | None = None
    image_roots: tuple[Link, ...] = ()
    words: int = hamming.BITS
    keep: Kept | None = None
    concepts: Concepts | None = None

    def files(self) -> list[FileEntry]:
        """Return all files of the index."""
        return [entry for segment in self.segments for entry in (*segment.files.values(), *_file_of(segment.tables))]

    def derived(self) -> set[str]:
        """Return the names of files that can be built again from others."""
        return {entry.name for segment in self.segments for entry in _file_of(segment.tables)}

    def to_json(self) -> bytes:
        """Return the manifest as JSON, with a checksum over its contents."""
        body = {"format": FORMAT, "version": NEWEST_VERSION, **asdict(self)}
        if self.concepts is None:  # as before there were any
            body["version"] = KEEPING_VERSION
            del body["concepts"]
            if self.words == hamming.BITS and self.keep is None:  # as before there was either
                body["version"] = VERSION
                del body["words"], body["keep"]
        return json.dumps({**body, "checksum": checksum_of(body)}, indent=1).encode()

    @classmethod
    def from_json(cls, raw: bytes, origin: str) -> Manifest:
        """Read a manifest.

        Raises:
            ArtefactError: If it is damaged, of another version, or not the manifest of an index.
        """
        body = _parse(raw, origin)
        try:
            segments = tuple(_segment(entry) for entry in body.pop("segments"))
            model, roots, keep = body.pop("model", None), body.pop("image_roots", ()), body.pop("keep", None)
            concepts = body.pop("concepts", None)
            links = tuple(Link(**root) for root in roots)
            manifest = cls(
                **body,
                segments=segments,
                model=model and Link(**model),
                image_roots=links,
                keep=keep and Kept(**keep),
                concepts=concepts and Concepts(**concepts),
            )
            manifest._require_sense()
        except (KeyError, TypeError, ValueError, AttributeError):
            raise _damaged(origin) from None
        return manifest

    def _require_sense(self) -> None:
        width = hamming.code_width(self.bits)
        _require(type(self.words) is int and hamming.check_words(self.words, self.bits) == self.words)
        _require(self.fingerprint is None or isinstance(self.fingerprint, str))
        _require(self.id_kind in (("int", "str") if self.segments else ("int", "str", None)))
        _require(_is_whole(self.next_id, 0, _LARGEST + 1) and _is_whole(self.generation, 0, _LARGEST))
        _require(_is_whole(self.next_segment, 1, _LARGEST))
        _require(self.keep is None or (self.keep.sensible and bool(self.keep.dims or not self.segments)))
        _require(self.concepts is None or self.concepts.sensible)
        kept = 0 if self.keep is None else self.keep.width
        known = 0 if self.concepts is None else self.concepts.width
        for segment in self.segments:
            _require_segment(segment, width, kept, known, str(self.id_kind))
            _require(self.id_kind == "str" or segment.last < self.next_id)  # type: ignore[operator]
        links = [*self.image_roots, *([] if self.model is None else [self.model])]
        _require(all(isinstance(path, str) for link in links for path in (link.relative, link.absolute)))
        numbers = [*(segment.number for segment in self.segments), self.next_segment]
        _require(all(first < second for first, second in pairwise(numbers)))


def _require_segment(entry: SegmentEntry, width: int, kept: int, known: int, id_kind: str) -> None:
    """Check that the fields of a segment fit each other, so that its files can be mapped."""
    _require(_is_whole(entry.number, 1, _LARGEST) and _is_whole(entry.rows, 1, _MOST_ROWS))
    _require(_is_whole(entry.dead, 0, entry.rows - 1))
    _require(len(set(entry.columns)) == len(entry.columns) and not set(entry.columns) & set(RESERVED))
    _require(all(isinstance(name, str) for name in entry.columns))
    _require(type(entry.first) is type(entry.last) and entry.first <= entry.last)  # type: ignore[operator]
    if id_kind == "int":
        _require(entry.id_dtype == _INT_IDS and _is_whole(entry.first, -_LARGEST - 1, _LARGEST))
        _require(_is_whole(entry.last, -_LARGEST - 1, _LARGEST))
    else:
        found = re.fullmatch(r"\|S([1-9]\d{0,3})", entry.id_dtype)
        _require(found is not None and int(found[1]) <= MOST_BYTES and isinstance(entry.first, str))
    sizes = {"codes": entry.rows * width, "ids": entry.rows * np.dtype(entry.id_dtype).itemsize}
    if entry.dead:
        sizes["alive"] = bitmap.width(entry.rows)
    if kept:
        sizes["vectors"] = entry.rows * kept
    if known and "concepts" in entry.files:
        sizes["concepts"] = entry.rows * known
    if entry.columns:
        sizes["rows"] = entry.files["rows"].bytes
    _require(entry.files.keys() == sizes.keys())
    for role, file in entry.files.items():
        _require(file.name == file_name(entry.number, role, entry.dead) and file.bytes == sizes[role])
        _require(_is_whole(file.bytes, 1, _LARGEST) and re.fullmatch(r"[0-9a-f]{32}", file.checksum) is not None)
    if entry.tables is not None:
        _require_tables(entry.tables, entry.number)


def _require_tables(entry: TablesEntry, number: int) -> None:
    _require(re.fullmatch(rf"{number:06}\.tables\.\d+", entry.file.name) is not None and bool(entry.arrays))
    _require(
        _is_whole(entry.file.bytes, 1, _LARGEST) and re.fullmatch(r"[0-9a-f]{32}", entry.file.checksum) is not None
    )
    start = stop = 0
    for array in entry.arrays.values():
        _require(array.dtype in _TABLE_DTYPES and all(_is_whole(length, 0, _LARGEST) for length in array.shape))
        _require(_is_whole(array.start, start, start))
        start, stop = behind(array), array.stop
    _require(stop == entry.file.bytes)


def _file_of(entry: TablesEntry | None) -> list[FileEntry]:
    return [] if entry is None else [entry.file]


def file_name(number: int, role: str, version: int) -> str:
    """Return the name of a file of a segment; no name is used for two contents.

    Args:
        number: Number of the segment.
        role: See `SegmentEntry`; or ``tables``.
        version: Number of deleted rows, which only grows, or the generation that built the tables; unused otherwise.
    """
    return f"{number:06}.{role}.{version}" if role in ("alive", "tables") else f"{number:06}.{role}"


def checksum_of(body: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the body of a manifest."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _parse(raw: bytes, origin: str) -> dict[str, Any]:
    try:
        body = json.loads(raw)
        found, version = body.pop("format"), body.pop("version")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        raise _damaged(origin) from None
    if found != FORMAT:
        raise ArtefactError(f"{origin} belongs to '{found}', not to a kinbits index")
    if version not in (VERSION, KEEPING_VERSION, NEWEST_VERSION):  # before the checksum
        _refuse_version(origin, version)
    if body.pop("checksum", None) != checksum_of({"format": found, "version": version, **body}):
        raise ArtefactError(f"{origin} does not match its checksum; restore it from a backup")
    return dict(body)


def _refuse_version(origin: str, version: Any) -> None:
    if version == 1:
        remedy = "which kinbits wrote before its first release; create the index again from its codes or data"
    else:
        remedy = f"but this kinbits reads version {NEWEST_VERSION}; upgrade it with pip install -U kinbits"
    raise ArtefactError(f"{origin} has format version {version}, {remedy}")


def _segment(entry: dict[str, Any]) -> SegmentEntry:
    files = {str(role): FileEntry(**described) for role, described in entry.pop("files").items()}
    _require(isinstance(entry["columns"], list))
    tables = None if entry["tables"] is None else _tables(entry["tables"])
    made = SegmentEntry(files=files, **{**entry, "columns": tuple(entry["columns"]), "tables": tables})
    described = [*files.values(), *_file_of(tables)]
    _require(all(isinstance(getattr(file, part.name), str | int) for file in described for part in fields(file)))
    return made


def _tables(entry: dict[str, Any]) -> TablesEntry:
    arrays = {
        str(name): ArrayEntry(**{**described, "shape": tuple(described["shape"])})
        for name, described in entry["arrays"].items()
    }
    return TablesEntry(FileEntry(**entry["file"]), arrays)


def _damaged(origin: str) -> ArtefactError:
    return ArtefactError(f"{origin} is damaged; restore it from a backup or rebuild the index")


def _is_whole(value: Any, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _require(holds: bool) -> None:
    if not holds:
        raise ValueError
