"""Duplicates in a collection: equal files, copies, bursts, similar images, with a radius that calibrates itself."""

from kinbits._util import open_door

__getattr__, __dir__ = open_door(__name__, __file__)
