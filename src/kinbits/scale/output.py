"""The output of a run: one Parquet file for each block, a note of the job, and a manifest that is written last."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinbits._util import file_aside, full_path, locked_output, one_line, open_arrow, parse_json, read_regular
from kinbits.data import Skipped
from kinbits.encoding import JOB, MANIFEST, CodesFile, shard_name, stated_facts
from kinbits.errors import ArtefactError, DataError, PlatformError, UsageError, platform_error
from kinbits.perceptual import LEAST_QUALITY, QUALITY
from kinbits.scale.places import Place, is_uri
from kinbits.scale.repeats import repeated_id

SKIPPED = "_skipped.json"
_READERS = 8


@dataclass(frozen=True)
class Shard:
    """What is known of a finished block.

    Attributes:
        rows: Number of codes.
        skipped: What could not be read.
        low_quality: Number of codes with a quality below 50; None of a model that knows no quality.
    """

    rows: int
    skipped: tuple[Skipped, ...]
    low_quality: int | None


class _LocalFolder:
    """A folder of this machine, in which a file is written aside and then renamed."""

    def __init__(self, path: Path) -> None:
        self.path, self.uri = path, str(path)

    def lock(self) -> AbstractContextManager[None]:
        return locked_output(self.path, "output folder")

    def names(self) -> set[str]:
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{self.path} is a file; codes of a cluster need a folder: choose another output")
        return {entry.name for entry in self.path.iterdir() if entry.name[0] != "."} if self.path.is_dir() else set()

    def open_arrow(self, name: str) -> Any:
        return open_arrow(self.path / name)

    def read(self, name: str) -> bytes:
        return read_regular(self.path / name)

    def write(self, name: str, data: bytes) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with file_aside(self.path / name) as aside:
                aside.write_bytes(data)
        except OSError as error:
            raise platform_error(f"{self.path / name} cannot be written", error) from None


class _RemoteFolder(Place):
    """A folder of an object store."""

    def lock(self) -> AbstractContextManager[None]:
        return nullcontext()  # two runs of one job write the same bytes

    def names(self) -> set[str]:
        from pyarrow import fs

        try:
            selector = fs.FileSelector(self.path(), allow_not_found=True)
            return {one.base_name for one in self.file_system.get_file_info(selector)}
        except OSError as error:
            raise PlatformError(
                f"{self.uri} cannot be listed ({one_line(error)}); check the address, the endpoint and the keys"
            ) from None


class Output:
    """The folder that a run fills.

    Each block has a file of its own, named by its number, and every file is complete or missing. So a run that was
    killed continues, and a block that was encoded twice is there once.

    Args:
        target: A local folder, or a URI.
        job: JSON types that tell this job from others.

    Attributes:
        digest: SHA-256 (hex) of the job, which every file names.
    """

    def __init__(self, target: str, job: Mapping[str, Any]) -> None:
        self._folder: _RemoteFolder | _LocalFolder
        if is_uri(target):
            place = Place.from_uri(target)
            self._folder = _RemoteFolder(place.uri, place.endpoint)
        else:
            self._folder = _LocalFolder(full_path(target))
        self._job = dict(job)
        self.digest = hashlib.sha256(json.dumps(self._job, sort_keys=True).encode()).hexdigest()

    @property
    def target(self) -> str:
        """The folder or URI."""
        return str(self._folder.uri)

    def lock(self) -> AbstractContextManager[None]:
        """Hold the lock of a local folder, so that one run at a time writes to it.

        Raises:
            PlatformError: If another process holds it, or the folder cannot be written.
        """
        return self._folder.lock()

    def start(self) -> dict[int, Shard]:
        """Note the job, and return the blocks that an earlier run of it has finished.

        Raises:
            UsageError: If the folder holds something else, or codes of another job.
            PlatformError: If it cannot be read or written.
        """
        names = self._folder.names()
        if JOB not in names:
            if names:
                raise UsageError(
                    f"{self.target} is not empty, and holds something else ({min(names)}); choose another output"
                )
            self._write_json(JOB, {"job": self.digest, **self._job})
            return {}
        self._require_same_job()
        numbers = [number for number in range(self._job["blocks"]) if shard_name(number) in names]
        with ThreadPoolExecutor(_READERS) as pool:
            found = zip(numbers, pool.map(self._shard, numbers), strict=True)
            return {number: shard for number, shard in found if shard is not None}

    def _require_same_job(self) -> None:
        try:
            known = parse_json(self._folder.read(JOB))
        except (OSError, ValueError) as error:
            raise ArtefactError(
                f"{self.target}/{JOB} is damaged ({one_line(error)}); choose another output, or remove this one"
            ) from None
        if isinstance(known, dict) and known.get("job") == self.digest:
            return
        given = known if isinstance(known, dict) else {}
        differing = [name for name, value in self._job.items() if given.get(name) != value]
        raise UsageError(
            f"{self.target} holds codes of another job: {', '.join(differing) or 'format'} differ; choose another "
            "output, or remove this one"
        )

    def _shard(self, number: int) -> Shard | None:
        """Return what a finished block holds; None if it is damaged, or of another job."""
        from pyarrow import ArrowException, parquet

        try:
            with self._folder.open_arrow(shard_name(number)) as file:
                table = parquet.ParquetFile(file, page_checksum_verification=True).read()
            facts = stated_facts(table.schema)
        except (OSError, ValueError, ArrowException):
            return None
        if facts.get("job") != self.digest or facts.get("block") != number:
            return None
        quality = table[QUALITY].to_pylist() if QUALITY in table.column_names else None
        listed = tuple(Skipped(one["id"], one["reason"]) for one in facts["skipped"])
        return Shard(table.num_rows, listed, _low(quality))

    def write_shard(self, number: int, data: bytes) -> None:
        """Write the file of a block, complete or not at all.

        Raises:
            PlatformError: If it cannot be written.
        """
        self._folder.write(shard_name(number), data)

    def require_unique(self, name: Callable[[int], str]) -> None:
        """Check that no two blocks hold the same id; 8 bytes of an id are in memory.

        Args:
            name: Tells what messages call the block of a number.

        Raises:
            DataError: If an id is in two blocks.
            PlatformError: If a file cannot be read.
        """
        found = repeated_id(self._ids, self._job["blocks"])
        if found is not None:
            id_, first, second = found
            raise DataError(
                f"the id {id_} is in two blocks: {name(first)} ({shard_name(first)}), and {name(second)} "
                f"({shard_name(second)}); give each item its own id, then encode to another output"
            )

    def _ids(self, number: int) -> list[str]:
        """Read the ids of a finished block, as text."""
        import pyarrow as pa
        from pyarrow import parquet

        try:
            with self._folder.open_arrow(shard_name(number)) as file:
                column = parquet.ParquetFile(file).read(["id"])["id"]
        except OSError as error:
            raise platform_error(f"{self.target}/{shard_name(number)} cannot be read", error) from None
        return column.cast(pa.string()).to_pylist()  # type: ignore[no-any-return]

    def finish(self, shards: Sequence[Shard], skipped: Sequence[Skipped]) -> None:
        """Write the list of what was skipped, and last the manifest, which tells that all blocks are there.

        Raises:
            PlatformError: If they cannot be written.
        """
        self._write_json(SKIPPED, [vars(one) for one in skipped])
        self._write_json(
            MANIFEST,
            {
                "kinbits": "codes",
                "job": self.digest,
                **{name: self._job[name] for name in ("format", "bits", "fingerprint", "modality")},
                "rows": sum(shard.rows for shard in shards),
                "skipped": len(skipped),
                "blocks": [shard.rows for shard in shards],
            },
        )

    def _write_json(self, name: str, value: Any) -> None:
        self._folder.write(name, (json.dumps(value, indent=1) + "\n").encode())


def shard_bytes(codes: CodesFile, job: str, number: int, types: Mapping[str, Any] | None) -> tuple[bytes, Shard]:
    """Return the file of a block, the same for the same codes, and what it holds.

    Args:
        codes: The codes of the block; there may be none.
        job: Digest of the job.
        number: Number of the block.
        types: Types of the metadata of all blocks, so that all files have one schema; None takes those of the block.
    """
    import pyarrow as pa
    from pyarrow import parquet

    table = codes.to_table(job=job, block=number)
    for name, kind in (types or {}).items():
        if name in table.column_names and table.schema.field(name).type != kind:
            table = table.set_column(table.column_names.index(name), name, table[name].cast(kind))
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, write_page_checksum=True)
    quality = codes.columns.get(QUALITY)
    return sink.getvalue().to_pybytes(), Shard(len(codes), codes.skipped, _low(quality))


def _low(quality: Sequence[Any] | None) -> int | None:
    return None if quality is None else sum(value is not None and value < LEAST_QUALITY for value in quality)
