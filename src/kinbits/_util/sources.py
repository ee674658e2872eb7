"""Facts about classes, parsed from their source files without import, so that a listing loads no heavy package."""

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
    """Return the classes of a package that a decorator registers.

    Args:
        package: Dotted name of the package; its sub-packages are not searched.
        decorator: Name of the decorator, e.g. ``register`` for ``@register("csq")``.

    Returns:
        Registered name -> (dotted module, class name).
    """
    above = re.compile(rf'^@{decorator}\("(.+?)"\)\s+class (\w+)', re.MULTILINE)
    found = {}
    for module in pkgutil.iter_modules([str(_file(package).parent)], f"{package}."):
        if not module.ispkg:
            for name, class_name in above.findall(_file(module.name).read_text("utf-8")):
                found[name] = (module.name, class_name)
    return found


def class_expressions(module: str, name: str) -> Expressions:
    """Return the class attributes of a class and its bases, as expressions by name.

    Bases are found through absolute imports inside the same package. The key ``__doc__`` is the docstring of the class
    itself. The key ``__init__`` is a lambda with the arguments of ``__init__`` and their annotations.

    Args:
        module: Dotted name of the file that defines the class.
        name: Name of the class.

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
    """Return the value of an expression of literals and arithmetic, such as ``1 / 32``.

    Raises:
        ValueError: If the expression contains a name or a call, whose value is known only at run time.
    """
    if any(isinstance(node, (ast.Name, ast.Call)) for node in ast.walk(expression)):
        raise ValueError(f"{ast.unparse(expression)} is computed")
    return eval(compile(ast.Expression(expression), "<source>", "eval"))


def call_values(expression: ast.expr) -> dict[str, Any]:
    """Return the keyword arguments of a call such as ``Recipe(epochs=20)``, by name.

    Raises:
        ValueError: If the expression is not a call, has positional arguments, or computed values.
    """
    if not isinstance(expression, ast.Call) or expression.args:
        raise ValueError(f"{ast.unparse(expression)} is computed")
    return {one.arg: value_of(one.value) for one in expression.keywords if one.arg}


def _bases(module: str, tree: ast.Module, node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """Yield module and name of the bases in the same package, in the order in which they are overridden."""
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
