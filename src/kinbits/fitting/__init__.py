"""From a dataset to a HashModel: the plan of a run, its rows and its sources."""

from kinbits._util import open_door

__getattr__, __dir__ = open_door(__name__, __file__)
