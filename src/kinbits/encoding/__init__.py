"""Codes of whole collections: computed in streams, kept in files."""

from kinbits._util import open_door

__getattr__, __dir__ = open_door(__name__, __file__)
