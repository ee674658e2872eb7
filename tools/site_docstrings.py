"""Docstrings for the documentation site: a paragraph that ends in two colons stands before a block of text."""

from __future__ import annotations

import re
from typing import Any

import griffe


class Docstrings(griffe.Extension):
    """Turns the double colon before an indented block into one, and the block into a fence of plain text."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Change the docstring of an object that was read."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """Return a docstring whose blocks after ``::`` are fenced, and whose example is known as one."""
    text = re.sub(r"^Example:$", "Examples:", text, flags=re.MULTILINE)
    return re.sub(
        r"::\n\n((?:(?: {4}.*)?\n)*(?: {4}.*))", lambda found: f":\n\n```text\n{_dedented(found[1])}\n```", text
    )


def _dedented(block: str) -> str:
    return re.sub(r"^ {4}", "", block, flags=re.MULTILINE)
