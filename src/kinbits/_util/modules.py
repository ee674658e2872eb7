"""Modules that register what they hold when they are imported."""

from __future__ import annotations

import importlib
import pkgutil


def import_all(package: str) -> None:
    """Import every file of a package once; packages inside it are left alone.

    Args:
        package: Its dotted name.
    """
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if not module.ispkg:
            importlib.import_module(f"{package}.{module.name}")
