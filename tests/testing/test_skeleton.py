"""New methods: files side by side, or in their places in a checkout; what is written works and keeps the rules."""

import importlib.util
import os
from pathlib import Path

import pytest
from test_docs import page_faults

from kinbits import PlatformError, UsageError
from kinbits.testing import new_method


@pytest.fixture
def checkout(tmp_path):
    for place in ("src/kinbits/methods", "tests/methods", "docs/methods"):
        (tmp_path / place).mkdir(parents=True)
    return tmp_path


def test_files_lie_side_by_side_and_the_test_passes(tmp_path):
    made = new_method("side-idea", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["side-idea.md", "side_idea.py", "test_side_idea.py"]
    assert (made.argument, made.checkout) == (str(tmp_path / "side_idea.py"), False)
    spec = importlib.util.spec_from_file_location("test_side_idea", made.test)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tests = [value for name, value in vars(module).items() if name.startswith("test_")]
    assert len(tests) == 3
    for test in tests:
        test()


def test_in_a_checkout_files_go_to_their_places(checkout, monkeypatch):
    monkeypatch.chdir(checkout / "docs")
    made = new_method("checkout-idea")
    assert made.argument == "checkout-idea"
    assert [str(path) for path in (made.method, made.test, made.page)] == [
        "../src/kinbits/methods/checkout_idea.py",
        "../tests/methods/test_checkout_idea.py",
        "methods/checkout-idea.md",
    ]
    assert 'METHOD = "checkout-idea"' in made.test.read_text()


def test_the_page_keeps_the_rules_of_pages_but_for_what_is_to_be_written(checkout):
    made = new_method("checkout-idea", checkout)
    faults = page_faults("checkout-idea", made.page.read_text(), {"quantization"})
    assert len(faults) == 5
    assert all(fault.startswith("not written yet: ") for fault in faults)
    assert made.method.read_text().count("TODO") == 4
    assert "`tests/methods/test_checkout_idea.py`" in made.page.read_text()


@pytest.mark.parametrize("name", ["orthohash", "My Loss", "9lives", ""])
def test_bad_names_and_those_of_methods_are_refused(name, tmp_path):
    with pytest.raises(UsageError):
        new_method(name, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["an_idea.py", "test_an_idea.py", "an-idea.md"])
def test_no_file_is_overwritten_and_none_is_left_alone(name, tmp_path):
    (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError, match="exists and is not overwritten"):
        new_method("an-idea", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_where_a_file_cannot_be_written_none_is_left(checkout, monkeypatch):
    write = Path.open
    full = OSError(28, os.strerror(28))

    def opened(path, *args, **options):
        if path.suffix == ".md":
            raise full
        return write(path, *args, **options)

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(PlatformError, match=r"cannot write .*checkout-idea\.md"):
        new_method("checkout-idea", checkout)
    assert not [path for path in checkout.rglob("*") if path.is_file()]
