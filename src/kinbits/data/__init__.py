"""Images, texts and vectors from any source, what their labels mean, and the protocols that split them."""

from ._cache import CachedFeatures, FeatureCache
from ._dataset import Dataset, Skipped, readable
from ._decode import BadImage, decode
from ._ground_truth import GroundTruth
from ._items import ArrayItems, ArrowItems, CroppedItems, Items, PathItems, VectorItems
from ._labels import LabelSpace
from ._open import open_dataset
from ._pairs import Pairs, open_pairs, pairs_from_labels
from ._protocols import (
    Needs,
    Protocol,
    Splits,
    find_data,
    find_protocol,
    load_dataset,
    protocols,
    register_protocol,
    split_folder,
    split_lists,
)
from ._safe_pickle import read_pickle
from ._splits import Parts

__all__ = [
    "ArrayItems",
    "ArrowItems",
    "BadImage",
    "CachedFeatures",
    "CroppedItems",
    "Dataset",
    "FeatureCache",
    "GroundTruth",
    "Items",
    "LabelSpace",
    "Needs",
    "Pairs",
    "Parts",
    "PathItems",
    "Protocol",
    "Skipped",
    "Splits",
    "VectorItems",
    "decode",
    "find_data",
    "find_protocol",
    "load_dataset",
    "open_dataset",
    "open_pairs",
    "pairs_from_labels",
    "protocols",
    "read_pickle",
    "readable",
    "register_protocol",
    "split_folder",
    "split_lists",
]
