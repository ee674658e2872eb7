"""A writer that is killed at any instant loses at most the change it was at."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kinbits.index import Index

DIES_WHILE_WRITING = """
import os, signal, sys
import numpy as np
from kinbits.index import Index, IndexOptions
from kinbits.index.store import writer

path, fatal, change = sys.argv[1], int(sys.argv[2]), sys.argv[3]
index, steps = Index.open(path, options=IndexOptions(table_rows=100)), 0

def step():
    global steps
    steps += 1
    if steps == fatal:
        os.kill(os.getpid(), signal.SIGKILL)

def dying(function):
    def call(*arguments, **named):
        step()
        result = function(*arguments, **named)
        step()
        return result
    return call

def dying_append(self, block, whole=writer.Writer.append):
    half = len(block) // 2
    whole(self, block[:half])
    step()
    whole(self, block[half:])

writer.Writer.append, os.replace, os.fsync = dying_append, dying(os.replace), dying(os.fsync)
if change == "add":
    index.add(np.ones((100, 1), np.uint8), metadata={"n": list(range(100))})
elif change == "upsert":
    index.add(np.ones((9, 1), np.uint8), ids=list(range(9)), upsert=True)
elif change == "compact":
    index.compact()
elif change == "optimize":
    index.optimize()
else:
    index.delete(list(range(30)))
"""


def contents(index):
    return index.search(np.zeros(1, np.uint8), k=10**6).to_dicts()


@pytest.mark.parametrize("change", ["add", "upsert", "delete", "compact", "optimize"])
def test_killed_at_any_step_of_a_change_the_index_is_the_old_or_the_new_one(tmp_path, change):
    codes = (np.arange(1000) % 251).astype(np.uint8)[:, None]  # too large to be joined with what is added
    index = Index.create(tmp_path / "x", bits=8).add(codes, metadata={"n": list(range(1000))})
    index.delete([999])
    old, generation = contents(index), index.info()["generation"]
    for fatal in range(1, 60):
        done = subprocess.run(
            [sys.executable, "-c", DIES_WHILE_WRITING, tmp_path / "x", str(fatal), change], check=False
        )
        index = Index.open(tmp_path / "x")
        index.verify()
        if done.returncode != -signal.SIGKILL or index.info()["generation"] > generation:
            break
        assert contents(index) == old
    assert fatal >= 6  # at least: a file, its sync, the manifest, its sync, the folder, the swap
    assert (contents(index) == old) == (change in ("compact", "optimize"))
    index.add(np.zeros((1, 1), np.uint8))
    assert not list((tmp_path / "x").glob("*.new"))
    names = {path.name for path in (tmp_path / "x").iterdir()} - {"lock", "manifest.json"}
    assert names == {
        entry.name for entry in index._folder._parsed((tmp_path / "x" / "manifest.json").read_bytes()).files()
    }  # nothing of the dead is left


@pytest.mark.slow
def test_250_kills_at_random_instants_lose_no_change_that_was_acknowledged(tmp_path):
    script = Path(__file__).with_name("crash_loop.py")
    command = [sys.executable, script, tmp_path / "x", "7", "250"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[2]) >= 50  # changes that were acknowledged in between
