"""The manifest: one small JSON file that names all other files of an index, with their checksums."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from kinbits._errors import ArtefactError

FORMAT = "kinbits-index"
VERSION = 1
NAME = "manifest.json"


@dataclass(frozen=True)
class FileEntry:
    """A file as it was written: name inside the folder, bytes, SHA-256 in hex."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class SegmentEntry:
    """A segment's files, by role: ``codes``, ``ids``, ``rows`` (SQLite) and, if it has any, ``dead``."""

    number: int
    rows: int
    id_dtype: str
    files: Mapping[str, FileEntry]


@dataclass(frozen=True)
class Manifest:
    """See `kinbits.index._state.State` for the fields."""

    bits: int
    fingerprint: str | None
    id_kind: str | None
    next_id: int
    next_segment: int
    generation: int
    segments: tuple[SegmentEntry, ...] = field(default=())

    def files(self) -> list[FileEntry]:
        """List every file that belongs to the index."""
        return [entry for segment in self.segments for entry in segment.files.values()]

    def to_json(self) -> bytes:
        """Write the manifest, with a checksum over itself."""
        body = {"format": FORMAT, "version": VERSION, **asdict(self)}
        return json.dumps({**body, "checksum": _checksum(body)}, indent=1).encode()

    @classmethod
    def from_json(cls, raw: bytes, origin: str) -> Manifest:
        """Read a manifest.

        Raises:
            ArtefactError: if it is damaged, of a newer format, or no manifest of an index.
        """
        body = _parse(raw, origin)
        try:
            segments = tuple(_segment(entry) for entry in body.pop("segments"))
            return cls(segments=segments, **body)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise ArtefactError(f"{origin} is damaged; restore it from a backup or rebuild the index") from None


def _parse(raw: bytes, origin: str) -> dict[str, Any]:
    try:
        body = json.loads(raw)
        found, version = body.pop("format"), body.pop("version")
    except (ValueError, KeyError, AttributeError, TypeError):
        raise ArtefactError(f"{origin} is damaged; restore it from a backup or rebuild the index") from None
    if found != FORMAT:
        raise ArtefactError(f"{origin} belongs to '{found}', not to an index of kinbits")
    if version != VERSION:  # before the checksum, whose rule a newer format may have changed
        raise ArtefactError(
            f"{origin} has format version {version}, but this kinbits reads version {VERSION}; "
            "upgrade it with pip install -U kinbits"
        )
    if body.pop("checksum", None) != _checksum({"format": found, "version": version, **body}):
        raise ArtefactError(f"{origin} does not match its checksum; restore it from a backup")
    return dict(body)


def _segment(entry: dict[str, Any]) -> SegmentEntry:
    files = {role: FileEntry(**described) for role, described in entry.pop("files").items()}
    return SegmentEntry(files=files, **entry)


def _checksum(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
