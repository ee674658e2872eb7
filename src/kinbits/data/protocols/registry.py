"""Registry of protocols, and the loader that checks data against the definitions."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from kinbits._util import named_extras
from kinbits.data.dataset import Dataset, Skipped
from kinbits.data.protocols.definition import PARTNER, PARTNER_METRICS, SAME_CLASS, SHARED_LABEL, Protocol, Splits
from kinbits.data.protocols.lists import LIST_REQUIRED_FILES, open_lists
from kinbits.data.protocols.required_files import Folder
from kinbits.data.sources.open import open_dataset
from kinbits.data.splits import SplitRows, checksum, draw_pairs, draw_shares
from kinbits.errors import DataError, UsageError, unknown_name

Builder = Callable[[Folder, int], tuple[Dataset, SplitRows]]

REGISTRY: dict[str, tuple[Protocol, Builder]] = {}


def register_protocol(protocol: Protocol) -> Callable[[Builder], Builder]:
    """Return a decorator that registers a function ``(data_dir, seed) -> (collection, parts)`` for a protocol.

    Args:
        protocol: The definition; the loader checks the result of the function against it.

    Raises:
        UsageError: If the name is taken.
    """

    def keep(builder: Builder) -> Builder:
        if protocol.name in {*REGISTRY, *OPEN}:
            raise UsageError(f"protocol '{protocol.name}' is registered already; choose another name")
        REGISTRY[protocol.name] = (protocol, builder)
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
LISTS = replace(
    FOLDER,
    name="lists",
    summary="a folder with the lists train.txt, test.txt and database.txt ('path 0 1 0 ...' or 'path 3' lines), "
    "as they are",
    overlap=True,
)
OPEN = {protocol.name: protocol for protocol in (FOLDER, LISTS)}


def unregister_protocol(name: str) -> None:
    """Remove a protocol from the registry, so that its name can be registered again, e.g. in a notebook.

    Raises:
        UsageError: If no protocol has this name.
    """
    if name not in REGISTRY:
        raise unknown_name("protocol", name, REGISTRY)
    del REGISTRY[name]


def list_protocols() -> dict[str, str]:
    """Return name -> one-line summary of all protocols, sorted by name."""
    known = {name: protocol.summary for name, (protocol, _) in REGISTRY.items()}
    return dict(sorted({**known, **{name: protocol.summary for name, protocol in OPEN.items()}}.items()))


def find_protocol(name: str) -> Protocol:
    """Return the definition of a protocol, without opening data.

    Args:
        name: A name of `list_protocols`.

    Raises:
        UsageError: If no protocol has this name.
    """
    if name in OPEN:
        return OPEN[name]
    if name not in REGISTRY:
        raise unknown_name("protocol", name, list_protocols())
    return REGISTRY[name][0]


@named_extras()
def load_protocol(name: str, *, data_dir: Folder = None, seed: int = 0) -> Splits:
    """Load a protocol by name, and check that the data fit its definition.

    Args:
        name: A name of `list_protocols`; ``folder:<path>``, or ``folder`` with ``data_dir``, splits any labelled
            source; ``lists:<folder>`` reads the parts from list files.
        data_dir: Folder of the files. The folders of ``KINBITS_DATA`` and ``~/.cache/kinbits/data`` are searched next.
        seed: 0 is the published split. Another seed draws another split of the same sizes, if the protocol has a random
            split.

    Raises:
        DataError: If files are missing, or differ from the definition.
        UsageError: If no protocol has this name.

    Example:
        >>> "fashion-mnist" in list_protocols()
        True
    """
    kind, _, given = name.partition(":")
    if kind in OPEN:
        source = given or data_dir
        if source is None:
            raise UsageError(f"the protocol '{kind}' needs a source: give '{kind}:<path>', or data_dir=")
        return split_folder(open_dataset(source), seed=seed) if kind == FOLDER.name else split_lists(source)
    definition = find_protocol(name)
    dataset, parts = REGISTRY[name][1](data_dir, seed)
    return _verified(definition, dataset, parts, seed)


def split_lists(folder: str | os.PathLike[str]) -> Splits:
    """Return train, query and database as the list files in a folder define them (the protocol ``lists``).

    Queries in the database list are removed from the database, and repeated images of a list count once. ``notes``
    describes both.

    Args:
        folder: Folder with ``train.txt``, ``test.txt`` (or ``query.txt``) and ``database.txt``, or with pairs of
            ``*_img.txt`` and ``*_label.txt``. The images are in this folder, a subfolder, or the parent folder.

    Raises:
        DataError: If a list or an image is missing, or the lists contradict each other.
    """
    dataset, parts = open_lists(LIST_REQUIRED_FILES.find(folder))
    definition = replace(
        LISTS,
        summary=f"{dataset.name}, parts as its lists say",
        relevance=SHARED_LABEL if dataset.label_space is not None and dataset.label_space.multi else SAME_CLASS,
        train=len(parts.train),
        query=len(parts.query),
        database=len(parts.database),
    )
    return _verified(definition, dataset, parts, seed=0)


def split_folder(
    dataset: Dataset,
    *,
    seed: int = 0,
    query: float = 0.1,
    train: float = 0.5,
    train_in_database: bool = False,
) -> Splits:
    """Split a labelled collection at random, class by class (the protocol ``folder``).

    A multi-label row counts for its rarest label. A class with one image goes to the database. Images without a label
    are left out and listed in ``skipped``.

    Image-text pairs without labels are split at random. The database holds all pairs except the train pairs; the
    queries are some of these. The only relevant item of an image is its text, and of a text its image. Images without a
    text are left out and listed in ``skipped``.

    Args:
        dataset: A collection with labels, or with texts.
        seed: Seed of the split.
        query: Queries: a fraction below 1 of each class (or of all pairs), or a number of images.
        train: Train images: a fraction below 1 of each class (or of all pairs), or a number of images.
        train_in_database: Whether the database includes the train rows.

    Raises:
        DataError: If there are neither labels nor texts, only one class, or too few images.
        UsageError: If a fraction or the seed is out of range.
    """
    paired = dataset.labels is None and bool(dataset.has_text.any())
    draw = draw_pairs if paired else draw_shares
    parts, left_out = draw(dataset, seed=seed, query=query, train=train, train_in_database=train_in_database)
    multi = dataset.label_space is not None and dataset.label_space.multi
    definition = replace(
        FOLDER,
        summary=f"{dataset.name}, split {'by chance' if paired else 'class by class'}: query {query}, train {train}",
        relevance=PARTNER if paired else SHARED_LABEL if multi else SAME_CLASS,
        metrics=PARTNER_METRICS if paired else FOLDER.metrics,
        overlap=train_in_database,
        train=len(parts.train),
        query=len(parts.query),
        database=len(parts.database),
    )
    why = "no text" if paired else "no label"
    skipped = (*dataset.skipped, *(Skipped(str(dataset.ids[row]), why) for row in left_out))
    return replace(_verified(definition, dataset, parts, seed, skipped), collection=dataset)


def _verified(
    definition: Protocol, dataset: Dataset, parts: SplitRows, seed: int, skipped: tuple[Skipped, ...] = ()
) -> Splits:
    """Return the parts, after checks of sizes, labels, overlaps and (for the published seed) the checksum."""
    for name, rows in parts.named().items():
        if len(rows) != getattr(definition, name):
            raise _differs(definition, f"{name} has {len(rows)} rows, not {getattr(definition, name)}")
    shared = len(np.intersect1d(parts.train, parts.database))
    others = parts.train if definition.paired else np.concatenate([parts.train, parts.database])
    with_query = np.intersect1d(parts.query, others)
    if len(with_query) or (shared and not definition.overlap):
        raise _differs(definition, f"{max(len(with_query), shared)} rows are in two parts")
    actual = checksum(dataset.ids.astype(np.str_), parts)
    if definition.checksum and seed == definition.seed and actual != definition.checksum:
        raise _differs(definition, f"checksum {actual[:12]}, not {definition.checksum[:12]}")
    cut = {part: replace(dataset.select(rows), name=f"{dataset.name}/{part}") for part, rows in parts.named().items()}
    splits = Splits(
        **cut,
        protocol=replace(definition, checksum=actual, seed=seed),
        skipped=skipped or dataset.skipped,
        ground_truth=parts.ground_truth,
        notes=parts.notes,
    )
    _check_labels(definition, dataset, splits)
    return splits


def _check_labels(definition: Protocol, dataset: Dataset, splits: Splits) -> None:
    classes = dataset.label_space.classes if dataset.label_space is not None else 0
    if definition.classes and classes != definition.classes:
        raise _differs(definition, f"{classes} labels, not {definition.classes}")
    for part, expected in definition.unlabelled.items():
        actual = splits.unlabelled[part]
        if actual != expected:
            raise _differs(definition, f"{actual:,} {part} rows have no label, not {expected:,}")


def _differs(definition: Protocol, what: str) -> DataError:
    return DataError(
        f"the data differ from the definition of '{definition.name}' version {definition.version}: {what}; "
        "get the original files, or use the protocol 'folder' (any labelled collection) or 'lists' (list files) for "
        "your own"
    )
