"""Import of all modules of a package, so that their classes are registered."""

from __future__ import annotations

import importlib
import pkgutil


def import_all(package: str) -> None:
    """Import all modules of a package, without its sub-packages.

    Args:
        package: Dotted name of the package.
    """
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if not module.ispkg:
            importlib.import_module(f"{package}.{module.name}")
