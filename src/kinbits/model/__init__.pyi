from .folder import CODES, append_metrics, check_target
from .hash_model import HashModel, Tower
from .operating_points import KEY, with_measured

__all__ = [
    "CODES",
    "KEY",
    "HashModel",
    "Tower",
    "append_metrics",
    "check_target",
    "with_measured",
]
