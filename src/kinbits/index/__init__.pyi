from .engines import Supports, create_index, list_engines, open_index
from .hits import BatchHits, Hits
from .index import Index
from .items import Encoder
from .query.rerank import Reconstructor
from .store.ids import as_ids

__all__ = [
    "BatchHits",
    "Encoder",
    "Hits",
    "Index",
    "Reconstructor",
    "Supports",
    "as_ids",
    "create_index",
    "list_engines",
    "open_index",
]
