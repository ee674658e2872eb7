"""The registry of methods: a decorator on the class is the only place where a name is written.

A method's file is run when the method is first asked for; names and descriptions are read from the files.
"""

from __future__ import annotations

import importlib
import importlib.util
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from kinbits._util import checked, checked_parameters, require
from kinbits.errors import DataError, KinbitsError, UsageError, unknown_name
from kinbits.methods.catalogue import MethodInfo, method_files, parameters

if TYPE_CHECKING:
    from kinbits.methods.base import Method, Spec

_REGISTRY: dict[str, type[Method]] = {}
M = TypeVar("M", bound="type[Method]")


def register(name: str) -> Callable[[M], M]:
    """Register a method class under the name that Python, the command line and YAML use."""

    def add(cls: M) -> M:
        holder = _REGISTRY[name].__qualname__ if name in _REGISTRY else method_files().get(name, ("", ""))[1]
        if holder not in ("", cls.__qualname__):
            raise UsageError(f"two methods are called '{name}': {holder}, {cls.__qualname__}")
        cls.name = name
        _REGISTRY[name] = cls
        return cls

    return add


def list_methods() -> list[str]:
    """List the names of all registered methods."""
    return sorted({*method_files(), *_REGISTRY})


def describe_method(name: str) -> MethodInfo:
    """Describe a method, if possible without running its file: supervision, recipe, parameters, docstring.

    Args:
        name: As for `get_method`.

    Raises:
        UsageError: If no method has this name.

    Example:
        >>> describe_method("csq").supervision
        'labels'
    """
    if name in method_files() and name not in _REGISTRY:
        try:
            return MethodInfo.from_source(name, *method_files()[name])
        except (LookupError, ValueError):  # the class computes some of it
            pass
    return MethodInfo.from_class(get_method(name))


def _from_file(path: Path) -> type[Method]:
    """Run a user's own method file and return the method it registers."""
    if not path.is_file():
        raise UsageError(f"no method file {path}; `kinbits new method NAME` writes one")
    before = dict(_REGISTRY)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    try:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    except KinbitsError:
        raise
    except Exception as error:  # whatever the user's own code raises
        raise UsageError(f"{path} cannot be run: {_where(error, path)}{type(error).__name__}: {error}") from error
    made = {name: cls for name, cls in _REGISTRY.items() if before.get(name) is not cls}
    mine = [name for name, cls in made.items() if cls.__module__ == path.stem]  # not those of kinbits that it imported
    if len(mine) != 1:
        raise UsageError(f'{path} registers {len(mine)} methods; it must hold one class with @register("...")')
    return _REGISTRY[mine[0]]


def _where(error: Exception, path: Path) -> str:
    """Return the last line of a file that an error passed through, in words."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    if isinstance(error, SyntaxError):
        lines = [error.lineno]
    return f"line {lines[-1]}: " if lines and lines[-1] else ""


def get_method(name: str) -> type[Method]:
    """Return the class of a method.

    Args:
        name: A registered name, or the path of a Python file that registers one method.

    Raises:
        UsageError: If no method has this name; the message offers the nearest ones.
        PlatformError: If a package that it needs is not installed.
    """
    name = checked(name, str, "method")
    if name.endswith(".py"):
        return _from_file(Path(name))
    if name not in _REGISTRY and name in method_files():
        require(method_files()[name][0])
    if name not in _REGISTRY:
        raise unknown_name("method", name, list_methods())
    return _REGISTRY[name]


def build_method(name: str, spec: Spec, **params: Any) -> Method:
    """Make a method for one task.

    Args:
        name: A registered name.
        spec: What the task offers: bits, feature length, labels.
        params: The method's own hyper-parameters; what is left out keeps the paper's value.

    Raises:
        UsageError: If the name or a parameter is unknown, or a value has the wrong type or is out of range.
        DataError: If the data lack what the method needs.
    """
    cls = get_method(name)
    params = checked_parameters(cls.__init__, params, [p.name for p in parameters(cls)], f"method '{cls.name}'")
    check_fit(cls, spec)
    method = cls(spec, **params)
    method.params = params
    return method


def needs_labels(cls: type[Method], pairs: bool) -> bool:
    """Tell whether a method learns from labels, be it that it draws its pairs from them because none are given."""
    return cls.supervision == "labels" or (cls.supervision == "pairs" and not pairs)


def check_fit(cls: type[Method], spec: Spec) -> None:
    """Refuse a task that the method cannot learn from, and name methods that can."""
    if spec.has_pairs and cls.supervision != "pairs":
        others = ", ".join(n for n in list_methods() if describe_method(n).supervision == "pairs")
        raise UsageError(f"method '{cls.name}' takes no pairs; leave them out, or choose a method that does: {others}")
    if cls.supervision == "pairs" and not spec.has_pairs and spec.label_space is None:
        raise DataError(
            f"method '{cls.name}' learns from pairs, and there are neither pairs nor labels to draw them from; give "
            f"pairs (a table, or a folder of COLMAP models), put images in one folder per class, or name a label column"
        )
    if cls.supervision == "labels" and spec.label_space is None:
        free = [n for n in list_methods() if describe_method(n).supervision == "none"]
        others = ", ".join(n for n in free if not describe_method(n).reads_text)
        if cls.reads_text and spec.text_dim is not None:
            others = f"{', '.join(n for n in free if describe_method(n).reads_text)}; or, without the texts, {others}"
        raise DataError(
            f"method '{cls.name}' learns from labels, and the data have none; put images in one folder per "
            f"class, name a label column, or choose a method without labels: {others}"
        )
    if (
        spec.label_space is not None
        and spec.label_space.multi
        and needs_labels(cls, spec.has_pairs)
        and not cls.multi_label
    ):
        others = ", ".join(
            n for n in list_methods() if describe_method(n).supervision == "labels" and describe_method(n).multi_label
        )
        raise DataError(
            f"method '{cls.name}' takes one label per image, and these data have sets of labels; use one of: {others}"
        )
    if cls.reads_text and spec.text_dim is None:
        raise DataError(
            f"method '{cls.name}' learns from images with text, and the data have no text; give a `text` "
            f"column or a captions file"
        )
