from .fitting import fit_attack
from .measure import ATTACKS, CURVE, measure_robustness
from .models import victim_of
from .report import RobustnessReport
from .row import ChangedExample, RobustnessRow
from .visibility import Visibility, to_bytes, visibility

__all__ = [
    "ATTACKS",
    "CURVE",
    "ChangedExample",
    "RobustnessReport",
    "RobustnessRow",
    "Visibility",
    "fit_attack",
    "measure_robustness",
    "to_bytes",
    "victim_of",
    "visibility",
]
