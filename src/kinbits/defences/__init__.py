"""Defences of hashing networks: ways to train on attacked images, one file each."""

from kinbits._util import open_door

__getattr__, __dir__ = open_door(__name__, __file__)
