"""Hash heads: the small networks that turn backbone features into one logit per bit."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
