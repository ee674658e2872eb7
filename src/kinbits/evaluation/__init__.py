"""Numbers for a model on a protocol, with training-free baselines beside them."""

from kinbits._util import open_door

__getattr__, __dir__, __all__ = open_door(__name__, __file__)
