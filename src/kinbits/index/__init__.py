"""An index of binary codes with ids, metadata and filters, in memory or in a folder. Needs NumPy and xxhash alone."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
