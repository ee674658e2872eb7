"""What made a number: the commit of the code, and the memory that it took."""

import os
import subprocess

import numpy as np
import pytest

from kinbits.bench import origin
from kinbits.bench.memory import forget_peak, peak_memory


def test_a_commit_is_marked_where_code_differs_and_not_where_results_grow(tmp_path, monkeypatch):
    def git(*words):
        subprocess.run(["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True)

    def commit():
        origin.provenance.cache_clear()
        return origin.provenance()["commit"]

    code, results = tmp_path / "src" / "module.py", tmp_path / "results" / "table.csv"
    for path in (code, results):
        path.parent.mkdir()
        path.write_text("1")
    monkeypatch.setattr(origin, "HERE", code.parent)
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    clean = commit()
    assert len(clean) >= 7
    results.write_text("2")
    assert commit() == clean
    code.write_text("2")
    assert commit() == f"{clean}-dirty"
    origin.provenance.cache_clear()


def test_memory_is_measured_for_each_run_anew():
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("the system does not let a process forget its peak")
    big = np.ones(30_000_000)
    del big
    high = peak_memory()
    forget_peak()
    assert peak_memory() < high
