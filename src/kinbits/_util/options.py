"""Options written once: a settings dataclass holds name, type, range and default, its docstring says what each does.

The flags of a command, the keys of its YAML file, the keyword arguments of the library and the tables in the
documentation are made of what `options_of` reads here.
"""

import inspect
import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from typing import Annotated, Any, TypeVar, get_args, get_origin

from kinbits._util.typed import typed
from kinbits.errors import UsageError, unknown_name

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class Range:
    """The numbers that an option takes.

    Attributes:
        least: The smallest.
        most: The largest.
        without_least: Whether the smallest is left out.
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
    """Marks an option that is given several times in text, such as a list of paths.

    Attributes:
        metavar: What one of them is.
    """

    metavar: str


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes:
        name: Its name in Python; text writes dashes for underscores.
        type: What values it takes; a string where only Python can give one.
        default: Its value where none is given.
        help: What it does. Where the default is None, it ends with what that means.
        part: Name of the part of the settings that holds it; empty for the settings themselves.
        range: The numbers it takes, or None.
        repeated: How it is given several times, or None.
    """

    name: str
    type: Any
    default: Any
    help: str
    part: str
    range: Range | None = None
    repeated: Repeated | None = None


def options_of(settings: Any) -> Iterator[Option]:
    """Yield the options of a settings class, part by part; a part is a field that is a settings class itself."""
    for part, owner in [("", settings), *((f.name, f.type) for f in fields(settings) if is_dataclass(f.type))]:
        helps = attributes_of(owner)
        for one in fields(owner):
            if not is_dataclass(one.type):
                kind, marks = _unwrapped(one)
                limits = next((mark for mark in marks if isinstance(mark, Range)), None)
                repeated = next((mark for mark in marks if isinstance(mark, Repeated)), None)
                yield Option(one.name, kind, _default(one), helps[one.name], part, limits, repeated)


def check_options(settings: Any) -> None:
    """Refuse values of another type than the one declared, and numbers out of their range.

    Raises:
        UsageError: If it names the first of them.
    """
    for one in fields(settings):
        value, (kind, marks) = getattr(settings, one.name), _unwrapped(one)
        if is_dataclass(kind) or isinstance(kind, str):
            continue
        if typed(value, kind, one.name) is not value:
            raise UsageError(f"{one.name} is the text {value!r}; give a number")
        for mark in marks:
            if isinstance(mark, Range) and value is not None and value not in mark:
                raise UsageError(f"{one.name} is {value}; it must be {mark}")


def with_options(settings: Settings, given: Mapping[str, Any], what: str = "option") -> Settings:
    """Return settings with other values, given by the names of the options, in whatever part they are.

    Raises:
        UsageError: If a name is unknown; the error offers the nearest.
    """
    known = [option.name for option in options_of(type(settings))]
    for name in given:
        if name not in known:
            raise unknown_name(what, name, known)
    changed: Settings = _changed(settings, given)
    return changed


def read_options(settings: type, given: Mapping[str, Any], what: str, but: Collection[str] = ()) -> dict[str, Any]:
    """Return options that a file gives to a settings class without parts, with their types: ``1e-3`` may be text.

    Args:
        settings: The class.
        given: Values by name.
        what: What a name is called in an error.
        but: Options that cannot be given here.

    Raises:
        UsageError: If a name is unknown, or a value cannot be used.
    """
    kinds = {option.name: option.type for option in options_of(settings) if option.name not in but}
    for name in given:
        if name not in kinds:
            raise unknown_name(what, str(name), kinds)
    read = {name: typed(value, kinds[name], name) for name, value in given.items()}
    settings(**read)
    return read


def attributes_of(owner: Any) -> dict[str, str]:
    """Return what the ``Attributes:`` section of a docstring says of each, on one line."""
    section = (inspect.getdoc(owner) or "").partition("Attributes:\n")[2].partition("\n\n")[0]
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def _changed(settings: Any, given: Mapping[str, Any]) -> Any:
    own = {one.name: given[one.name] for one in fields(settings) if one.name in given}
    parts = {one.name: getattr(settings, one.name) for one in fields(settings) if is_dataclass(one.type)}
    return replace(settings, **own, **{name: _changed(part, given) for name, part in parts.items()})


def _unwrapped(one: "Field[Any]") -> tuple[Any, tuple[Any, ...]]:
    """Return the type of a field and the marks beside it."""
    if get_origin(one.type) is Annotated:
        kind, *marks = get_args(one.type)
        return kind, tuple(marks)
    return one.type, ()


def _default(one: "Field[Any]") -> Any:
    """Return a default value; one that a function makes counts as None, unless it is an empty mapping."""
    if one.default_factory is not MISSING:
        return {} if one.default_factory is dict else None
    return one.default
