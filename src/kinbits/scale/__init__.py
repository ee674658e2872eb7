"""Bulk encoding on several machines, with Ray."""

from kinbits._util import open_door

__getattr__, __dir__ = open_door(__name__, __file__)
