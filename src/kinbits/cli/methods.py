"""kinbits methods: the methods that `kinbits fit` knows."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinbits.cli.app import app
from kinbits.cli.output import JsonFlag, console, facts, print_json, table, width

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinbits.methods import MethodInfo

_HEADINGS = {
    "training-free": "Training-free",
    "unsupervised": "Unsupervised",
    "baselines": "Baselines: from labels",
    "labels": "Supervised: from labels",
    "pairs": "Supervised: from pairs, given or drawn from labels",
    "images and texts": "Images and texts",
}
_GIVEN = "    spec: The task."
"""An argument that the trainer gives, and a person never does."""


@app.command()
def methods(
    name: Annotated[str | None, typer.Argument(help="One method in full.", show_default=False)] = None,
    as_json: JsonFlag = False,
) -> None:
    """List all methods, or show one in full."""
    from kinbits.methods import describe_method, list_methods

    if name is not None:
        _show_one(describe_method(name), as_json)
        return
    found = [_facts(describe_method(one)) for one in list_methods()]
    if as_json:
        print_json(found)
        return
    for heading in _HEADINGS.values():
        members = [one for one in found if _heading(one) == heading]
        print("\n".join([heading, "", *_lines(members, max(len(one["name"]) for one in found)), ""]))
    print("`kinbits methods NAME` shows one in full, with its parameters.")


def _heading(found: dict[str, Any]) -> str:
    return _HEADINGS[found["supervision"] if found["group"] == "supervised" else found["group"]]


def _lines(members: list[dict[str, Any]], longest: int) -> Iterator[str]:
    """Lay out names and summaries in two columns; what a method needs of its data comes last."""
    columns = width()
    for one in members:
        asks = f" ({', '.join(_asks(one))})" if _asks(one) else ""
        text = f"  {one['name']:<{longest}}  {one['summary']}{asks}"
        yield textwrap.fill(text, columns, subsequent_indent=" " * (longest + 4), break_on_hyphens=False)


def _show_one(method: MethodInfo, as_json: bool) -> None:
    found = _facts(method)
    if as_json:
        print_json(found)
        return
    columns = width()
    print(_reflowed(f"{method.name}: {found['summary']}", columns) + "\n")
    body = method.docstring.partition("\n")[2].strip()
    if body:
        print(_reflowed(body, columns) + "\n")
    recipe = ", ".join(f"{name} {value}" for name, value in found["recipe"].items() if value is not None)
    trained = recipe if found["recipe"]["epochs"] else "no epochs: fitted in one pass"
    facts({"learns from": _needs(found), "recipe": trained})
    if found["parameters"]:
        rows = ([one["name"], one["type"], one["default"]] for one in found["parameters"])
        console().print(table(["--param", "type", "default"], rows))


def _reflowed(docstring: str, columns: int) -> str:
    """Fit a docstring into the window: paragraphs and arguments are filled, lines of formulas stay as they are."""
    paragraphs = []
    for paragraph in docstring.replace("``", "`").split("\n\n"):
        lines = paragraph.split("\n")
        if lines[0] == "Args:":
            lines = [line for line in _joined(lines) if line != _GIVEN]
            if len(lines) == 1:
                continue
        elif not any(line.startswith(" ") for line in lines):
            lines = [" ".join(lines)]
        indents = [line[: len(line) - len(line.lstrip())] for line in lines]
        wrapped = (
            textwrap.fill(line, columns, subsequent_indent=indent + "    " * bool(indent), break_long_words=False)
            for line, indent in zip(lines, indents, strict=True)
        )
        paragraphs.append("\n".join(wrapped))
    return "\n\n".join(paragraphs)


def _joined(lines: list[str]) -> list[str]:
    """Join what continues an argument, which is indented deeper than its name."""
    whole: list[str] = []
    for line in lines:
        if line.startswith(" " * 8):
            whole[-1] += " " + line.strip()
        else:
            whole.append(line)
    return whole


def _facts(method: MethodInfo) -> dict[str, Any]:
    return {
        "name": method.name,
        "summary": method.summary,
        "group": method.group,
        "supervision": method.supervision,
        "multi_label": method.multi_label,
        "text": method.reads_text,
        "views": method.views,
        "maps": method.reads_maps,
        "recipe": dict(method.recipe),
        "parameters": [{"name": p.name, "type": _kind(p.kind), "default": p.default} for p in method.parameters],
    }


def _kind(annotation: str) -> str:
    """Write a type as its values where it lists them, else by its bare name."""
    if annotation.startswith("Literal["):
        return annotation[len("Literal[") : -1].replace("'", "").replace('"', "")
    return annotation.removeprefix("<class '").removesuffix("'>")


def _needs(found: dict[str, Any]) -> str:
    alone = "images alone" if found["views"] or found["maps"] else "images or vectors alone"
    first = {"labels": "labels", "pairs": "pairs or labels", "none": alone}[found["supervision"]]
    return ", ".join(["images and texts" if found["text"] else first, *_asks(found)])


def _asks(found: dict[str, Any]) -> list[str]:
    """List what a method needs of its data besides labels, pairs or texts."""
    asks = {
        "random views": found["views"] > 0,
        "one label each": found["supervision"] != "none" and not found["multi_label"],
        "feature maps": found["maps"],
    }
    return [name for name, asked in asks.items() if asked]
