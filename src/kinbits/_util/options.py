"""Options of a settings dataclass: the fields hold name, type, range and default, the docstring holds the help.

Command-line flags, YAML keys, keyword arguments and the tables in the documentation are generated from `options_of`.
"""

import inspect
import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from typing import Annotated, Any, TypeVar, get_args, get_origin

from kinbits._util.typed import checked, typed
from kinbits.errors import UsageError, unknown_name

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class Range:
    """Allowed range of a numeric option.

    Attributes:
        least: Smallest value.
        most: Largest value.
        without_least: Whether ``least`` itself is excluded.
    """

    least: float
    most: float = math.inf
    without_least: bool = False

    def __contains__(self, value: float) -> bool:
        return (value > self.least if self.without_least else value >= self.least) and value <= self.most

    def __str__(self) -> str:
        if self.most == math.inf:
            return f"above {self.least}" if self.without_least else f"at least {self.least}"
        return (
            f"above {self.least} and up to {self.most}" if self.without_least else f"from {self.least} to {self.most}"
        )


@dataclass(frozen=True)
class Repeated:
    """Mark of an option that can be repeated on the command line, such as a list of paths.

    Attributes:
        metavar: Name of one value in help texts.
    """

    metavar: str


@dataclass(frozen=True)
class Option:
    """One option of a settings class.

    Attributes:
        name: Name in Python; text uses dashes for underscores.
        type: Type of the values; a string if values can only be given in Python.
        default: Default value.
        help: What the option does. If the default is None, the last words say what None means.
        part: Field of the settings that holds the option; empty for the settings themselves.
        range: Allowed range, or None.
        repeated: Set if the option can be repeated, else None.
    """

    name: str
    type: Any
    default: Any
    help: str
    part: str
    range: Range | None = None
    repeated: Repeated | None = None


def options_of(settings: Any) -> Iterator[Option]:
    """Yield the options of a settings class, part by part; a part is a field whose type is a settings class."""
    for part, owner in [("", settings), *((f.name, f.type) for f in fields(settings) if is_dataclass(f.type))]:
        helps = attributes_of(owner)
        for one in fields(owner):
            if not is_dataclass(one.type):
                kind, marks = _unwrapped(one)
                limits = next((mark for mark in marks if isinstance(mark, Range)), None)
                repeated = next((mark for mark in marks if isinstance(mark, Repeated)), None)
                yield Option(one.name, kind, _default(one), helps[one.name], part, limits, repeated)


def check_options(settings: Any) -> None:
    """Check the types and ranges of all values of a settings object; each then has the type that Python declares.

    A scalar of NumPy becomes Python's own, and text that names a folder a `Path`, so that all that reads the settings
    may rely on the types.

    Raises:
        UsageError: If a value has the wrong type or is out of range; the message names the first one.
    """
    for one in fields(settings):
        kind, marks = _unwrapped(one)
        if isinstance(kind, str):
            continue
        value = checked(getattr(settings, one.name), kind, one.name)
        object.__setattr__(settings, one.name, value)  # settings are frozen, and this is a part of their making
        for mark in marks:
            if isinstance(mark, Range) and value is not None and value not in mark:
                raise UsageError(f"{one.name} is {value}; it must be {mark}")


def with_options(settings: Settings, given: Mapping[str, Any], what: str = "option") -> Settings:
    """Return a copy of the settings with new values; options of all parts are given by name.

    Args:
        settings: A settings object.
        given: New values by option name.
        what: Noun for an option in errors.

    Raises:
        UsageError: If a name is unknown; the message suggests similar names.
    """
    known = [option.name for option in options_of(type(settings))]
    for name in given:
        if name not in known:
            raise unknown_name(what, name, known)
    changed: Settings = _changed(settings, given)
    return changed


def read_options(settings: type, given: Mapping[str, Any], what: str, but: Collection[str] = ()) -> dict[str, Any]:
    """Return the options from a file, converted to the types of a settings class without parts.

    Args:
        settings: The settings class.
        given: Values by name, written with dashes or underscores; a number may be text such as ``1e-3``.
        what: Noun for an option in errors.
        but: Options that are not allowed here.

    Raises:
        UsageError: If a name is unknown, or a value has the wrong type or is out of range.
    """
    kinds = {option.name: option.type for option in options_of(settings) if option.name not in but}
    given = underscored(given)
    for name in given:
        if name not in kinds:
            raise unknown_name(what, name, kinds)
    read = {name: typed(value, kinds[name], name) for name, value in given.items()}
    settings(**read)
    return read


def underscored(given: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the values under the names of Python: ``batch-size`` becomes ``batch_size``.

    Raises:
        UsageError: If a name is given in both ways.
    """
    named: dict[str, Any] = {}
    for key, value in given.items():
        name = str(key).replace("-", "_")
        if name in named:
            raise UsageError(f"'{name}' is given twice; keep one")
        named[name] = value
    return named


def attributes_of(owner: Any) -> dict[str, str]:
    """Return the entries of the ``Attributes:`` section of a docstring by name, each on one line."""
    section = (inspect.getdoc(owner) or "").partition("Attributes:\n")[2].partition("\n\n")[0]
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def _changed(settings: Any, given: Mapping[str, Any]) -> Any:
    values = {one.name: given[one.name] for one in fields(settings) if one.name in given}
    parts = {one.name: getattr(settings, one.name) for one in fields(settings) if is_dataclass(one.type)}
    return replace(settings, **values, **{name: _changed(part, given) for name, part in parts.items()})


def _unwrapped(one: "Field[Any]") -> tuple[Any, tuple[Any, ...]]:
    """Return the type of a field and its `Annotated` marks."""
    if get_origin(one.type) is Annotated:
        kind, *marks = get_args(one.type)
        return kind, tuple(marks)
    return one.type, ()


def _default(one: "Field[Any]") -> Any:
    """Return the default value of a field; a default factory other than ``dict`` gives None."""
    if one.default_factory is not MISSING:
        return {} if one.default_factory is dict else None
    return one.default
