"""Attributes that are computed when they are first read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

T = TypeVar("T")


class lazy(Generic[T]):  # noqa: N801 - used as a decorator, as `property` is
    """A property that is computed at the first reading, and kept in the object's ``__dict__``.

    `functools.cached_property` of Python 3.11 holds one lock for all objects of a class while it computes: a process
    that is forked meanwhile never gets it. This one has no lock. Two threads may both compute; both get the value
    that was there first.

    Args:
        compute: The method.

    Example:
        >>> class Circle:
        ...     @lazy
        ...     def area(self) -> float:
        ...         print("computing")
        ...         return 3.14
        >>> circle = Circle()
        >>> circle.area, circle.area
        computing
        (3.14, 3.14)
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> Self | T:
        if instance is None:
            return self
        value: T = instance.__dict__.setdefault(self._name, self._compute(instance))
        return value
