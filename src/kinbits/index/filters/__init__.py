"""Filters on metadata: the language, its expressions, and their SQL."""

from kinbits._util import open_door

__getattr__, __dir__ = open_door(__name__, __file__)
