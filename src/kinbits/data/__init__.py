"""Images, texts and vectors from any source, what their labels mean, and the protocols that split them."""

from ._cache import CachedFeatures, FeatureCache
from ._dataset import Dataset, Skipped, readable
from ._decode import BadImage, decode
from ._items import ArrayItems, ArrowItems, Items, PathItems, VectorItems
from ._labels import LabelSpace
from ._named import find_data
from ._open import open_dataset
from ._protocols import Protocol, Splits, load_dataset, protocols, register_protocol, split_folder
from ._splits import Parts

__all__ = [
    "ArrayItems",
    "ArrowItems",
    "BadImage",
    "CachedFeatures",
    "Dataset",
    "FeatureCache",
    "Items",
    "LabelSpace",
    "Parts",
    "PathItems",
    "Protocol",
    "Skipped",
    "Splits",
    "VectorItems",
    "decode",
    "find_data",
    "load_dataset",
    "open_dataset",
    "protocols",
    "readable",
    "register_protocol",
    "split_folder",
]
