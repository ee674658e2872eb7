"""Attacks on hashing networks: ways to change images so that their codes change, one file each."""

from kinbits._util import open_door

__getattr__, __dir__ = open_door(__name__, __file__)
