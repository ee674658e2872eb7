"""Cached attributes, computed at the first access."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

T = TypeVar("T")


class lazy(Generic[T]):  # noqa: N801 - used as a decorator, as `property` is
    """Property that is computed at the first access and cached in the object's ``__dict__``.

    `functools.cached_property` of Python 3.11 holds a lock per class while it computes. A child that is forked in the
    meantime inherits the locked lock and blocks forever. This class has no lock: two threads may both compute the
    value, and both get the one that was stored first.

    Args:
        compute: Method that computes the value.

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
