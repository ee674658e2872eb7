"""What made a number: the commit of the code, and the memory that it took."""

import os
import subprocess

import numpy as np
import pytest

from kinbits.bench import origin
from kinbits.bench.memory import forget_peak, peak_memory


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A repository with code, a script, results and documents; returns a function that asks for the commit."""

    def git(*words):
        subprocess.run(["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True)

    def commit():
        origin.provenance.cache_clear()
        return origin.provenance()["commit"]

    for name in ("src/kinbits/module.py", "csrc/a.cpp", "experiments/a.py", "results/a.csv", "docs/a.md", "tests/a.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    (tmp_path / ".gitignore").write_text("installed")
    monkeypatch.setattr(origin, "HERE", tmp_path / "src" / "kinbits")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    yield commit
    origin.provenance.cache_clear()


@pytest.mark.parametrize("name", ["src/kinbits/module.py", "csrc/a.cpp", "experiments/a.py", "src/kinbits/new.py"])
def test_a_commit_is_marked_where_code_differs(project, tmp_path, name):
    clean = project()
    assert len(clean) >= 7
    (tmp_path / name).write_text("2")
    assert project() == f"{clean}-dirty"


@pytest.mark.parametrize("name", ["results/a.csv", "results/new.csv", "docs/a.md", "tests/a.py", "README.md"])
def test_a_commit_is_clean_where_results_and_documents_grow(project, tmp_path, name):
    clean = project()
    (tmp_path / name).write_text("2")
    assert project() == clean
    assert not clean.endswith("-dirty")


def test_an_installed_package_has_no_commit_also_inside_another_project(project, tmp_path, monkeypatch):
    inside = tmp_path / "installed" / "kinbits"
    inside.mkdir(parents=True)
    (inside / "module.py").write_text("1")
    monkeypatch.setattr(origin, "HERE", inside)
    assert project() == "unknown"
    monkeypatch.setattr(origin, "HERE", tmp_path / "src" / "kinbits")
    monkeypatch.setenv("PATH", str(inside))
    assert project() == "unknown"  # no git


def test_memory_is_measured_for_each_run_anew():
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("the system does not let a process forget its peak")
    big = np.ones(30_000_000)
    del big
    high = peak_memory()
    forget_peak()
    assert peak_memory() < high
