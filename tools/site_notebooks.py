"""Tutorials as notebooks: the pages of ``docs/tutorials``, cell by cell.

Blocks of Python become cells of code. So do blocks of commands, in which each command has an exclamation mark. What a
block prints is left out: the notebook prints it again.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from site_links import ROOT

Notebook = dict[str, Any]

_BLOCK = re.compile(r"^```(console|python)\n(.*?)^```\n(?:\s*```text\n.*?^```\n)?", re.DOTALL | re.MULTILINE)
_PICTURE = re.compile(r"^!\[[^\]]*\]\([^)]*\)\n", re.MULTILINE)
_COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)$", re.MULTILINE)


def places() -> list[str]:
    """Return the places in the site of all tutorials."""
    folder = ROOT / "docs" / "tutorials"
    return [f"tutorials/{path.name}" for path in sorted(folder.glob("*.md")) if path.name != "README.md"]


def place(page: str) -> str:
    """Return the place of the notebook of a tutorial."""
    return str(Path(page).with_suffix(".ipynb"))


def with_link(text: str, page: str) -> str:
    """Return a tutorial with a link to its notebook below the title."""
    title, below = text.split("\n", 1)
    return f"{title}\n\n[Download this page as a notebook]({Path(place(page)).name}){{ .notebook download }}\n{below}"


def written(text: str) -> str:
    """Return the file of the notebook of a tutorial."""
    return json.dumps(notebook(text), indent=1) + "\n"


def notebook(text: str) -> Notebook:
    """Return the notebook of a tutorial, in version 4.5 of the format.

    Args:
        text: The page, in markdown.
    """
    cells, at = [], 0
    for block in _BLOCK.finditer(text):
        cells += [*_words(text[at : block.start()]), _code(block[1], block[2])]
        at = block.end()
    cells += _words(text[at:])
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": cells}


def _words(text: str) -> list[Notebook]:
    """Return a cell of text; links to other pages and pictures stay in the site."""
    plain = re.sub(r"\[([^\]]*)\]\((?!https?:)[^)]*\)", r"\1", _PICTURE.sub("", text)).strip()
    return [{"cell_type": "markdown", "metadata": {}, "source": plain}] if plain else []


def _code(kind: str, code: str) -> Notebook:
    if kind == "console":
        code = "\n".join(f"!{command}" for command in _COMMAND.findall(code))
    return {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": [], "source": code.rstrip()}
