"""Identify the code of a method: after a change, it may make other numbers."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from kinbits.labelling import Expansion, get_expansion
from kinbits.methods import Method, get_method, list_methods, parameters


def source_digest(method: str, params: Mapping[str, Any], *, pretrain: str | None, expansion: str | None) -> str:
    """Return a hash over the code of a method and of what it uses by name, 8 hex digits.

    It covers the file of the method's class, those of the classes that it inherits from, and the same of a method that
    pre-trains, of a method inside the method, and of a label expansion. Comments, docstrings and layout do not count;
    nor does what all methods share: the contract, the trainer, and the functions that a file imports.

    Args:
        method: A registered name, or the path of a Python file that registers one.
        params: The hyper-parameters that differ from the method's defaults.
        pretrain: Such a name too, or None.
        expansion: Name of a label expansion, or None.
    """
    codes: set[str] = set()
    left, seen = {method: params}, set[str]()
    if pretrain is not None:
        left.setdefault(pretrain, {})
    while left:
        name, given = left.popitem()
        seen.add(name)
        cls = get_method(name)
        codes |= {*_class_code(cls, Method, Path(name) if is_file(name) else None)}
        left |= {inner: {} for inner in _methods_inside(cls, given) if inner not in seen}
    if expansion is not None:
        codes |= {*_class_code(get_expansion(expansion), Expansion)}
    return hashlib.sha256("\0".join(sorted(codes)).encode()).hexdigest()[:8]


def is_file(method: str) -> bool:
    """Tell whether a method is named by the file of a user's own."""
    return method.endswith(".py")


def _methods_inside(cls: type[Method], params: Mapping[str, Any]) -> Iterator[str]:
    """Yield the hyper-parameters that name another method."""
    values = {one.name: one.default for one in parameters(cls)} | dict(params)
    yield from (v for v in values.values() if isinstance(v, str) and (v in list_methods() or is_file(v)))


def _class_code(cls: type, contract: type, own: Path | None = None) -> Iterator[str]:
    """Yield the code of the files of a class and of its bases below the contract.

    Args:
        cls: The class.
        contract: The base that all classes of its kind share.
        own: The user's file that registered the class; None if the class is in an imported module.
    """
    for base in cls.__mro__[: cls.__mro__.index(contract)]:
        if own is not None and base.__module__ == cls.__module__:
            yield code_of(own.read_text(encoding="utf-8"))
        else:
            yield _module_code(str(sys.modules[base.__module__].__file__))


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
