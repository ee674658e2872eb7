"""A trained model: towers of backbone and hash head, its folder on disk, its card, ONNX."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
