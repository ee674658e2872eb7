"""Threads share an index; a forked child may search with its parent's."""

import asyncio
import multiprocessing
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from kinbits.index import Index

FORK = multiprocessing.get_context("fork")
ITEMS = 400


def filled(path=None, items=ITEMS):
    codes = (np.arange(items) % 251).astype(np.uint8)[:, None]
    return Index.create(path, bits=8).add(codes, metadata={"n": list(range(items)), "t": ["x"] * items})


def looked_up(index):
    """What uses every part of an index: codes, ids, metadata, filters."""
    hits = index.search(np.zeros(1, np.uint8), k=20, where="n<300")
    return hits.to_dicts(), hits.codes.tolist()


@pytest.mark.parametrize("place", ["memory", "folder"])
def test_threads_that_add_to_one_index_lose_nothing(tmp_path, place):
    index = Index.create(tmp_path / "x" if place == "folder" else None, bits=8)

    def work(number):
        for turn in range(5):
            ids = np.arange(4) + 4 * (turn + 5 * number)
            index.add(np.full((4, 1), number, np.uint8), ids=ids, metadata={"n": ids})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len(index) == 8 * 5 * 4
    assert sorted(index.search(np.zeros(1, np.uint8), k=1000).ids.tolist()) == list(range(160))
    index.verify()


def test_threads_search_while_others_change(tmp_path):
    index = filled(tmp_path / "x")
    expected = looked_up(index)
    stop = threading.Event()

    def change():
        while not stop.is_set():
            index.add(np.full((1, 1), 255, np.uint8), ids=[10**6], metadata={"n": [10**6]}, upsert=True)
            index.delete([10**6])

    with ThreadPoolExecutor(4) as pool:
        changing = pool.submit(change)
        try:
            found = list(pool.map(lambda _: looked_up(index), range(30)))
        finally:
            stop.set()  # else the pool would wait for ever
        changing.result()
    assert found == [expected] * 30


def test_an_event_loop_may_search_in_threads():
    index = filled()

    async def ask():
        return await asyncio.gather(*(asyncio.to_thread(looked_up, index) for _ in range(5)))

    assert asyncio.run(ask()) == [looked_up(index)] * 5


def child(index, expected, results):
    results.put(looked_up(index) == expected)


def spawned(index, expected, results):
    results.put(looked_up(index) == expected)


@pytest.mark.parametrize("place", ["memory", "folder"])
def test_a_child_that_is_forked_while_threads_search_goes_on(tmp_path, place):
    index = filled(tmp_path / "x" if place == "folder" else None)
    expected, stop = looked_up(index), threading.Event()

    def search():
        while not stop.is_set():
            looked_up(index)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(8):
            results = FORK.SimpleQueue()
            process = FORK.Process(target=child, args=(index, expected, results))
            process.start()
            process.join(20)
            alive = process.is_alive()
            if alive:
                process.kill()
            assert not alive
            assert results.get() is True
    finally:
        stop.set()
        for thread in threads:
            thread.join()


USES_ALL = """
import pickle, sys, tempfile
import numpy as np
from kinbits.index import Index
known = set(sys.modules)
with tempfile.TemporaryDirectory() as folder:
    codes = np.arange(20, dtype=np.uint8)[:, None]
    index = Index.create(folder + "/x", bits=8)
    index.add(codes, ids=[f"i{n}" for n in range(20)], metadata={"n": list(range(20)), "t": ["a"] * 20})
    hits = index.search(codes[:2], k=3, where="n >= 1 and not t in (b, c)")[0]
    hits.rows, hits.codes, repr(hits), pickle.dumps(hits), pickle.loads(pickle.dumps(index))
    list(index.pairs(1)), index.count({"n": {"in": [1, 2]}}), index.search(codes[0], radius=2), index.explain()
    index.update(["i3"], {"t": ["c"]}).delete(["i4"]).delete(where="n=5").compact().optimize().refresh().verify()
    index.save(folder + "/y")
    Index.open(folder + "/y").merge(index, upsert=True)
print(sorted(set(sys.modules) - known))
"""


def test_an_index_loads_no_module_after_its_import():
    """A child that is forked meanwhile would wait for the module for ever: the lock on it belongs to a lost thread."""
    done = subprocess.run([sys.executable, "-c", USES_ALL], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_a_child_that_is_forked_during_a_write_keeps_no_lock(tmp_path, monkeypatch):
    index = filled(tmp_path / "x")
    leave, children = os.pipe()[0], []
    commit = type(index._folder).commit

    def late(self, state):
        pid = os.fork()
        if not pid:
            os.read(leave, 1)  # until it is ended
            os._exit(0)
        children.append(pid)
        return commit(self, state)

    monkeypatch.setattr(type(index._folder), "commit", late)
    try:
        index.delete([0])
        monkeypatch.undo()
        assert len(Index.open(tmp_path / "x").delete([1])) == ITEMS - 2
    finally:
        for pid in children:
            os.kill(pid, 9)
            os.waitpid(pid, 0)


def test_a_child_may_change_the_index_of_its_parent(tmp_path):
    index = filled(tmp_path / "x")

    def work(results):
        results.put(len(index.delete([0])))

    results = FORK.SimpleQueue()
    process = FORK.Process(target=work, args=(results,))
    with index._changing:  # held by a thread of the parent, of which the child has none
        process.start()
    process.join(20)
    assert results.get() == len(index.refresh()) == ITEMS - 1


def test_a_spawned_process_gets_the_index(tmp_path):
    for index in (filled(tmp_path / "x"), filled()):
        context = multiprocessing.get_context("spawn")
        results = context.SimpleQueue()
        process = context.Process(target=spawned, args=(index, looked_up(index), results))
        process.start()
        process.join(60)
        assert results.get() is True


MANY_SEGMENTS = """
import resource, sys
import numpy as np
from kinbits.index import Index, IndexOptions

index = Index.create(sys.argv[1], bits=64, options=IndexOptions(merge_rows=0))  # a segment for every addition
for number in range(120):
    rows = 9000 if number < 20 else 20  # some are mapped
    index.add(np.zeros((rows, 8), np.uint8), metadata={"n": [number] * rows})
resource.setrlimit(resource.RLIMIT_NOFILE, (90, 90))
index = Index.open(sys.argv[1])
print(index.info()["segments"], index.search(np.zeros(8, np.uint8), k=400_000, where="n>=118").rows)
"""


def test_more_segments_than_files_may_be_open(tmp_path):
    program = [sys.executable, "-c", MANY_SEGMENTS, str(tmp_path / "x")]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split(" ", 1) == ["120", f"{[{'n': n} for n in (118, 119) for _ in range(20)]}\n"]
