"""Conformance checks that ship, for kinbits' own suite and for anybody's methods and indexes."""

from kinbits._util import open_door

__getattr__, __dir__, __all__ = open_door(__name__, __file__)
