"""kinbits methods: what can be fitted."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinbits.cli._app import app
from kinbits.cli._output import JsonFlag, console, facts, print_json, table

if TYPE_CHECKING:
    from kinbits.methods import Method


@app.command()
def methods(
    name: Annotated[str | None, typer.Argument(help="One method in full.", show_default=False)] = None,
    as_json: JsonFlag = False,
) -> None:
    """List what can be fitted, or show one method in full."""
    from kinbits.methods import get_method
    from kinbits.methods import methods as names

    if name is not None:
        _show_one(get_method(name), as_json)
        return
    found = [_facts(get_method(one)) for one in names()]
    if as_json:
        print_json(found)
        return
    rows = ([one["name"], _needs(one), one["summary"]] for one in found)
    console().print(table(["method", "learns from", "what it does"], rows))
    print("`kinbits methods NAME` shows one in full, with its parameters.")


def _show_one(method: type[Method], as_json: bool) -> None:
    found = _facts(method)
    if as_json:
        print_json(found)
        return
    width = console().width
    print(_reflowed(f"{method.name}: {found['summary']}\n", width))
    body = inspect.cleandoc(method.__doc__ or "").partition("\n")[2].strip()
    if body:
        print(_reflowed(body, width) + "\n")
    recipe = ", ".join(f"{name} {value}" for name, value in found["recipe"].items() if value is not None)
    trained = recipe if found["recipe"]["epochs"] else "no epochs: fitted in one pass"
    facts({"learns from": _needs(found), "recipe": trained})
    if found["parameters"]:
        rows = ([one["name"], one["type"], one["default"]] for one in found["parameters"])
        console().print(table(["--param", "type", "default"], rows))


def _reflowed(docstring: str, width: int) -> str:
    """Fit a docstring into the window: paragraphs are filled, indented lines stay lines of their own."""
    import textwrap

    paragraphs = []
    for paragraph in docstring.replace("``", "`").split("\n\n"):
        lines = paragraph.split("\n")
        if not any(line.startswith(" ") for line in lines):
            lines = [" ".join(lines)]
        indents = [line[: len(line) - len(line.lstrip())] for line in lines]
        wrapped = (
            textwrap.fill(line, width, subsequent_indent=indent + "    " * bool(indent), break_long_words=False)
            for line, indent in zip(lines, indents, strict=True)
        )
        paragraphs.append("\n".join(wrapped))
    return "\n\n".join(paragraphs)


def _facts(method: type[Method]) -> dict[str, Any]:
    from kinbits.methods import parameters

    return {
        "name": method.name,
        "summary": inspect.cleandoc(method.__doc__ or "").partition("\n")[0],
        "supervision": method.supervision,
        "multi_label": method.multi_label,
        "text": method.text,
        "views": method.views,
        "maps": method.maps,
        "recipe": vars(method.recipe),
        "parameters": [{"name": p.name, "type": _kind(p.kind), "default": p.default} for p in parameters(method)],
    }


def _kind(annotation: str) -> str:
    """Write a type as its values where it lists them, else by its bare name."""
    if annotation.startswith("Literal["):
        return annotation[len("Literal[") : -1].replace("'", "").replace('"', "")
    return annotation.removeprefix("<class '").removesuffix("'>")


def _needs(found: dict[str, Any]) -> str:
    parts = [{"labels": "labels", "pairs": "pairs or labels", "none": "images alone"}[found["supervision"]]]
    if found["text"]:
        parts = ["images and texts"]
    if found["supervision"] != "none" and not found["multi_label"]:
        parts.append("one label each")
    if found["maps"]:
        parts.append("feature maps")
    return ", ".join(parts)
