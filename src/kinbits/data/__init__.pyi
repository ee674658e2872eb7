from .bad_image import BadImage
from .cache import CachedFeatures, FeatureCache
from .caches import CacheUse, cache_use, clear_cache
from .dataset import RESERVED, Dataset, Skipped, check_size, readable
from .decoding import decode
from .doubts import doubtful_classes
from .edits import EDITS, Edit, draw_edits, edit_image
from .file_kinds import EXTENSIONS
from .file_names import paths_of_id
from .frames import FrameItems, by_frames
from .ground_truth import DIFFICULTIES, Difficulty, GroundTruth
from .header import ImageHeader, read_header
from .items import ArrayItems, ArrowItems, CroppedItems, Items, PathItems, VectorItems
from .labels import LabelSpace
from .left_out import LeftOut
from .mapped_rows import MappedRows, select_rows
from .pairs.pairs import Pairs, as_pairs, open_pairs, pairs_from_labels
from .protocols.definition import DEFAULT_METRICS, Protocol, Splits
from .protocols.registry import (
    find_protocol,
    list_protocols,
    load_protocol,
    register_protocol,
    split_folder,
    split_lists,
    unregister_protocol,
)
from .protocols.required_files import RequiredFiles
from .shown import as_html, data_uri
from .sources.arrow_table import ArrowTable
from .sources.columns import find_image_column, find_label_column, find_text_column, find_vector_column
from .sources.given import as_dataset, as_texts, is_single, require_finite
from .sources.metadata import read_metadata
from .sources.open import open_dataset
from .sources.safe_pickle import read_pickle
from .sources.vectors import NOT_FINITE, finite_rows
from .splits import SplitRows
from .thumbnails import Tile, contact_sheet, placeholder, tile_box
from .transforms import augmentation, check_augmentation, image_change

__all__ = [
    "DEFAULT_METRICS",
    "DIFFICULTIES",
    "EDITS",
    "EXTENSIONS",
    "NOT_FINITE",
    "RESERVED",
    "ArrayItems",
    "ArrowItems",
    "ArrowTable",
    "BadImage",
    "CacheUse",
    "CachedFeatures",
    "CroppedItems",
    "Dataset",
    "Difficulty",
    "Edit",
    "FeatureCache",
    "FrameItems",
    "GroundTruth",
    "ImageHeader",
    "Items",
    "LabelSpace",
    "LeftOut",
    "MappedRows",
    "Pairs",
    "PathItems",
    "Protocol",
    "RequiredFiles",
    "Skipped",
    "SplitRows",
    "Splits",
    "Tile",
    "VectorItems",
    "as_dataset",
    "as_html",
    "as_pairs",
    "as_texts",
    "augmentation",
    "by_frames",
    "cache_use",
    "check_augmentation",
    "check_size",
    "clear_cache",
    "contact_sheet",
    "data_uri",
    "decode",
    "doubtful_classes",
    "draw_edits",
    "edit_image",
    "find_image_column",
    "find_label_column",
    "find_protocol",
    "find_text_column",
    "find_vector_column",
    "finite_rows",
    "image_change",
    "is_single",
    "list_protocols",
    "load_protocol",
    "open_dataset",
    "open_pairs",
    "pairs_from_labels",
    "paths_of_id",
    "placeholder",
    "read_header",
    "read_metadata",
    "read_pickle",
    "readable",
    "register_protocol",
    "require_finite",
    "select_rows",
    "split_folder",
    "split_lists",
    "tile_box",
    "unregister_protocol",
]
