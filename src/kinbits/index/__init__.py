"""An index of binary codes with ids, metadata and filters, in memory or in a folder. Needs NumPy and xxhash alone."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kinbits.index._hits import BatchHits, Hits
from kinbits.index._index import Index
from kinbits.index._items import Encoder
from kinbits.index._rerank import Reconstructor

if TYPE_CHECKING:
    from kinbits.index.engines import create_index, list_engines, open_index

# NumPy loads these when they are first used, and so do we. A child that is forked while a thread of its parent loads a
# module waits for that module for ever, so they are loaded before there is an index.
for _module in ("numpy.char", "numpy.ma", "numpy.random", f"{__name__}._filter_text"):
    import_module(_module)

__all__ = ["BatchHits", "Encoder", "Hits", "Index", "Reconstructor", "create_index", "list_engines", "open_index"]


def __getattr__(name: str) -> Any:  # lazy: whoever wants the embedded index alone loads no other engine
    if name in ("create_index", "list_engines", "open_index"):
        return getattr(import_module(f"{__name__}.engines"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
