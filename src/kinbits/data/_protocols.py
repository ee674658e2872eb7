"""Protocols: named, versioned split definitions with a checksum, and the loader that verifies them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import numpy as np

from .._errors import DataError, UsageError, unknown_name
from ._dataset import Dataset, Skipped
from ._labels import LabelSpace
from ._open import open_dataset
from ._splits import Parts, checksum, draw_shares

SAME_CLASS = "same class"
SHARED_LABEL = "at least one shared label"
DEFAULT_METRICS = ("map@all", "map@1000", "precision@100", "precision@r2")

Folder = str | PathLike[str] | None
Builder = Callable[[Folder, int], tuple[Dataset, Parts]]


@dataclass(frozen=True)
class Protocol:
    """What is compared with what, so that two numbers mean the same.

    Args:
        name: The name that `load_dataset` takes.
        version: Goes up whenever the definition changes.
        summary: One line: where the rows come from.
        train: Number of rows to learn from.
        query: Number of rows to search with.
        database: Number of rows to search in.
        checksum: sha256 over the sorted names of the three parts for ``seed``; empty for a split of the
            user's own data before it is drawn.
        relevance: The rule in words.
        overlap: Whether train rows are also in the database. Queries are never in either.
        metrics: Names of the metrics that are reported.
        seed: The seed that the split was drawn with.
    """

    name: str
    version: int
    summary: str
    train: int
    query: int
    database: int
    checksum: str = ""
    relevance: str = SAME_CLASS
    overlap: bool = False
    metrics: tuple[str, ...] = DEFAULT_METRICS
    seed: int = 0


@dataclass(frozen=True)
class Splits:
    """The three parts of a protocol.

    Args:
        train: What is learned from.
        query: What is searched with.
        database: What is searched in.
        protocol: The definition, with the checksum of exactly these parts.
        skipped: Items that are in no part, and why.
    """

    train: Dataset
    query: Dataset
    database: Dataset
    protocol: Protocol
    skipped: tuple[Skipped, ...] = ()

    @property
    def space(self) -> LabelSpace:
        """What the labels mean."""
        if self.train.space is None:
            raise DataError(f"protocol '{self.protocol.name}' has no labels; open data with labels")
        return self.train.space

    def describe(self) -> str:
        """Say in a few lines what is compared with what."""
        own = self.protocol
        texts = ", with texts" if self.train.texts is not None else ""
        relation = "the train rows are also in the database" if own.overlap else "no row is in two parts"
        lines = [
            f"{own.name} (version {own.version}, seed {own.seed}): {own.summary}",
            f"train {len(self.train)}, query {len(self.query)}, database {len(self.database)}; {relation}",
            f"relevant: {own.relevance}; {self.space.describe()}{texts}",
            f"metrics: {', '.join(own.metrics)}",
            f"checksum {own.checksum}",
        ]
        if self.skipped:
            lines.append(f"left out: {len(self.skipped)} (first: {self.skipped[0].id}: {self.skipped[0].reason})")
        return "\n".join(lines)


_registry: dict[str, tuple[Protocol, Builder]] = {}


def register_protocol(protocol: Protocol) -> Callable[[Builder], Builder]:
    """Register the function that builds a protocol's collection and parts from ``(data_dir, seed)``.

    Args:
        protocol: The definition that the result is checked against.

    Raises:
        UsageError: The name is taken.
    """

    def keep(builder: Builder) -> Builder:
        if protocol.name in _registry or protocol.name == FOLDER.name:
            raise UsageError(f"protocol '{protocol.name}' is registered already; choose another name")
        _registry[protocol.name] = (protocol, builder)
        return builder

    return keep


FOLDER = Protocol(
    "folder",
    1,
    "any labelled collection, split class by class by seed: 10 % query, 50 % train, the rest database",
    train=0,
    query=0,
    database=0,
    relevance=f"{SAME_CLASS}, or {SHARED_LABEL}",
)


def protocols() -> dict[str, str]:
    """Return the names of all protocols, sorted, each with a line that describes it."""
    known = {name: protocol.summary for name, (protocol, _) in _registry.items()}
    return dict(sorted({**known, FOLDER.name: FOLDER.summary}.items()))


def load_dataset(name: str, *, data_dir: Folder = None, seed: int = 0) -> Splits:
    """Load a protocol by name and verify that the data are those of its definition.

    Args:
        name: A name of `protocols`; ``folder:<path>``, or ``folder`` with ``data_dir``, splits any labelled
            source.
        data_dir: Where the files lie; else the folders of ``KINBITS_DATA``, else ``~/.cache/kinbits/data``.
        seed: 0 is the published split. Another seed draws another split of the same sizes where the protocol
            draws at all.

    Raises:
        DataError: Files are missing, or differ from the definition.
        UsageError: No protocol has this name.

    Example:
        >>> "fashion-mnist" in protocols()
        True
    """
    if name == FOLDER.name or name.startswith(f"{FOLDER.name}:"):
        source = name.partition(":")[2] or data_dir
        if source is None:
            raise UsageError("the protocol 'folder' needs a source: give 'folder:<path>', or data_dir=")
        return split_folder(open_dataset(source), seed=seed)
    if name not in _registry:
        raise unknown_name("protocol", name, protocols())
    definition, build = _registry[name]
    dataset, parts = build(data_dir, seed)
    return _verified(definition, dataset, parts, seed)


def split_folder(
    dataset: Dataset,
    *,
    seed: int = 0,
    query: float = 0.1,
    train: float = 0.5,
    train_in_database: bool = False,
) -> Splits:
    """Split any labelled collection by seed, class by class (the protocol ``folder``).

    A multi-label row counts as of its rarest label. A class with one image goes to the database whole;
    images without a label are left out and listed.

    Args:
        dataset: A collection with labels.
        seed: Draws the split.
        query: Share (below 1) or number of images of each class to search with.
        train: Share (below 1) or number of images of each class to learn from.
        train_in_database: Whether the train rows are also searched; otherwise no row is in two parts.

    Raises:
        DataError: No labels, one class only, or too few images.
        UsageError: A share or the seed is out of range.
    """
    parts, unlabelled = draw_shares(dataset, seed=seed, query=query, train=train, train_in_database=train_in_database)
    multi = dataset.space is not None and dataset.space.multi
    definition = replace(
        FOLDER,
        summary=f"{dataset.name}, split class by class: query {query}, train {train}",
        relevance=SHARED_LABEL if multi else SAME_CLASS,
        overlap=train_in_database,
        train=len(parts.train),
        query=len(parts.query),
        database=len(parts.database),
    )
    skipped = (*dataset.skipped, *(Skipped(str(dataset.ids[row]), "no label") for row in unlabelled))
    return _verified(definition, dataset, parts, seed, skipped)


def _verified(
    definition: Protocol, dataset: Dataset, parts: Parts, seed: int, skipped: tuple[Skipped, ...] = ()
) -> Splits:
    """Cut the parts, after checking sizes, overlaps and (for the published seed) the checksum."""
    for name, rows in parts.named().items():
        if len(rows) != getattr(definition, name):
            raise _differs(definition, f"{name} has {len(rows)} rows, not {getattr(definition, name)}")
    shared = len(np.intersect1d(parts.train, parts.database))
    with_query = np.intersect1d(parts.query, np.concatenate([parts.train, parts.database]))
    if len(with_query) or (shared and not definition.overlap):
        raise _differs(definition, f"{max(len(with_query), shared)} rows are in two parts")
    actual = checksum(dataset.ids.astype(np.str_), parts)
    if definition.checksum and seed == definition.seed and actual != definition.checksum:
        raise _differs(definition, f"checksum {actual[:12]}, not {definition.checksum[:12]}")
    cut = {part: replace(dataset.select(rows), name=f"{dataset.name}/{part}") for part, rows in parts.named().items()}
    own = replace(definition, checksum=actual, seed=seed)
    return Splits(**cut, protocol=own, skipped=skipped or dataset.skipped)


def _differs(definition: Protocol, what: str) -> DataError:
    return DataError(
        f"the data differ from the definition of '{definition.name}' version {definition.version}: {what}; "
        "get the original files, or use the protocol 'folder' for your own collection"
    )


def cache_folder() -> Path:
    """Return where downloaded or hand-placed data of named protocols are looked for last."""
    return Path.home() / ".cache" / "kinbits" / "data"
