"""Engines with the interface of `kinbits.index.Index`: approximate on one machine, in a database, or distributed."""

from kinbits.index.engines.base import EngineIndex, Supports
from kinbits.index.engines.registry import Engine, create_index, list_engines, open_index, register_engine

__all__ = ["Engine", "EngineIndex", "Supports", "create_index", "list_engines", "open_index", "register_engine"]
