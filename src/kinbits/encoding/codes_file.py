"""Files of codes: Parquet with the columns id, code and metadata; NumPy arrays and hexadecimal text are read too."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kinbits import hamming
from kinbits._util import (
    CONFIG,
    full_path,
    named_extras,
    one_line,
    open_arrow,
    open_regular,
    parse_json,
    require,
    shortened,
)
from kinbits.encoding.folders import is_code_folder, shards_of_folder
from kinbits.encoding.label_texts import label_numbers
from kinbits.encoding.places import find_place, is_plain, path_text
from kinbits.encoding.rows import CODE, FORMAT, KEY, PRODUCT_FORMAT, code_rows, with_format
from kinbits.encoding.text_files import TEXTS, holds_text_codes, read_text_codes
from kinbits.errors import ArtefactError, DataError, UsageError
from kinbits.hamming import code_width
from kinbits.perceptual import HASHES

if TYPE_CHECKING:
    import pyarrow as pa

    from kinbits.data import Skipped

_FACTS: dict[str, type | tuple[type, ...]] = {
    "format": int,
    "bits": int,
    "words": int,
    "fingerprint": (str, type(None)),
    "model": (str, type(None)),
    "root": (str, type(None)),
    "relative_model": str,
    "relative_root": str,
    "multiple": list,
    "skipped": list,
}


@dataclass(frozen=True)
class CodesFile:
    """Codes of a collection with their ids and metadata, as a file holds them.

    Attributes:
        codes: Packed codes, uint8 ``(n, w)``.
        ids: int64 or str ``(n,)``, unique in a file that kinbits writes.
        bits: Code length; None where another program wrote the file and it does not say.
        columns: Metadata by name, n values each.
        fingerprint: Of the model that made the codes; None if not known.
        model: Folder of that model, as an absolute path; None if not known.
        root: Folder that paths of images among the ids and columns start from, as an absolute path; None if not known.
        skipped: What could not be read of the collection.
        name: What messages call it: the path of the file.
        multiple: Names of the columns whose texts hold several labels, joined by a comma and a blank. None if not
            known; then a text with a comma and a blank counts as several labels.
        words: Words of a part of a code: 2 for bits, 16 or 256 for product codes, 0 for scaled codes.
        stamps: What `file_stamps` returned before the files were encoded; None if not known. No file holds it.
        concepts: Rows of concepts of the items, uint8 ``(n, c)``; None if not known. No file holds them.

    Raises:
        DataError: If the codes are not uint8 ``(n, w)``, the ids are not whole numbers or text, or the lengths of ids
            or metadata differ from that of the codes.
    """

    codes: np.ndarray
    ids: np.ndarray
    bits: int | None = None
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    fingerprint: str | None = None
    model: Path | None = None
    root: Path | None = None
    skipped: tuple[Skipped, ...] = ()
    name: str = "the codes"
    multiple: tuple[str, ...] | None = None
    words: int = hamming.BITS
    stamps: np.ndarray | None = field(default=None, repr=False, compare=False)
    concepts: np.ndarray | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        hamming.check_codes(self.codes, name=self.name)
        object.__setattr__(self, "ids", np.asarray(self.ids))
        self._check_ids()
        parts: dict[str, Any] = {"ids": self.ids, **{f"values of {n!r}": values for n, values in self.columns.items()}}
        for what, given in parts.items():
            if len(given) != len(self.codes):
                raise DataError(
                    f"{self.name}: {len(self.codes)} codes, but {len(given)} {what}; give one for each code"
                )
        for name in ("model", "root"):  # a later change of the working folder does not change their meaning
            folder = getattr(self, name)
            object.__setattr__(self, name, None if folder is None else full_path(folder))

    def _check_ids(self) -> None:
        if self.ids.ndim != 1 or (len(self.ids) and self.ids.dtype.kind not in "iuU"):
            raise DataError(
                f"{self.name}: the ids are {self.ids.dtype} of shape {self.ids.shape}; give whole numbers or text, one "
                "for each code"
            )

    def __len__(self) -> int:
        return len(self.codes)

    def __repr__(self) -> str:
        kind = hamming.parts_text(self.words)
        return f"CodesFile({len(self):,} codes, {self.bits or 'unknown number of'} bits{kind}, {self.name})"

    def with_bits(self, bits: int | None) -> CodesFile:
        """Return the codes with their length: what the file says, or the given one where it does not say.

        Args:
            bits: Code length, or None.

        Raises:
            UsageError: If neither says it.
            ArtefactError: If they contradict each other.
        """
        length = bits if self.bits is None else self.bits
        if length is None:
            raise UsageError(f"{self.name} does not say how long its codes are; name their length in bits")
        if code_width(length) != self.codes.shape[1]:
            raise ArtefactError(f"{self.name} holds codes of {self.codes.shape[1]} bytes, not {length}-bit codes")
        if bits not in (None, length):
            raise ArtefactError(f"{self.name} holds {length}-bit codes, not {bits}-bit codes; leave the length out")
        return replace(self, bits=int(length))

    def labels(self, column: str) -> np.ndarray | None:
        """Return the labels in a column: int64 ``(n,)``, -1 for none; bool ``(n, c)`` where an item has several.

        Returns:
            None if there is no such column, or no item has a label.
        """
        if column not in self.columns:
            return None
        return label_numbers(self.columns[column], several=None if self.multiple is None else column in self.multiple)

    def to_table(self, **facts: Any) -> pa.Table:
        """Lay the codes out as a file of codes holds them: columns id, code, and metadata but for a column ``code``.

        Args:
            facts: Further facts that the file states about itself, as JSON types.

        Raises:
            UsageError: If the length of the codes is not known, or the path of the model or root is not Unicode.
            DataError: If an id occurs twice, or ids or metadata cannot be stored.
        """
        stated = {
            "bits": self.with_bits(None).bits,
            **hamming.stated_kind(self.words),
            "fingerprint": self.fingerprint,
            "model": path_text(self.model),
            "root": path_text(self.root),
            **({} if self.multiple is None else {"multiple": list(self.multiple)}),
            **facts,
            "skipped": [vars(one) for one in self.skipped],
        }
        return code_rows(self.ids, self.codes, self.columns, with_format(stated))


@named_extras()
def read_codes(path: str | os.PathLike[str]) -> CodesFile:
    """Read a file of codes: of kinbits, or of another program.

    In a Parquet table of another program, a code in the column ``code`` is bytes, a list of numbers from 0 to 255, or
    text of two hexadecimal digits a byte; the column ``id`` names it. A ``.npy`` file holds packed codes, uint8
    ``(n, w)``, whose ids are the numbers of the rows.

    Text files hold hexadecimal codes: a ``.csv`` table has the columns ``id`` and ``code``, and a ``.hex`` or ``.txt``
    file one code a line. A ``.txt`` file may hold signals of ThreatExchange, such as ``pdq f8f8...``, and a ``.csv``
    table too, in the columns ``signal_type`` and ``signal_str``. Their PDQ hashes are read, are their own ids, and are
    codes of model pdq; other signals are listed as skipped.

    A folder that `kinbits.scale.encode` has filled is read as if it was one file.

    Raises:
        ArtefactError: If it is damaged, of a newer format, not complete, or its columns do not fit.
        PlatformError: If it is a table and pyarrow is not installed.
    """
    path = full_path(path)
    if path.is_dir():
        return join_codes([_read_table(shard) for shard in shards_of_folder(path)], str(path))
    if path.suffix == ".npy":
        return _read_array(path)
    return _read_text(path) if path.suffix in TEXTS else _read_table(path)


def join_codes(parts: Sequence[CodesFile], name: str) -> CodesFile:
    """Return the codes of several parts of a collection, one or more, as one; metadata that a part lacks is None.

    Args:
        parts: Codes of the same model.
        name: What messages call them.
    """
    names = dict.fromkeys(column for part in parts for column in part.columns)
    cells = {column: [part.columns.get(column, [None] * len(part)) for part in parts] for column in names}
    return replace(
        parts[0],
        codes=np.concatenate([part.codes for part in parts]),
        ids=np.concatenate([part.ids for part in parts]),
        columns={column: list(chain.from_iterable(some)) for column, some in cells.items()},
        skipped=tuple(one for part in parts for one in part.skipped),
        name=name,
        stamps=None,
        concepts=None,
    )


def _read_text(path: Path) -> CodesFile:
    from kinbits.data import Skipped

    try:
        found = read_text_codes(path)
    except OSError as error:
        raise ArtefactError(f"{path} cannot be read ({one_line(error)}); give a file of codes") from None
    except (DataError, UsageError) as error:
        raise ArtefactError(f"{path} is no file of codes: {error}") from None
    known = None if found.hash_name is None else HASHES[found.hash_name]
    return CodesFile(
        codes=found.codes,
        ids=found.ids,
        bits=None if known is None else known.bits,
        columns=found.columns,
        fingerprint=None if known is None else known.fingerprint,
        skipped=tuple(Skipped(kind, f"another kind than pdq: {count:,}") for kind, count in found.left_out.items()),
        name=str(path),
    )


def _read_array(path: Path) -> CodesFile:
    try:
        with open(open_regular(path), "rb") as file:
            codes = np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ArtefactError(f"{path} cannot be read ({one_line(error)}); write the codes again") from None
    if not _are_packed(codes):
        raise ArtefactError(
            f"{path} holds {codes.dtype} of shape {codes.shape}, not packed codes; give uint8 of shape (n, bytes)"
        )
    return CodesFile(codes, np.arange(len(codes)), name=str(path))


def _are_packed(array: np.ndarray) -> bool:
    return array.dtype == np.uint8 and array.ndim == 2


def _read_table(path: Path) -> CodesFile:
    import pyarrow.parquet as pq
    from pyarrow.lib import ArrowException

    from kinbits.data import ArrowTable

    try:
        with open_arrow(path) as file:
            read = pq.read_table(file)
        table = ArrowTable(read, "the table")
        if table.names.count("id") != 1 or table.names.count(CODE) != 1:
            raise DataError("it needs one column id and one column code")
        ids, codes = table.ids("id"), _packed(table.cells(CODE))
        others = [name for name in table.names if name.strip() and name not in ("id", CODE)]
        columns = {name: table.metadata(name)[0] for name in others}
    except (OSError, ArrowException) as error:
        first = str(error).splitlines()[0]
        raise ArtefactError(f"{path} cannot be read ({first}); encode the data again") from None
    except DataError as error:
        raise ArtefactError(f"{path} is no file of codes: {error}") from None
    facts = _facts(path, (read.schema.metadata or {}).get(KEY, b"{}"))
    bits, multiple = facts.get("bits"), facts.get("multiple")
    return CodesFile(
        codes=codes if len(codes) or bits is None else np.zeros((0, code_width(bits)), np.uint8),
        ids=ids,
        bits=bits,
        columns={name: values for name, values in columns.items() if values is not None},
        fingerprint=facts.get("fingerprint"),
        model=find_place(path, facts, "model") or (path.parent if (path.parent / CONFIG).is_file() else None),
        root=find_place(path, facts, "root"),
        skipped=_skipped(facts),
        name=str(path),
        multiple=None if multiple is None else tuple(map(str, multiple)),
        words=facts.get("words", hamming.BITS),
    )


def _packed(cells: Sequence[Any]) -> np.ndarray:
    """Turn codes as others write them into packed ones, uint8 ``(n, w)``.

    Raises:
        DataError: If a code is none, or of another length than the first.
    """
    raw = [_as_bytes(row, cell) for row, cell in enumerate(cells)]
    other = next((row for row, code in enumerate(raw) if len(code) != len(raw[0])), None)
    if other is not None:
        raise DataError(f"the code of row {other} has {len(raw[other])} bytes, the first has {len(raw[0])}")
    return np.frombuffer(b"".join(raw), np.uint8).reshape(len(raw), -1 if b"".join(raw[:1]) else 0)


def _as_bytes(row: int, cell: Any) -> bytes:
    with suppress(ValueError, TypeError):
        if isinstance(cell, bytes) or (isinstance(cell, list) and bool not in map(type, cell)):
            return bytes(cell)
        if isinstance(cell, str):
            return bytes.fromhex(cell)
    given = "missing" if cell is None else shortened(repr(cell), 80)
    raise DataError(
        f"the code of row {row} (counted from 0) is {given}; give bytes, a list of numbers from 0 to 255, or "
        "hexadecimal digits"
    )


def _facts(path: Path, text: bytes) -> dict[str, Any]:
    """Read what a file says about itself."""
    try:
        facts = parse_json(text)
    except ValueError as error:
        raise ArtefactError(f"{path} is damaged: its description is no JSON ({error}); encode the data again") from None
    if not isinstance(facts, dict) or any(not _is_fact(facts[n], kind) for n, kind in _FACTS.items() if n in facts):
        raise ArtefactError(f"{path} is damaged: its description holds something else; encode the data again")
    try:
        code_width(facts.get("bits", 1))
        if "words" in facts:
            hamming.check_words(facts["words"], facts.get("bits", 8))
    except UsageError as error:
        raise ArtefactError(f"{path} is damaged: its description says {error}; encode the data again") from None
    if facts.get("format", FORMAT) > PRODUCT_FORMAT:
        raise ArtefactError(f"{path} has format {facts['format']}, this kinbits reads {PRODUCT_FORMAT}; update kinbits")
    return facts


def _is_fact(value: Any, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool) and (not isinstance(value, str) or is_plain(value))


def _skipped(facts: Mapping[str, Any]) -> tuple[Skipped, ...]:
    from kinbits.data import Skipped

    listed = [one for one in facts.get("skipped", []) if isinstance(one, dict)]
    return tuple(Skipped(str(one.get("id")), str(one.get("reason"))) for one in listed)


def is_codes_file(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file holds codes rather than images or vectors.

    A Parquet table does if kinbits wrote it as such, or if its column ``code`` holds bytes, or lists of them. With text
    or numbers there, which may as well be article codes, it does if no column looks like images. A ``.npy`` file does
    if it holds uint8 of two dimensions. Text files do as `read_codes` describes them: by their first lines. A folder
    does if `kinbits.scale.encode` has begun to fill it.

    Raises:
        PlatformError: If it is a Parquet table and pyarrow is not installed.
    """
    path = full_path(path)
    if holds_text_codes(path) or is_code_folder(path):
        return True
    if path.suffix == ".npy" and path.is_file():
        with suppress(OSError, ValueError, EOFError):
            return _are_packed(np.lib.format.open_memmap(path, mode="r"))
    if path.suffix != ".parquet" or not path.is_file():
        return False
    pq, ArrowException = require("pyarrow.parquet"), require("pyarrow.lib").ArrowException
    try:
        with open_arrow(path) as file:
            schema = pq.read_schema(file)
    except (OSError, ArrowException):
        return False
    names = schema.names
    if names.count(CODE) != 1:
        return False
    return KEY in (schema.metadata or {}) or _holds_bytes(schema.field(CODE).type) or not _has_images(names)


def _holds_bytes(kind: Any) -> bool:
    """Tell whether an Arrow type is one of bytes, or of lists of small numbers."""
    from pyarrow import types

    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return bool(types.is_integer(kind.value_type))
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind))


def _has_images(names: Sequence[str]) -> bool:
    from kinbits.data import find_image_column

    return find_image_column(names) is not None
