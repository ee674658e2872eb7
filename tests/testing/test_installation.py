"""What is missing of an installation is named with the command that brings it."""

from importlib.metadata import PackageNotFoundError

import pytest

from kinbits.testing import check_installation, installation


@pytest.fixture
def found(monkeypatch, tmp_path):
    """Findings on a machine that has only some packages."""
    monkeypatch.setenv("KINBITS_CACHE", str(tmp_path))
    monkeypatch.setenv("KINBITS_DATA", str(tmp_path))

    def look(*missing):
        def version(name):
            if name in missing:
                raise PackageNotFoundError(name)
            return "1.0"

        lines = [
            "numpy>=1",
            "xxhash",
            'torch>=2; extra == "train"',
            "kinbits[train]; extra == 'hf'",
            "x; extra == 'hf'",
        ]
        monkeypatch.setattr(installation, "requires", lambda name: lines)
        monkeypatch.setattr(installation, "version", version)
        return {one.what: one for one in check_installation()}

    return look


def test_a_whole_installation_has_no_fault(found):
    findings = found()
    assert findings["packages"].found == "all 2 required packages are installed"
    assert {findings[name].state for name in ("packages", "extra train", "extra hf", "native kernel")} == {"ok"}


def test_a_missing_extra_is_no_fault(found):
    findings = found("torch")
    assert findings["extra train"].state == "optional"
    assert findings["extra train"].found == "missing: torch; run: pip install 'kinbits[train]'"
    assert findings["packages"].state == "ok"


def test_a_missing_package_of_the_base_is_a_fault(found):
    packages = found("xxhash")["packages"]
    assert (packages.state, packages.found) == ("fault", "missing: xxhash; run: pip install kinbits")


def test_a_check_that_breaks_is_a_fault_of_its_own(found, monkeypatch):
    monkeypatch.setattr(installation.os, "cpu_count", lambda: 1 / 0)
    threads = found()["threads"]
    assert (threads.state, threads.found) == ("fault", "ZeroDivisionError: division by zero")
