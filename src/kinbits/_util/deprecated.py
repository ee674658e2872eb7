"""Old names that still work: a warning names the new one, and the version that removes the old one."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from kinbits.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])


def warn_old_name(old: str, new: str, removal: str) -> None:
    """Warn that a name is deprecated, at the line that called the calling function.

    Args:
        old: The deprecated name, as the caller wrote it.
        new: What to write instead.
        removal: The version that removes the old name: ``"0.3.0"`` for a name that 0.2.0 replaces, so that both names
            work for one minor version.
    """
    message = f"kinbits: {old} is deprecated and will be removed in {removal}; use {new}"
    warnings.warn(message, DeprecationWarning, stacklevel=3)


def with_old_names(
    load: Callable[[str], Any], package: str, names: Mapping[str, str], *, removal: str
) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package that also knows the old names of what was renamed.

    Args:
        load: ``__getattr__`` of the package without old names, see `open_door`.
        package: ``__name__`` of the package.
        names: Old name -> new name in the same package.
        removal: The version that removes the old names.

    Example:
        >>> load = with_old_names({"Index": 1}.__getitem__, "kinbits.index", {"Store": "Index"}, removal="0.3.0")
        >>> with warnings.catch_warnings(record=True, action="always") as told:
        ...     load("Store")
        1
        >>> print(told[0].message)
        kinbits: kinbits.index.Store is deprecated and will be removed in 0.3.0; use kinbits.index.Index
    """

    def load_old_or_new(name: str) -> Any:
        if name not in names:
            return load(name)
        warn_old_name(f"{package}.{name}", f"{package}.{names[name]}", removal)
        return load(names[name])

    return load_old_or_new


def old_arguments(*, removal: str, **names: str) -> Callable[[F], F]:
    """Return a decorator that lets a function take renamed keyword arguments by their old names.

    Args:
        removal: The version that removes the old names.
        names: Old name -> new name.

    Raises:
        UsageError: From the decorated function, if both the old and the new name are given.

    Example:
        >>> @old_arguments(removal="0.3.0", count="k")
        ... def nearest(*, k: int = 1) -> int:
        ...     return k
        >>> with warnings.catch_warnings(record=True, action="always") as told:
        ...     nearest(count=5)
        5
        >>> print(told[0].message)
        kinbits: nearest(count=) is deprecated and will be removed in 0.3.0; use k=
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def renamed(*args: Any, **given: Any) -> Any:
            for old in names.keys() & given.keys():
                new = names[old]
                if new in given:
                    raise UsageError(f"{function.__qualname__}: {old}= is the old name of {new}=; give only {new}=")
                warn_old_name(f"{function.__qualname__}({old}=)", f"{new}=", removal)
                given[new] = given.pop(old)
            return function(*args, **given)

        return renamed  # type: ignore[return-value]

    return decorate
