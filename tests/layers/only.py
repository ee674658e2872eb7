"""Run a script as if one layer of kinbits were installed alone: python only.py EXTRA SCRIPT.

EXTRA is an extra of pyproject.toml, or "base". Modules of all other distributions cannot be imported.
"""

import sys
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ALWAYS = {"kinbits", "pip", "setuptools"}


def requirements(name, extras):
    """Return what a distribution, or kinbits itself, requires with some extras."""
    if name == "kinbits":
        lines = [*PROJECT["dependencies"], *(one for e in extras for one in PROJECT["optional-dependencies"][e])]
    else:
        lines = requires(name) or []
    for line in lines:
        found = Requirement(line)
        if found.marker is None or any(found.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield canonicalize_name(found.name), frozenset(found.extras)


def closure(extra):
    """Return the names of all distributions that a layer installs."""
    seen, waiting = set(), [("kinbits", frozenset() if extra == "base" else frozenset([extra]))]
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen.add(one)
            waiting.extend(requirements(*one))
    return {name for name, _ in seen} | ALWAYS


class Filtered:
    """A finder that finds no module of a distribution outside the layer."""

    def __init__(self, finder, refused):
        self.finder, self.refused = finder, refused

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in self.refused else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)


def refuse_others(allowed):
    """Hide the modules of all distributions but these."""
    owners = packages_distributions()
    refused = {module for module, names in owners.items() if not allowed & set(map(canonicalize_name, names))}
    sys.meta_path[:] = [Filtered(finder, refused) for finder in sys.meta_path]


if __name__ == "__main__":
    refuse_others(closure(sys.argv[1]))
    exec(compile(sys.argv[2], "<script>", "exec"), {"__name__": "__main__"})
