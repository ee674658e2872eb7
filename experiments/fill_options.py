"""Write what follows from settings: keyword arguments of `fit` that a type checker sees, and tables in the docs.

Run it after a change of `FitSettings`, its parts, or `ServeSettings`:  python experiments/fill_options.py
"""

import inspect
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from kinbits._util import Option, options_of
from kinbits.cli.fit import fit as fit_command
from kinbits.cli.serve import serve as serve_command
from kinbits.fitting import FitSettings
from kinbits.serving import ServeSettings

HERE = Path(__file__).resolve().parent.parent
STUB = HERE / "src/kinbits/fitting/options.py"
PAGES = {HERE / "docs/fit.md": (FitSettings, fit_command), HERE / "docs/serving.md": (ServeSettings, serve_command)}
BEGIN, END = "<!-- options: written by experiments/fill_options.py -->\n", "<!-- end of options -->\n"
TITLES = {"": "General", "features": "Features", "supervision": "Supervision", "training": "Training"}

HEAD = '''"""The keyword arguments of `fit` for type checkers, written by experiments/fill_options.py."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from kinbits.data import FeatureCache


class FitOptions(TypedDict, total=False):
    """Options of `fit` by name; `FitSettings` says what each does."""

'''


def stub() -> str:
    """Return the source of `kinbits.fitting.options`."""
    return HEAD + "".join(f"    {option.name}: {_annotation(option.type)}\n" for option in options_of(FitSettings))


def page(path: Path) -> str:
    """Return a page with the table of options between its marks."""
    before, rest = path.read_text().split(BEGIN)
    return before + BEGIN + "".join(_tables(*PAGES[path])) + END + rest.split(END)[1]


def _tables(settings: type, command: Any) -> Iterator[str]:
    part = None
    parts = {option.part for option in options_of(settings)}
    for option in options_of(settings):
        if option.part != part:
            part = option.part
            yield f"\n### {TITLES[part]}\n" if len(parts) > 1 else ""
            yield "\n| option | value | default | what it does |\n| --- | --- | --- | --- |\n"
        text, _, default = option.help.partition(" Default: ")
        shown = default.rstrip(".") if default else _value(option.default)
        yield f"| `{option.name}` | {_given_as(option, command)} | {shown} | {text.replace('``', '`')} |\n"
    yield "\n"


def _given_as(option: Option, command: Any) -> str:
    """Say what values an option takes, and whether only Python takes it."""
    on_command_line = option.name in inspect.signature(command).parameters
    return ", ".join([*filter(None, [_values(option)]), *([] if on_command_line else ["only in Python"])])


def _values(option: Option) -> str:
    kinds = [kind for kind in _kinds(option.type) if kind is not type(None)]
    if get_origin(kinds[0]) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(kinds[0]))
    names: dict[Any, str] = {int: "whole number", float: "number", bool: "true or false", str: "text", Path: "path"}
    name = names.get(get_origin(kinds[0]) or kinds[0])
    if name is None:
        name = f"{option.repeated.metavar.lower()}s" if option.repeated else ""
        name = "`name: value` pairs" if "Mapping" in str(kinds[0]) else name
    return f"{name}, {option.range}" if option.range else name


def _value(value: Any) -> str:
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _annotation(kind: Any) -> str:
    return f'"{kind}"' if isinstance(kind, str) else " | ".join(_name(one) for one in _kinds(kind))


def _name(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "Literal[" + ", ".join(f'"{choice}"' for choice in get_args(kind)) + "]"
    if get_args(kind):
        return f"{get_origin(kind).__name__}[{', '.join(map(_name, get_args(kind)))}]"
    return "None" if kind is type(None) else str(kind.__name__)


def _kinds(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (typing.Union, type(int | None)) else (kind,)


if __name__ == "__main__":
    STUB.write_text(stub())
    for path in PAGES:
        path.write_text(page(path))
