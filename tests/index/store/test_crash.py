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

path, fatal, change, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
vectors = lambda n: {"vectors": np.ones((n, 3))} if kind == "product" else {}
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
    index.add(np.ones((100, 1), np.uint8), metadata={"n": list(range(100))}, **vectors(100))
elif change == "upsert":
    index.add(np.ones((9, 1), np.uint8), ids=list(range(9)), upsert=True, **vectors(9))
elif change == "compact":
    index.compact()
elif change == "optimize":
    index.optimize()
else:
    index.delete(list(range(30)))
"""


def contents(index):
    """Return all items; of an index of product codes with kept vectors, in the order of those."""
    if index.words == 2:
        return index.search(np.zeros(1, np.uint8), k=10**6).to_dicts()
    tables = np.zeros((1, 2, 16), np.float32)
    return index.search(tables, k=10**5, rescore=1, vectors=np.ones((1, 3)))[0].to_dicts()


def options(kind):
    return {"words": 16, "keep": "int8", "metric": "euclidean"} if kind == "product" else {}


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        *((change, "bits") for change in ("add", "upsert", "delete", "compact", "optimize")),
        *((change, "product") for change in ("add", "upsert", "compact")),
    ],
)
def test_killed_at_any_step_of_a_change_the_index_is_the_old_or_the_new_one(tmp_path, change, kind):
    codes = (np.arange(1000) % 251).astype(np.uint8)[:, None]  # too large to be joined with what is added
    vectors = {} if kind == "bits" else {"vectors": np.random.default_rng(0).normal(size=(1000, 3))}
    index = Index.create(tmp_path / "x", bits=8, **options(kind))
    index.add(codes, metadata={"n": list(range(1000))}, **vectors)
    index.delete([999])
    old, generation = contents(index), index.info()["generation"]
    for fatal in range(1, 60):
        done = subprocess.run(
            [sys.executable, "-c", DIES_WHILE_WRITING, tmp_path / "x", str(fatal), change, kind], check=False
        )
        index = Index.open(tmp_path / "x")
        index.verify()
        if done.returncode != -signal.SIGKILL or index.info()["generation"] > generation:
            break
        assert contents(index) == old
    assert fatal >= 6  # at least: a file, its sync, the manifest, its sync, the folder, the swap
    assert (contents(index) == old) == (change in ("compact", "optimize"))
    index.add(np.zeros((1, 1), np.uint8), **({} if kind == "bits" else {"vectors": np.ones((1, 3))}))
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
