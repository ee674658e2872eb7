"""Every example in a docstring runs, and prints what it states."""

import doctest
import importlib
from pathlib import Path

import numpy as np
import pytest

import kinbits

SOURCE = Path(kinbits.__file__).parent
FILES = [path for path in sorted(SOURCE.rglob("*.py")) if ">>> " in path.read_text()]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def name(path):
    return str(path.relative_to(SOURCE))


def test_there_are_examples():
    assert len(FILES) > 30


@pytest.mark.parametrize("path", FILES, ids=name)
def test_the_examples_of_a_file_print_what_they_state(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KINBITS_CACHE", str(tmp_path / "cache"))
    module = importlib.import_module(".".join(["kinbits", *path.relative_to(SOURCE).with_suffix("").parts]))
    report = []
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for example in doctest.DocTestFinder(exclude_empty=True).find(module, globs={**vars(module), "np": np}):
        runner.run(example, out=report.append, clear_globs=False)
    assert runner.tries == path.read_text().count(">>> "), "doctest does not find all examples"
    assert runner.failures == 0, "".join(report)
