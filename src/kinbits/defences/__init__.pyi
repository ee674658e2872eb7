from .base import Defence, DefendedBatch
from .registry import build_defence, get_defence, list_defences, register_defence

__all__ = [
    "Defence",
    "DefendedBatch",
    "build_defence",
    "get_defence",
    "list_defences",
    "register_defence",
]
