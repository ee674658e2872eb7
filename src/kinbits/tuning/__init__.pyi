from .board import Row
from .result import TuneResult
from .run import tune
from .settings import DECIDED, TuneSettings

__all__ = [
    "DECIDED",
    "Row",
    "TuneResult",
    "TuneSettings",
    "tune",
]
