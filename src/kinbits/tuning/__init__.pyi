from .board import Row
from .held_out import HeldOut
from .result import Leaderboard, TuneResult
from .run import tune
from .settings import DECIDED, TuneSettings

__all__ = [
    "DECIDED",
    "HeldOut",
    "Leaderboard",
    "Row",
    "TuneResult",
    "TuneSettings",
    "tune",
]
