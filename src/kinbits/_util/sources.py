"""What Python files say about their classes, read without importing them: a listing then loads no heavy package."""

from __future__ import annotations

import ast
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Expressions = dict[str, ast.expr]


def registered_classes(package: str, decorator: str) -> dict[str, tuple[str, str]]:
    """Find the classes that a package registers under a name.

    Args:
        package: Its dotted name; packages inside it are left alone.
        decorator: What stands above a class, e.g. ``register`` for ``@register("csq")``.

    Returns:
        Dotted module and name of the class, by the registered name.
    """
    above = re.compile(rf'^@{decorator}\("(.+?)"\)\s+class (\w+)', re.MULTILINE)
    found = {}
    for module in pkgutil.iter_modules([str(_file(package).parent)], f"{package}."):
        if not module.ispkg:
            for name, class_name in above.findall(_file(module.name).read_text("utf-8")):
                found[name] = (module.name, class_name)
    return found


def class_expressions(module: str, name: str) -> Expressions:
    """Return what a class and its bases assign in their bodies, as expressions by name.

    Bases are followed through absolute imports inside the same room. ``__doc__`` is the class's own, and the
    keyword-only arguments of ``__init__`` with their annotations stand under ``__init__``, as a lambda.

    Args:
        module: Dotted name of the file that defines the class.
        name: Of the class.

    Raises:
        LookupError: If the file does not define the class.
    """
    tree = _syntax(module)
    node = next((one for one in tree.body if isinstance(one, ast.ClassDef) and one.name == name), None)
    if node is None:
        raise LookupError(f"{module} defines no class {name}")
    found: Expressions = {}
    for home, base in _bases(module, tree, node):
        found |= class_expressions(home, base)
    found.pop("__doc__", None)
    for statement in node.body:
        found.update(_assigned(statement))
    return found


def value_of(expression: ast.expr) -> Any:
    """Evaluate literals and arithmetic on them, such as ``1 / 32``.

    Raises:
        ValueError: If the expression holds a name, whose value only running the file would tell.
    """
    if any(isinstance(node, (ast.Name, ast.Call)) for node in ast.walk(expression)):
        raise ValueError(f"{ast.unparse(expression)} is computed")
    return eval(compile(ast.Expression(expression), "<source>", "eval"))


def call_values(expression: ast.expr) -> dict[str, Any]:
    """Return the keyword arguments of a call such as ``Recipe(epochs=20)``, by name.

    Raises:
        ValueError: If it is no call, has other arguments, or computes their values.
    """
    if not isinstance(expression, ast.Call) or expression.args:
        raise ValueError(f"{ast.unparse(expression)} is computed")
    return {one.arg: value_of(one.value) for one in expression.keywords if one.arg}


def _bases(module: str, tree: ast.Module, node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """Yield module and name of the bases that the same room defines, in the order in which they are overridden."""
    room = ".".join(module.split(".")[:2])
    homes = {
        alias.asname or alias.name: one.module
        for one in tree.body
        if isinstance(one, ast.ImportFrom) and one.module
        for alias in one.names
    }
    homes |= {one.name: module for one in tree.body if isinstance(one, ast.ClassDef)}
    for base in reversed(node.bases):
        home = homes.get(base.id, "") if isinstance(base, ast.Name) else ""
        if isinstance(base, ast.Name) and home.startswith(room):
            yield home, base.id


def _assigned(statement: ast.stmt) -> Expressions:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return {"__doc__": statement.value}
    if isinstance(statement, ast.Assign):
        return {target.id: statement.value for target in statement.targets if isinstance(target, ast.Name)}
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
        return {statement.target.id: statement.value}
    if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
        return {"__init__": ast.Lambda(statement.args, ast.Constant(None))}
    return {}


@cache
def _syntax(module: str) -> ast.Module:
    return ast.parse(_file(module).read_text("utf-8"))


def _file(module: str) -> Path:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise LookupError(f"there is no module {module}")
    return Path(spec.origin)
