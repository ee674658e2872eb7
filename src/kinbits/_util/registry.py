"""A registry of classes by name: a decorator on the class is the only place where a name is written."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Generic, Self, TypeVar

from kinbits._util.attributes import lazy
from kinbits._util.packages import require
from kinbits._util.sources import registered_classes
from kinbits._util.typed import checked_parameters
from kinbits.errors import UsageError, unknown_name

T = TypeVar("T")
C = TypeVar("C", bound=type[Any])


class Parameterised:
    """Base class of objects that note the keyword arguments they are made with.

    Attributes:
        params: These arguments, by name.
    """

    params: Mapping[str, Any]

    def __new__(cls, *args: Any, **params: Any) -> Self:
        """Make an object, and note the arguments."""
        made = super().__new__(cls)
        made.params = params
        return made


class Registry(Generic[T]):
    """Classes of one kind by name. The file of a class that kinbits brings is imported when it is first asked for.

    Args:
        kind: What they are, for messages, e.g. ``"attack"``.
        package: Dotted name of the package with the files that kinbits brings.
        decorator: Name of the decorator in these files.
    """

    def __init__(self, kind: str, package: str, decorator: str) -> None:
        self._kind, self._package, self._decorator = kind, package, decorator
        self._classes: dict[str, type[T]] = {}

    @lazy
    def files(self) -> Mapping[str, tuple[str, str]]:
        """Module and class of each name that kinbits brings."""
        return registered_classes(self._package, self._decorator)

    def register(self, name: str) -> Callable[[C], C]:
        """Return a decorator that registers a class, and sets its attribute ``name``.

        Raises:
            UsageError: If another class has the name.
        """

        def add(cls: C) -> C:
            held = self._classes.get(name)
            place = (held.__module__, held.__qualname__) if held else self.files.get(name)
            if place not in (None, (cls.__module__, cls.__qualname__)):
                raise UsageError(f"two {self._kind}s are called '{name}'; choose another name for {cls.__qualname__}")
            cls.name = name
            self._classes[name] = cls
            return cls

        return add

    def names(self) -> list[str]:
        """Return all names, sorted."""
        return sorted({*self.files, *self._classes})

    def get(self, name: str) -> type[T]:
        """Return the class of a name.

        Raises:
            UsageError: If there is none; the message offers the nearest names.
        """
        if name not in self._classes and name in self.files:
            require(self.files[name][0])
        if name not in self._classes:
            raise unknown_name(self._kind, name, self.names())
        return self._classes[name]

    def build(self, name: str, params: Mapping[str, Any]) -> T:
        """Make an object of a class.

        Args:
            name: Name of the class.
            params: Values of some of its parameters, the keyword-only arguments of ``__init__``.

        Raises:
            UsageError: If the name or a parameter is unknown, or a value has the wrong type or is out of range.
        """
        cls = self.get(name)
        arguments = inspect.signature(cls.__init__).parameters.values()
        known = [one.name for one in arguments if one.kind is inspect.Parameter.KEYWORD_ONLY]
        return cls(**checked_parameters(cls.__init__, params, known, f"{self._kind} '{name}'"))
