"""Pages of the documentation site that are written when it is built: benchmarks, commands, Python, errors.

Each function returns the pages' places in the site with their text in markdown.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from itertools import pairwise
from typing import Any

from site_links import PROJECT, RESULTS, ROOT, adapt

from kinbits import errors

SOURCE = ROOT / "src" / "kinbits"
Pages = dict[str, str]
_REGISTERED = re.compile(r'^@register\("([\w-]+)".*\)\n(?:@.*\n)*class (\w+)', re.MULTILINE)


def project_pages() -> Pages:
    """Return the pages outside docs."""
    return {place: adapt((ROOT / path).read_text(), path, place) for path, place in PROJECT.items()}


def benchmark_pages() -> Pages:
    """Return one page for each table of ``results``, and an overview."""
    pages, overview = {}, []
    for path in sorted((ROOT / "results").glob("*.md")):
        text = path.read_text()
        title, body = _title_of(text, path.stem)
        table = path.with_suffix(".csv")
        rows = f"\n\n[All rows of these tables]({table.name}) as CSV.\n" if table.exists() else ""
        place = f"{RESULTS}/{path.name}"
        pages[place] = f"# {title}\n{adapt(body, f'results/{path.name}', place)}{rows}"
        overview.append(f"| [{title}]({path.name}) | {_metrics(text)} | `results/{path.name}` |")
    head = (
        "# All benchmarks\n\nEach page shows the tables that a script of the repository made. Longer tables have a "
        "field that filters their rows. [Numbers](../numbers.md) explains what the most important ones say.\n\n"
        "| page | measures | file |\n| --- | --- | --- |\n"
    )
    return {f"{RESULTS}/README.md": head + "\n".join(overview) + "\n", **pages}


def _title_of(text: str, name: str) -> tuple[str, str]:
    """Return the title of a page and the text below it; without one, the name of its file as words."""
    found = re.match(r"# (.+)\n", text)
    return (found[1], text[found.end() :]) if found else (_words(name), f"\n{text}")


def _words(name: str) -> str:
    """Return the name of a file of results as words; files of speeds begin with ``bench-``."""
    words = name.replace("-", " ")
    return f"Speed: {words.removeprefix('bench ')}" if words.startswith("bench ") else words.capitalize()


def _metrics(text: str) -> str:
    """Return the metrics that the captions of tables name, else the first sentence."""
    named = list(dict.fromkeys(re.findall(r"^\*\*.*: tie-aware (\S+),", text, re.MULTILINE)))
    return ", ".join(named) if named else "as the page says"


def command_pages() -> Pages:
    """Return a page for each command, with its options, as its ``--help`` has them."""
    import typer

    from kinbits.cli.app import VERBS, app

    __import__("kinbits.cli")  # registers the commands
    root: Any = typer.main.get_command(app)
    context = typer.Context(root, info_name="kinbits")
    return {
        f"reference/commands/{verb}.md": _command(root.get_command(context, verb), verb, context, 1) for verb in VERBS
    }


def _command(command: Any, name: str, parent: Any, level: int) -> str:
    """Return the section of a command, and those of its further verbs below it."""
    import typer

    context = typer.Context(command, info_name=name, parent=parent)
    verbs = command.list_commands(context) if hasattr(command, "list_commands") else []
    own = command.commands[verbs[0]] if type(command).__name__ == "GroupOfOne" else command
    usage = " ".join([context.command_path, *own.collect_usage_pieces(context)])
    parts = [f"{'#' * level} {context.command_path}", _help(own.help), f"```text\n{usage}\n```"]
    for title, kind in (("argument", "argument"), ("option", "option")):
        rows = [_row(one, context) for one in own.get_params(context) if one.param_type_name == kind and not one.hidden]
        if rows:
            parts.append(f"| {title} | meaning |\n| --- | --- |\n" + "\n".join(rows))
    further = verbs[1:] if own is not command else verbs
    parts += [_command(command.get_command(context, verb), verb, context, level + 1) for verb in further]
    return "\n\n".join(part for part in parts if part) + "\n"


def _help(text: str | None) -> str:
    """Return the help of a command; what it shows as it is becomes a block."""
    paragraphs = re.split(r"\n\s*\n", (text or "").replace("\b", "").strip())
    return "\n\n".join(f"```text\n{one}\n```" if re.search(r"^ ", one, re.MULTILINE) else one for one in paragraphs)


def _row(parameter: Any, context: Any) -> str:
    """Return the row of an argument or option."""
    record = parameter.get_help_record(context) or (parameter.human_readable_name, parameter.help or "")
    names, meaning = (_cell(text) for text in record)
    return f"| `{names}` | {meaning} |"


def _cell(text: str) -> str:
    """Return text for a cell of a table, without marks of the terminal."""
    flat = re.sub(r"\x1b\[[\d;]*m", "", " ".join(text.split()))
    return flat.replace("|", "\\|").replace("<", "&lt;") if "`" in flat else flat.replace("|", "\\|")


def python_pages() -> Pages:
    """Return a page for each package, with the names that its ``__init__.pyi`` makes public."""
    packages = [path.parent.name for path in sorted(SOURCE.glob("*/__init__.pyi")) if path.parent.name != "_util"]
    return {f"reference/python/{name}.md": _package(name) for name in packages}


def _package(name: str) -> str:
    documented = ast.get_docstring(ast.parse((SOURCE / name / "__init__.py").read_text())) or ""
    homes = dict(sorted(_homes(name).items(), key=lambda one: one[0].lower()))
    constants = [f"- `{public}`{_meaning(home)}" for public, home in homes.items() if public.isupper()]
    parts = [f"# kinbits.{name}", documented]
    parts += [_entry(name, public, home) for public, home in homes.items() if not public.isupper()]
    return "\n\n".join([*parts, *(["## Constants", "\n".join(constants)] if constants else [])]) + "\n"


def _entry(package: str, public: str, home: str) -> str:
    """Return the section of a class or function."""
    also = f"Also `kinbits.{public}`.\n\n" if public in _homes("") else ""
    options = f"    options:\n      heading: kinbits.{package}.{public}\n      toc_label: {public}"
    return f"::: {home}\n{options}\n\n{also}".rstrip()


def _meaning(home: str) -> str:
    """Return the first line of the text below a constant, after a colon."""
    module, _, name = home.rpartition(".")
    path = SOURCE.joinpath(*module.split(".")[1:])
    tree = ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text())
    for node, below in pairwise(tree.body):
        if isinstance(node, ast.Assign | ast.AnnAssign) and f"{name} " in f"{ast.unparse(node)} ".split("=")[0]:
            text = ast.literal_eval(below.value) if isinstance(below, ast.Expr) else ""
            return f": {text.splitlines()[0]}" if text else ""
    return ""


@cache
def _homes(package: str) -> dict[str, str]:
    """Return the public names of a package with the full names of what they stand for."""
    tree = ast.parse((SOURCE / package / "__init__.pyi").read_text())
    at = ".".join(["kinbits", *([package] if package else [])])
    return {
        alias.asname or alias.name: f"{at}.{node.module}.{alias.name}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }


def with_reference(text: str, name: str) -> str:
    """Return the page of a method with the docstring of its class at the end: all parameters, and their defaults."""
    home = _methods().get(name)
    options = "    options: {heading_level: 3, members: false, show_bases: false}"
    return f"{text.rstrip()}\n\n## In Python\n\n::: {home}\n{options}\n" if home else text


@cache
def _methods() -> dict[str, str]:
    """Return the full names of the classes of all registered methods."""
    found = {}
    for path in sorted((SOURCE / "methods").rglob("*.py")):
        module = ".".join(["kinbits", *path.relative_to(SOURCE).with_suffix("").parts])
        for name, kind in _REGISTERED.findall(path.read_text()):
            found[name] = f"{module}.{kind}"
    return found


def error_page() -> Pages:
    """Return the page of the errors and of the exit codes."""
    from kinbits.cli.app import EPILOG

    kinds = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.KinbitsError)]
    rows = [
        f"| `{one.__name__}` | {', '.join(f'`{base.__name__}`' for base in one.__bases__)} | {one.exit_code} "
        f"| {(one.__doc__ or '').splitlines()[0]} |"
        for one in kinds
    ]
    codes = [f"| {code} | {meaning} |" for code, meaning in re.findall(r"^ *(\d+)  (.+)$", EPILOG, re.MULTILINE)]
    text = (
        "# Errors and exit codes\n\nEvery error that you can put right is a `kinbits.KinbitsError`. Its message "
        "says what was given, what is allowed, and what to do. The command line prints it as one line, "
        "and ends with the exit code of its class. `KINBITS_DEBUG=1` shows where it came from.\n\n"
        "## Errors in Python\n\n"
        "| class | also is a | exit code | raised if |\n| --- | --- | ---: | --- |\n" + "\n".join(rows) + "\n\n"
        "`BusyError` is in `kinbits.errors`, all others are in `kinbits`.\n\n## Exit codes\n\n"
        "| code | meaning |\n| ---: | --- |\n" + "\n".join(codes) + "\n"
    )
    return {"reference/errors.md": text}
