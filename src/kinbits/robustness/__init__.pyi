from .comparison import ComparedRow, RobustnessComparison
from .fitting import fit_attack
from .measure import ATTACKS, CURVE, measure_robustness
from .models import victim_of
from .named_attacks import attacks_with, with_targeted
from .report import RobustnessReport
from .row import ChangedExample, RobustnessRow
from .visibility import Visibility, to_bytes, visibility

__all__ = [
    "ATTACKS",
    "CURVE",
    "ChangedExample",
    "ComparedRow",
    "RobustnessComparison",
    "RobustnessReport",
    "RobustnessRow",
    "Visibility",
    "attacks_with",
    "fit_attack",
    "measure_robustness",
    "to_bytes",
    "victim_of",
    "visibility",
    "with_targeted",
]
