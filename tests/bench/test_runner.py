"""What is left of an experiment is run, whatever fails on the way."""

import os
import subprocess
import sys

import pytest

from kinbits.bench import Experiment, bench, runner


def made(given):
    return Experiment.from_dict(given)


def test_what_is_done_is_not_done_again(small, tmp_path, monkeypatch):
    small |= {"methods": ["orthohash"], "baselines": False}
    path = tmp_path / "x.csv"
    bench(made(small), path)
    before = path.read_text()
    monkeypatch.setattr(runner, "measure", lambda trial: pytest.fail(f"{trial} was made again"))
    bench(made(small), path)
    assert path.read_text() == before


def test_a_fault_in_a_method_does_not_stop_the_others(small, tmp_path, monkeypatch):
    def broken(trial):
        raise ZeroDivisionError("no such luck")

    monkeypatch.setattr(runner, "measure", broken)
    small |= {"methods": ["lsh"], "baselines": False, "bits": [8], "seeds": [0]}
    ran = bench(made(small), tmp_path / "x.csv")
    results, failures = ran.results, ran.failures
    assert len(results) == 0
    assert failures[0].reason == "ZeroDivisionError: no such luck"


PARENT = """
import multiprocessing, os, sys, threading
from kinbits.bench.runner import end_with_parent

if __name__ == "__main__":
    worker = multiprocessing.get_context("spawn").Process(target=end_with_parent)
    worker.start()
    print(worker.pid, flush=True)
    sys.stdin.read(1)
    os.kill(os.getpid(), 9)
"""


@pytest.mark.slow
def test_a_worker_ends_when_its_parent_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as parent:
        worker = int(parent.stdout.readline())
        try:
            parent.communicate("x", timeout=30)  # returns when the worker, which has the same output, has ended
        except subprocess.TimeoutExpired:
            os.kill(worker, 9)
            raise
    assert parent.returncode == -9
