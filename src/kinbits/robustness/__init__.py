"""How a model's codes hold when images change: by everyday edits, or by attacks. For measuring one's own models."""

from kinbits._util import open_door

__getattr__, __dir__ = open_door(__name__, __file__)
