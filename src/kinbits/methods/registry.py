"""The registry of methods: a decorator on the class is the only place where a name is written."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from kinbits._util import import_all
from kinbits.errors import DataError, UsageError, unknown_name
from kinbits.methods.base import Method, Spec

_REGISTRY: dict[str, type[Method]] = {}
M = TypeVar("M", bound="type[Method]")


@dataclass(frozen=True)
class Parameter:
    """One hyper-parameter of a method, read from the signature of its ``__init__``."""

    name: str
    kind: str
    default: Any


def register(name: str) -> Callable[[M], M]:
    """Register a method class under the name that Python, the command line and YAML use."""

    def add(cls: M) -> M:
        if name in _REGISTRY and _REGISTRY[name].__qualname__ != cls.__qualname__:
            raise UsageError(f"two methods are called '{name}': {_REGISTRY[name].__qualname__}, {cls.__qualname__}")
        cls.name = name
        _REGISTRY[name] = cls
        return cls

    return add


def list_methods() -> list[str]:
    """List the names of all registered methods."""
    import_all("kinbits.methods")
    return sorted(_REGISTRY)


def _from_file(path: Path) -> type[Method]:
    """Run a user's own method file and return the method it registers."""
    if not path.is_file():
        raise UsageError(f"no method file {path}; `kinbits new method NAME` writes one")
    before = set(_REGISTRY)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    fresh = [name for name in _REGISTRY if name not in before]
    mine = fresh or [n for n, cls in _REGISTRY.items() if cls.__module__ == path.stem]
    if len(mine) != 1:
        raise UsageError(f'{path} registers {len(mine)} methods; it must hold one class with @register("...")')
    return _REGISTRY[mine[0]]


def get_method(name: str) -> type[Method]:
    """Return the class of a method.

    Args:
        name: A registered name, or the path of a Python file that registers one method.

    Raises:
        UsageError: No method has this name; the message offers the nearest ones.
    """
    if name.endswith(".py"):
        return _from_file(Path(name))
    if name not in _REGISTRY:
        import_all("kinbits.methods")
    if name not in _REGISTRY:
        raise unknown_name("method", name, _REGISTRY)
    return _REGISTRY[name]


def parameters(cls: type[Any]) -> list[Parameter]:
    """List the hyper-parameters of a method or the like: the keyword-only arguments of its ``__init__``."""
    signature = inspect.signature(cls.__init__)
    return [
        Parameter(p.name, str(p.annotation), p.default)
        for p in signature.parameters.values()
        if p.kind is inspect.Parameter.KEYWORD_ONLY
    ]


def build_method(name: str, spec: Spec, **params: Any) -> Method:
    """Make a method for one task.

    Args:
        name: A registered name.
        spec: What the task offers: bits, feature length, labels.
        params: The method's own hyper-parameters; what is left out keeps the paper's value.

    Raises:
        UsageError: The name or a parameter is unknown, or a value is out of range.
        DataError: The data lack what the method needs.
    """
    cls = get_method(name)
    known = {p.name for p in parameters(cls)}
    for key in params:
        if key not in known:
            raise unknown_name(f"parameter of method '{cls.name}'", key, known or {"(it has none)"})
    check_fit(cls, spec)
    method = cls(spec, **params)
    method.params = params
    return method


def needs_labels(cls: type[Method], pairs: bool) -> bool:
    """Tell whether a method learns from labels, be it that it draws its pairs from them because none are given."""
    return cls.supervision == "labels" or (cls.supervision == "pairs" and not pairs)


def check_fit(cls: type[Method], spec: Spec) -> None:
    """Refuse a task that the method cannot learn from, and name methods that can."""
    if spec.pairs and cls.supervision != "pairs":
        others = ", ".join(n for n in list_methods() if _REGISTRY[n].supervision == "pairs")
        raise UsageError(f"method '{cls.name}' takes no pairs; leave them out, or choose a method that does: {others}")
    if cls.supervision == "pairs" and not spec.pairs and spec.space is None:
        raise DataError(
            f"method '{cls.name}' learns from pairs, and there are neither pairs nor labels to draw them from; give "
            f"pairs (--pairs FILE_OR_COLMAP_FOLDER), put images in one folder per class, or name a label column"
        )
    if cls.supervision == "labels" and spec.space is None:
        free = [n for n in list_methods() if _REGISTRY[n].supervision == "none"]
        others = ", ".join(n for n in free if not _REGISTRY[n].text)
        if cls.text and spec.text_features is not None:
            others = f"{', '.join(n for n in free if _REGISTRY[n].text)}; or, without the texts, {others}"
        raise DataError(
            f"method '{cls.name}' learns from labels, and the data has none; put images in one folder per "
            f"class, name a label column, or choose a method without labels: {others}"
        )
    if spec.space is not None and spec.space.multi and needs_labels(cls, spec.pairs) and not cls.multi_label:
        others = ", ".join(
            n for n in list_methods() if _REGISTRY[n].supervision == "labels" and _REGISTRY[n].multi_label
        )
        raise DataError(f"method '{cls.name}' takes one label per image, and this data has sets; use one of: {others}")
    if cls.text and spec.text_features is None:
        raise DataError(
            f"method '{cls.name}' learns from images with text, and the data has no text; give a `text` "
            f"column or a captions file"
        )
