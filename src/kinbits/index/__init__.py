"""An index of binary codes with ids, metadata and filters, in memory or in a folder. Needs only NumPy and xxhash."""

from kinbits._util import open_door

__getattr__, __dir__ = open_door(__name__, __file__)
