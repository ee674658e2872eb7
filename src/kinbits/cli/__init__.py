"""The command line: one file per verb. Nothing heavy is imported before a command runs."""

from __future__ import annotations

from importlib import import_module

from kinbits.cli.app import VERBS, main

for _verb in VERBS:
    import_module(f"{__name__}.{_verb}")  # importing registers the command

__all__ = ["main"]
