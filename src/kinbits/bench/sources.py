"""The code of a user's own methods, which have no version numbers: after a change, they may make other numbers."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path


def is_file(method: str) -> bool:
    """Tell whether a method is named by the file of a user's own."""
    return method.endswith(".py")


def code_below(classes: Sequence[type], own: Path | None = None) -> Iterator[str]:
    """Yield the code of the files that define classes, except those of kinbits.

    Args:
        classes: A class and its bases below the contract.
        own: The user's file that registered the first class; None if the class is in an imported module.
    """
    for one in classes:
        if own is not None and one.__module__ == classes[0].__module__:
            yield code_of(own.read_text(encoding="utf-8"))
        elif one.__module__.partition(".")[0] != "kinbits":
            yield _module_code(str(sys.modules[one.__module__].__file__))


@lru_cache
def _module_code(path: str) -> str:
    """Return the code of an imported module, as it was when it was first asked for: the file may change later."""
    return code_of(Path(path).read_text(encoding="utf-8"))


def code_of(text: str) -> str:
    """Return Python code without comments, docstrings and layout."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_text(body[0]):
            body[0] = ast.Pass()
    return ast.unparse(tree)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
