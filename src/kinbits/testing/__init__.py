"""Conformance checks of methods and indexes, for kinbits and for extensions."""

from kinbits._util import open_door

__getattr__, __dir__ = open_door(__name__, __file__)
