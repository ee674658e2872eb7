"""Where the files of the repository are in the documentation site, and links to them.

A page of the site has the path of its file below ``docs``. Pages from elsewhere get a place of their own. Other files
that a page links to become downloads below ``source/``.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Callable
from pathlib import Path
from textwrap import indent

ROOT = Path(__file__).parents[1]
PROJECT = {
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
    "SECURITY.md": "project/security.md",
    "CODE_OF_CONDUCT.md": "project/conduct.md",
    "examples/README.md": "tutorials/examples.md",
}
"""Pages outside docs, and their places in the site."""
RESULTS = "benchmarks"
DOWNLOADS = "source"
_FENCED = re.compile(r"^( *)(`{3,}).*?^\1\2`*$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(?P<open>!?\[(?:[^\]\[]|\[[^\]]*\])*\]\()(?P<target>(?![a-z]+:)[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
_PAIR = re.compile(
    r"^\*\*Command line\*\*\n\n(?P<shell>```console\n.*?^```)\n\n"
    r"\*\*Python\*\*\n\n(?P<python>```python\n.*?^```(?:\n\n```text\n.*?^```)?)$",
    re.DOTALL | re.MULTILINE,
)
_COMMENT = re.compile(r"^[ ]*<!--.*?-->[ ]*$", re.DOTALL | re.MULTILINE)


def place_of(path: str) -> str:
    """Return the place in the site of a file of the repository; both are paths with slashes.

    A folder of the repository has none, but for ``results`` and folders of ``docs``, whose overview is their README.
    """
    if path in ("README.md", "docs"):
        return "README.md"
    if (ROOT / path).is_dir():
        path += "/README.md"
    if path in PROJECT:
        return PROJECT[path]
    for folder, place in (("docs/", ""), ("results/", f"{RESULTS}/")):
        if path.startswith(folder):
            return place + path.removeprefix(folder)
    return f"{DOWNLOADS}/{path}"


def adapt(text: str, source: str, page: str) -> str:
    """Return the text of a page as the site needs it.

    Links lead to places in the site, and comments are gone, which would join a table to the paragraph above.

    Args:
        text: Markdown.
        source: The path of its file in the repository.
        page: The place of the page in the site.
    """
    return outside_fences(text, lambda part: _LINK.sub(lambda link: _moved(link, source, page), _COMMENT.sub("", part)))


def with_tabs(text: str) -> str:
    """Return a page in which commands and the Python below them are tabs, which a plain reader of markdown lacks."""
    return _PAIR.sub(lambda pair: _tab("Command line", pair["shell"]) + "\n\n" + _tab("Python", pair["python"]), text)


def _tab(title: str, block: str) -> str:
    return f'=== "{title}"\n\n{indent(block, "    ")}'


def links(text: str, source: str) -> list[str]:
    """Return the paths in the repository of the files that a page links to."""
    found: list[str] = []

    def read(part: str) -> str:
        found.extend(_path(one, source) for one in _LINK.finditer(part))
        return part

    outside_fences(text, read)
    return found


def outside_fences(text: str, change: Callable[[str], str]) -> str:
    """Change the parts of a page that are not code in fences."""
    done, at = [], 0
    for fence in _FENCED.finditer(text):
        done += [change(text[at : fence.start()]), fence[0]]
        at = fence.end()
    return "".join([*done, change(text[at:])])


def _path(link: re.Match[str], source: str) -> str:
    return os.path.normpath(os.path.join(os.path.dirname(source), link["target"]))


def _moved(link: re.Match[str], source: str, page: str) -> str:
    path = _path(link, source)
    if path.startswith("docs/") and source.startswith("docs/") and not (ROOT / path).is_dir():
        return link[0]
    target = os.path.relpath(place_of(path), os.path.dirname(page) or ".")
    return f"{link['open']}{target}{link['anchor'] or ''})"
