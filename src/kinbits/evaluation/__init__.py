"""Evaluate a model on a protocol, together with baselines that need no training."""

from kinbits._util import open_door

__getattr__, __dir__ = open_door(__name__, __file__)
