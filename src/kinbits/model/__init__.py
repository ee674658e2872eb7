"""A trained model: towers of backbone and hash head, its folder on disk, its card, ONNX."""

from kinbits._util import open_door

__getattr__, __dir__ = open_door(__name__, __file__)
