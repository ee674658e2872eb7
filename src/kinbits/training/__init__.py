"""The one trainer: method, data and settings in, trained method out."""

from kinbits._util import open_door

__getattr__, __dir__ = open_door(__name__, __file__)
