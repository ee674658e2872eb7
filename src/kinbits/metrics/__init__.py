"""Ranking metrics that treat ties as ties. Needs NumPy and the native kernel, no torch.

Hamming distances tie massively, so the order that a sort happens to give would move mAP by several points.
Here a metric is the expected value over all orders inside ties, in closed form from per-distance counts.
"""

from kinbits._util import open_door

__getattr__, __dir__ = open_door(__name__, __file__)
