"""Find the method and the recipe that suit a collection: candidates, held-out scores, successive halving."""

from kinbits._util import open_door

__getattr__, __dir__ = open_door(__name__, __file__)
