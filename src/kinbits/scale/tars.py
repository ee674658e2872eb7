"""Shards of WebDataset: tar files in which the files of a sample follow each other and share a name."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from tarfile import EOFHeaderError, HeaderError, ReadError  # type: ignore[attr-defined]
from typing import Any, Self

import numpy as np

from kinbits._util import one_line, parse_json
from kinbits.data import EXTENSIONS, Dataset, Skipped
from kinbits.errors import DataError
from kinbits.scale.blocks import images_dataset
from kinbits.scale.places import Place

ENDINGS = ".tar", ".tar.gz", ".tgz"
_INT64, _EXACT = 2**63, 2**53  # whole numbers below fit an int64 column, or one of floats
_TEXTS = "txt", "text", "caption"
_LABEL = "cls"
_FURTHER = "a further image of this sample, whose name counts up to its first point"


class _StrictMember(tarfile.TarInfo):
    """A member of a tar file. `tarfile` takes a damaged or missing header for the end, and would drop what follows."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        """Read the next header.

        Raises:
            EOFHeaderError: At the block of zeros that ends the file.
            ReadError: If there is no whole and valid header.
        """
        try:
            return super().fromtarfile(tarfile)
        except EOFHeaderError:
            raise
        except HeaderError as error:
            raise ReadError(f"{error} where another file or the end of the archive should be") from None


@dataclass
class _Sample:
    """One sample: its key, its image, its text, further values by name, and what is wrong with it."""

    key: str
    image: bytes | None = None
    text: str | None = None
    values: dict[str, Any] = field(default_factory=dict)
    further: list[str] = field(default_factory=list)  # endings of images after the first
    damage: str | None = None


@dataclass(frozen=True)
class TarBlock:
    """A shard of WebDataset, which is read once from its beginning to its end.

    The files of a sample share the name up to the first point. The first image counts, and others are listed as
    skipped. ``.txt`` is the text, ``.cls`` the label, and the values at the top of ``.json`` are metadata. A sample
    with text that is not UTF-8, or JSON that is none, is skipped.

    Attributes:
        place: The folder.
        file: Path of the shard in it.
        rows: Number of samples that are in memory at once.
        texts: Whether the texts are encoded, so that a sample needs no image.
    """

    place: Place
    file: str
    rows: int
    texts: bool = False

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.place.uri}/{self.file}"

    def parts(self) -> Iterator[Dataset]:
        """Yield the samples, some at a time; the id of one is the path of its shard without .tar, and its key."""
        kept: list[_Sample] = []
        some = False
        for sample in self._samples():
            kept.append(sample)
            if len(kept) == self.rows:
                yield self._dataset(kept)
                kept, some = [], True
        if kept or not some:
            yield self._dataset(kept)

    def _samples(self) -> Iterator[_Sample]:
        """Yield the samples of the shard.

        Raises:
            DataError: If the shard is damaged.
        """
        current: _Sample | None = None
        try:
            with (
                self.place.open_stream(self.file) as stream,
                tarfile.open(fileobj=stream, mode="r|*", tarinfo=_StrictMember) as tar,
            ):
                for member in tar:
                    key, ending = split_name(member.name)
                    if not member.isfile() or not ending:
                        continue
                    if current is None or key != current.key:
                        if current is not None:
                            yield current
                        current = _Sample(key)
                    file = tar.extractfile(member)
                    assert file is not None  # it is a file
                    _take(current, ending, file.read())
        except (tarfile.TarError, EOFError) as error:
            raise DataError(f"{self.name} is no whole tar file ({one_line(error)}); copy it again") from None
        if current is not None:
            yield current

    def _dataset(self, found: Sequence[_Sample]) -> Dataset:
        stem, samples = stem_of(self.file), [sample for sample in found if sample.damage is None]
        damaged = [Skipped(f"{stem}/{one.key}", one.damage) for one in found if one.damage is not None]
        ids = np.array([f"{stem}/{sample.key}" for sample in samples], np.str_)
        names = dict.fromkeys(name for sample in samples for name in sample.values)
        columns = {name: uniform([sample.values.get(name) for sample in samples]) for name in names}
        texts = [sample.text or "" for sample in samples] if any(sample.text for sample in samples) else None
        images = [sample.image for sample in samples]
        if texts is not None and not self.texts:  # then a sample without an image is left out, and its text is metadata
            columns, texts = {"text": [sample.text for sample in samples], **columns}, None
        made = images_dataset(self.name, images, ids, columns, texts, missing="no image in this sample")
        further = [
            Skipped(f"{id_}.{ending}", _FURTHER)
            for id_, sample in zip(ids.tolist(), samples, strict=True)
            for ending in sample.further
        ]
        return replace(made, skipped=(*made.skipped, *damaged, *(() if self.texts else further)))


def is_tar(name: str) -> bool:
    """Tell whether a file is a tar file by its name, in upper or lower case.

    Example:
        >>> is_tar("0.TAR"), is_tar("0.zip")
        (True, False)
    """
    return name.lower().endswith(ENDINGS)


def stem_of(file: str) -> str:
    """Return the name of a tar file without its ending, with which the ids of its samples start.

    Example:
        >>> stem_of("a/0.Tar.GZ")
        'a/0'
    """
    return next(file[: -len(ending)] for ending in ENDINGS if file.lower().endswith(ending))


def split_name(name: str) -> tuple[str, str]:
    """Split the name of a file in a shard into the key of its sample and the ending, in lower case.

    Example:
        >>> split_name("./birds/7.left.PNG")
        ('birds/7', 'left.png')
    """
    folder, slash, file = name.removeprefix("./").rpartition("/")
    stem, _, ending = file.partition(".")
    return f"{folder}{slash}{stem}", ending.lower() if stem else ""


def _take(sample: _Sample, ending: str, data: bytes) -> None:
    """Add a file to its sample, or what is wrong with it."""
    last = ending.rpartition(".")[2]
    if f".{last}" in EXTENSIONS:
        if sample.image is None:
            sample.image = data
        else:
            sample.further.append(ending)
        return
    try:
        if ending in _TEXTS:
            sample.text = data.decode()
        elif ending == _LABEL:
            sample.values["label"] = data.decode().strip()
        elif ending == "json":
            sample.values |= _values(data.decode())
    except UnicodeDecodeError as error:
        sample.damage = f".{ending} of this sample is not UTF-8 ({error.reason})"
    except ValueError as error:
        sample.damage = f".{ending} of this sample is no JSON ({one_line(error)})"


def _values(text: str) -> Mapping[str, Any]:
    found = parse_json(text)
    known = found if isinstance(found, dict) else {"json": found}
    return {name: json.dumps(one) if isinstance(one, (dict, list)) else one for name, one in known.items()}


def uniform(values: list[Any]) -> list[Any]:
    """Return values of one type: those of different types become text, and so do whole numbers beyond 64 bits.

    Example:
        >>> uniform([1, None, 2.5]), uniform([1, "two"]), uniform([2**64])
        ([1, None, 2.5], ['1', 'two'], ['18446744073709551616'])
    """
    kinds = {type(value) for value in values if value is not None}
    limit = _EXACT if float in kinds else _INT64
    fitting = all(-limit <= value < limit for value in values if type(value) is int)
    if fitting and (len(kinds) <= 1 or kinds == {int, float}):
        return values
    return [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
