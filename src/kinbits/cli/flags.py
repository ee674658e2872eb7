"""Settings of the library as flags of a command and as keys of its YAML file: both are made from `options_of`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import typer

from kinbits._util import Option, options_of
from kinbits.cli.values import kinds_of, named_values, parse
from kinbits.errors import UsageError, unknown_name

Command = TypeVar("Command", bound=Callable[..., Any])
SPELLINGS = {"finetune": "--finetune/--frozen"}
METAVARS = {int: "N", float: "X"}


class Flags:
    """The options of a settings class on the command line.

    Args:
        settings: The class, such as `kinbits.fitting.FitSettings`.
        but: Options that the command sets itself.
        panel: Heading in the help of the options that are in no part of the settings; None for the usual one.
    """

    def __init__(self, settings: type, but: Collection[str], panel: str | None = None) -> None:
        self._panel = panel
        self.options = {option.name: option for option in options_of(settings) if option.name not in but}

    @property
    def mappings(self) -> set[str]:
        """Names of the options that hold values by name."""
        return {name for name, option in self.options.items() if _maps(option)}

    def add_after(self, place: str) -> Callable[[Command], Command]:
        """Add a flag for each option to a command with ``**options``; help shows them after one of its own."""

        def add(command: Command) -> Command:
            signature = inspect.signature(command, eval_str=True)
            shown: list[inspect.Parameter] = []
            for own in signature.parameters.values():
                if own.kind is not inspect.Parameter.VAR_KEYWORD:
                    shown.append(own.replace(kind=inspect.Parameter.KEYWORD_ONLY))
                shown += self._parameters() if own.name == place else []
            command.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined]
            return command

        return add

    def _parameters(self) -> list[inspect.Parameter]:
        kind = inspect.Parameter.KEYWORD_ONLY
        return [
            inspect.Parameter(name, kind, default=None, annotation=_annotation(option, self._panel))
            for name, option in self.options.items()
        ]

    def read(self, flags: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of those of the flags that are given; those of a mapping stay text, by name.

        Raises:
            UsageError: If a value cannot be used.
        """
        own = {name: value for name, value in flags.items() if name in self.options and value not in (None, [])}
        return {name: self._read(name, value) for name, value in own.items()}

    def _read(self, name: str, value: Any) -> Any:
        option, flag = self.options[name], flag_of(name)
        if _maps(option):
            return named_values(value, flag)
        return parse(value, option.type, flag) if isinstance(value, str) else value

    def read_file(self, path: Path, others: Mapping[str, Any]) -> dict[str, Any]:
        """Read a YAML file whose keys are the names of the options; values of a mapping stay text, by name.

        Args:
            path: The file.
            others: Further keys, with the types of their values.

        Raises:
            UsageError: If a key is unknown, or a value cannot be used.
        """
        from kinbits._util import read_yaml  # loads PyYAML, which few commands need

        known = {**{name: option.type for name, option in self.options.items()}, **others}
        given: dict[str, Any] = {}
        for key, value in read_yaml(path, "`method: orthohash`").items():
            name = key.replace("-", "_")
            if name not in known:
                raise unknown_name("key", key, [one.replace("_", "-") for one in known], place=f"in {path}")
            given[name] = _file_value(f"{path}: {key}", value, self.options.get(name), known[name])
        return given


def flag_of(name: str) -> str:
    """Return the flag of an option: ``--batch-size``, and ``--param`` for one of the ``params``."""
    return "--" + (name.removesuffix("s") if name.endswith("params") else name).replace("_", "-")


def _file_value(place: str, value: Any, option: Option | None, kind: Any) -> Any:
    if option is not None and _maps(option):
        if not isinstance(value, dict):
            raise UsageError(f"{place} is '{value}'; write below it one indented `name: value` a line")
        return {str(name): str(setting) for name, setting in value.items()}
    if option is not None and option.repeated:
        return [str(one) for one in value] if isinstance(value, list) else [str(value)]
    if isinstance(value, (dict, list)):
        raise UsageError(f"{place} is a {type(value).__name__}; give one value")
    return parse(str(value), kind, place)


def _annotation(option: Option, panel: str | None) -> Any:
    """Return what typer makes a flag of; numbers are taken as text, since `parse` is stricter."""
    kind = next(kind for kind in kinds_of(option.type) if kind is not type(None))
    several = "K=V" if _maps(option) else option.repeated.metavar if option.repeated else None
    flag = typer.Option(
        SPELLINGS.get(option.name, flag_of(option.name)),
        help=_help(option, kind),
        metavar=None if kind is bool else several or METAVARS.get(kind, "NAME"),
        rich_help_panel=option.part.capitalize() or panel,
        show_default=False,
    )
    taken: Any = bool if kind is bool else list[str] if several else str
    return Annotated[taken | None, flag]


def _help(option: Option, kind: Any) -> str:
    text, mark, default = option.help.partition(" Default: ")
    if get_origin(kind) is Literal:
        text = f"{text.rstrip('.')}: {', '.join(get_args(kind))}."
    if _maps(option) or option.repeated:
        text = f"{text.rstrip('.')} (repeatable)."
    return f"{text} Default: {default if mark else f'{option.default}.'}"


def _maps(option: Option) -> bool:
    return get_origin(option.type) is Mapping
