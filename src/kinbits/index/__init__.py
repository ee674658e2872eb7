"""An index of binary codes with ids, metadata and filters, in memory or in a folder. Needs NumPy alone."""

from kinbits.index._hits import BatchHits, Hits
from kinbits.index._index import Index
from kinbits.index._items import Encoder

__all__ = ["BatchHits", "Encoder", "Hits", "Index"]
