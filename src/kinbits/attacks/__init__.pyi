from . import blocks
from .base import EPSILON, Attack, AttackBatch
from .blocks.targets import draw_targets
from .blocks.trained import TrainedAttack, check_attack_folder
from .given import Numbers, as_tensor
from .label_rows import LabelRows, handy_labels
from .registry import build_attack, get_attack, list_attacks, load_attack, register_attack
from .victim import Reference, Victim, multi_hot

__all__ = [
    "EPSILON",
    "Attack",
    "AttackBatch",
    "LabelRows",
    "Numbers",
    "Reference",
    "TrainedAttack",
    "Victim",
    "as_tensor",
    "blocks",
    "build_attack",
    "check_attack_folder",
    "draw_targets",
    "get_attack",
    "handy_labels",
    "list_attacks",
    "load_attack",
    "multi_hot",
    "register_attack",
]
