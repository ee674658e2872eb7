"""Conformance checks that ship, for kinbits' own suite and for anybody's methods and indexes."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
