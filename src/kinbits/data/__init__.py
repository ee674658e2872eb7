"""Images, texts and vectors from any source, what their labels mean, and the protocols that split them."""

from kinbits._util import open_door

__getattr__, __dir__ = open_door(__name__, __file__)
