"""Old names work for one minor version, and warn with the new name and the version of their removal."""

import ast
import sys
import types
import warnings
from functools import partial
from pathlib import Path

import pytest
from packaging.version import Version

import kinbits
from kinbits import UsageError
from kinbits._util import old_arguments, with_old_names

SOURCE = Path(kinbits.__file__).parent


@pytest.fixture
def package(monkeypatch):
    """A package of one name, of which an older version had another."""
    made = types.ModuleType("shelf")
    names = types.SimpleNamespace(Index=7)
    made.__getattr__ = with_old_names(partial(getattr, names), "shelf", {"Store": "Index"}, removal="0.3.0")
    monkeypatch.setitem(sys.modules, "shelf", made)
    return made


def test_an_old_name_of_a_package_works_and_the_warning_names_the_users_line(package):
    with pytest.warns(DeprecationWarning, match=r"shelf\.Store is .* removed in 0\.3\.0; use shelf\.Index$") as told:
        from shelf import Store
    assert Store == 7
    assert told[0].filename == __file__
    assert package.Index == 7


def test_a_new_name_and_an_unknown_one_are_those_of_the_package(package):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert package.Index == 7
        with pytest.raises(AttributeError):
            package.Other  # noqa: B018


@old_arguments(removal="0.3.0", count="k", where="filter")
def nearest(query, *, k=1, filter=None):
    """Return what it was given."""
    return query, k, filter


def test_an_old_argument_works_and_the_warning_names_the_users_line():
    with pytest.warns(DeprecationWarning, match=r"nearest\(count=\) is .* removed in 0\.3\.0; use k=$") as told:
        assert nearest("q", count=5) == ("q", 5, None)
    assert told[0].filename == __file__
    assert nearest("q", k=2, filter="x") == ("q", 2, "x")
    assert nearest.__doc__ == "Return what it was given."


def test_both_names_at_once_are_refused():
    with pytest.raises(UsageError, match=r"nearest: count= is the old name of k=; give only k="):
        nearest("q", count=5, k=2)


def test_in_this_suite_such_a_warning_is_an_error():
    with pytest.raises(DeprecationWarning, match="kinbits: nearest"):
        nearest("q", count=5)


def removals():
    """Yield where the library calls a function of old names, and the version it gives."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())) if path.name != "deprecated.py" else ():
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("with_old_names", "old_arguments"):
                given = {word.arg: word.value for word in node.keywords}
                yield f"{path.name}:{node.lineno}", ast.literal_eval(given["removal"])


def test_no_old_name_is_overdue():
    overdue = {place for place, removal in removals() if Version(kinbits.__version__) >= Version(removal)}
    assert not overdue, f"remove these old names now: {overdue}"
