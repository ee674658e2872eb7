"""The data of protocols: loaded once for many trials, and known by a checksum."""

from __future__ import annotations

import hashlib
from functools import cache, lru_cache

from kinbits.data import Dataset, Splits, find_protocol, load_protocol


@lru_cache(maxsize=2)
def splits_of(protocol: str) -> Splits:
    """Load a protocol; trials on the same one share it."""
    return load_protocol(protocol)


@cache
def data_checksum(protocol: str) -> str:
    """Return the checksum of the data of a protocol, SHA-256 (hex).

    A published protocol fixes the checksum of its split, and its data are not opened. The data of other protocols, such
    as ``folder:photos``, are a user's own and may change, so there the contents count too: images or vectors, labels
    and texts. All files are read.
    """
    fixed = find_protocol(protocol.partition(":")[0]).checksum
    return fixed or _contents(splits_of(protocol))


def forget_data() -> None:
    """Let the data of protocols be loaded anew, since they may have changed."""
    splits_of.cache_clear()
    data_checksum.cache_clear()


def _contents(splits: Splits) -> str:
    state = hashlib.sha256(splits.protocol.checksum.encode())
    for part in (splits.train, splits.query, splits.database):
        state.update(_part(part).encode())
    return state.hexdigest()


def _part(part: Dataset) -> str:
    """Return the hash of items, labels and texts of a part; the checksum of the split covers the names of its rows."""
    names = [] if part.label_space is None else part.label_space.names
    state = hashlib.sha256(repr([part.items.content_hash(), *names]).encode())
    if part.labels is not None:
        state.update(repr((part.labels.dtype.str, part.labels.shape)).encode())
        state.update(part.labels.tobytes())
    for text in part.texts or ():
        state.update(repr(text).encode())
    return state.hexdigest()
