from .board import Row
from .held_out import HeldOut
from .result import TuneResult
from .run import tune
from .settings import DECIDED, TuneSettings

__all__ = [
    "DECIDED",
    "HeldOut",
    "Row",
    "TuneResult",
    "TuneSettings",
    "tune",
]
