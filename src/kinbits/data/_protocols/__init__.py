"""Protocols: named, versioned definitions of what is compared with what, and the loader that holds data to them."""

# Importing a family registers its protocols.
from . import _cifar as _cifar
from . import _fine as _fine
from . import _landmarks as _landmarks
from . import _list_sets as _list_sets
from . import _pairs as _pairs
from . import _tables as _tables
from ._definition import Protocol, Splits
from ._needs import Needs, find_data
from ._register import find_protocol, load_dataset, protocols, register_protocol, split_folder, split_lists

__all__ = [
    "Needs",
    "Protocol",
    "Splits",
    "find_data",
    "find_protocol",
    "load_dataset",
    "protocols",
    "register_protocol",
    "split_folder",
    "split_lists",
]
