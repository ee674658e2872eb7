"""kinbits cache: what is kept in the cache folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from kinbits.cli.app import app
from kinbits.cli.output import JsonFlag, bytes_text, console, note, print_json, table
from kinbits.errors import UsageError


@app.command()
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove all of it; it is computed again when needed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without a question.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show the size of the cache, or clear it.

    The cache is the folder in KINBITS_CACHE, or else ~/.cache/kinbits.
    """
    from kinbits.data import cache_use, clear_cache

    if yes and not clear:
        raise UsageError("--yes goes with --clear")
    found = cache_use()
    if as_json:
        freed = clear_cache() if clear and _agreed(yes, sum(use.size for use in found)) else 0
        print_json({"kinds": [asdict(use) for use in found], "freed": freed})
        return
    rows = [[use.about, use.entries, bytes_text(use.size), use.folder] for use in found]
    console().print(table(["holds", "entries", "size", "folder"], rows))
    _name_others([path for use in found for path in use.others])
    if clear and _agreed(yes, sum(use.size for use in found)):
        note(f"freed {bytes_text(clear_cache())}")


def _name_others(paths: Sequence[Path]) -> None:
    """Say what in the cache folder is not of the cache."""
    if paths:
        more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
        note(f"not part of the cache, and never removed: {', '.join(map(str, paths[:3]))}{more}")


def _agreed(yes: bool, size: int) -> bool:
    """Ask on standard error before anything is removed."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask on; give --yes to clear the cache")
    return typer.confirm(f"Remove {bytes_text(size)}?", err=True)
