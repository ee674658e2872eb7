"""kinbits: short binary codes for images, and exact search among them by Hamming distance.

Nothing heavy is imported before it is used: ``import kinbits`` loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from kinbits._errors import ArtefactError, DataError, KinbitsError, PlatformError, UsageError

if TYPE_CHECKING:
    from kinbits import data, hamming, metrics
    from kinbits.data import Dataset, LabelSpace, load_dataset, open_dataset, protocols
    from kinbits.evaluation import Report, evaluate
    from kinbits.fitting import fit
    from kinbits.index import Hits, Index
    from kinbits.model import HashModel

__all__ = [
    "ArtefactError",
    "DataError",
    "Dataset",
    "HashModel",
    "Hits",
    "Index",
    "KinbitsError",
    "LabelSpace",
    "PlatformError",
    "Report",
    "UsageError",
    "data",
    "evaluate",
    "fit",
    "hamming",
    "load_dataset",
    "metrics",
    "open_dataset",
    "protocols",
]

_HOMES = {
    "Dataset": "data",
    "HashModel": "model",
    "Hits": "index",
    "Index": "index",
    "LabelSpace": "data",
    "Report": "evaluation",
    "evaluate": "evaluation",
    "fit": "fitting",
    "load_dataset": "data",
    "open_dataset": "data",
    "protocols": "data",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"kinbits.{_HOMES[name]}"), name)
    if name in __all__:
        return importlib.import_module(f"kinbits.{name}")
    raise AttributeError(f"module 'kinbits' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
