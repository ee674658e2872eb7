"""Indexes served over HTTP, and a client that searches them with the words of `kinbits.Index`."""

from kinbits._util import open_door

__getattr__, __dir__ = open_door(__name__, __file__)
