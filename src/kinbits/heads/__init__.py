"""Hash heads: the small networks that turn backbone features into one logit per bit."""

from kinbits._util import open_door

__getattr__, __dir__ = open_door(__name__, __file__)
