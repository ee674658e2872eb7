"""Backbones: feature extractors for images, text and vectors, loaded by name."""

from kinbits._util import open_door

__getattr__, __dir__ = open_door(__name__, __file__)
