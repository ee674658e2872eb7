from .changes import Change
from .engines import Engine, EngineIndex, Supports, create_index, list_engines, open_index, register_engine
from .hits import BatchHits, Hits
from .hits_html import find_image
from .image_places import Roots
from .index import Index
from .items import Encoder
from .migration.comparison import Comparison
from .migration.run import MigrationReport, discard_migration, migrate, roll_back
from .query.plan import Plan, SegmentPlan
from .query.recall import Recall
from .query.request import DEFAULT_K, Distance, distance_of
from .query.rerank import Reconstructor
from .query.rescore import check_times
from .search_index import SearchIndex
from .several import SeveralIndexes, open_many
from .store.copies import check_new_folder
from .store.options import IndexOptions
from .sync.report import MovedFile, SyncReport
from .tabular import concepts_text

__all__ = [
    "DEFAULT_K",
    "BatchHits",
    "Change",
    "Comparison",
    "Distance",
    "Encoder",
    "Engine",
    "EngineIndex",
    "Hits",
    "Index",
    "IndexOptions",
    "MigrationReport",
    "MovedFile",
    "Plan",
    "Recall",
    "Reconstructor",
    "Roots",
    "SearchIndex",
    "SegmentPlan",
    "SeveralIndexes",
    "Supports",
    "SyncReport",
    "check_new_folder",
    "check_times",
    "concepts_text",
    "create_index",
    "discard_migration",
    "distance_of",
    "find_image",
    "list_engines",
    "migrate",
    "open_index",
    "open_many",
    "register_engine",
    "roll_back",
]
