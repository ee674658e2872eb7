"""Perceptual hashes of images: computed by fixed rules, not learned, and needing no torch."""

from kinbits._util import open_door

__getattr__, __dir__ = open_door(__name__, __file__)
