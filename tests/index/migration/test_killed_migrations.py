"""A migration that is killed at any time is completed by the next run, and the old index answers throughout."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import kinbits
from kinbits.data import open_dataset
from kinbits.index import Index

ITEMS = 100_000 if os.environ.get("KINBITS_EXHAUSTIVE") else 80_000
KILLS = 3


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    place = tmp_path_factory.mktemp("vectors")
    vectors = np.random.default_rng(0).normal(size=(ITEMS, 16)).astype(np.float32)
    np.save(place / "vectors.npy", vectors)
    for name, bits in (("old", 64), ("new", 32)):
        kinbits.fit(vectors[:500], method="lsh", bits=bits, progress=False).save_pretrained(place / name)
    return place


def command(data):
    run = [sys.executable, "-m", "kinbits", "index", "migrate", data / "index", "--model", data / "new"]
    return [*run, "--data", data / "vectors.npy"]


def encoded(data):
    try:
        return len(Index.open(data / "index.migration" / "after"))
    except kinbits.KinbitsError:
        return 0


def test_three_kills_lose_nothing_and_the_old_index_answers(data):
    vectors = open_dataset(data / "vectors.npy")
    index = Index.create(data / "index", vectors, model=data / "old")
    codes = index.to_codes([], ids=[5]).codes
    known, counts = index.search(codes, k=10).to_dicts(), []
    for _ in range(KILLS):
        before, run = encoded(data), subprocess.Popen(command(data), stderr=subprocess.DEVNULL)
        while encoded(data) <= before and run.poll() is None:
            assert index.search(codes, k=10).to_dicts() == known
            time.sleep(0.01)
        assert run.poll() is None, "it ended before it could be killed"
        assert index.refresh().search(codes, k=10).to_dicts() == known
        run.send_signal(signal.SIGKILL)
        run.wait()
        counts.append(encoded(data))
        assert Index.open(data / "index").bits == 64
    assert counts == sorted(set(counts)), counts
    assert counts[-1] < ITEMS
    last = subprocess.run(command(data), capture_output=True, text=True, timeout=250)
    assert last.returncode == 0, last.stderr
    now = Index.open(data / "index")
    now.verify()
    model = kinbits.HashModel.from_pretrained(data / "new")
    stored = now.to_codes([])
    assert np.array_equal(stored.codes[np.argsort(stored.ids)], model.encode(vectors))
    assert index.search(codes, k=10).to_dicts() == known  # a reader that has not asked anew
