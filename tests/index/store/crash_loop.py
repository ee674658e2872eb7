"""Kill a writer again and again: run as ``python crash_loop.py INDEX SEED KILLS``; fails where an item is lost.

Every round forks a writer that changes the index without end, and tells after each change; it is killed after
a random time. The index must then hold exactly what was told, or that and the change in flight.
"""

import os
import signal
import sys
import time
from itertools import count

import numpy as np

from kinbits.index import Index, IndexOptions

KINDS = ("add", "delete", "compact", "upsert", "merge", "optimize")
ROWS = 20
OPTIONS = IndexOptions(table_rows=20)


class Model:
    """What the index should hold: id to (bits set in its code, metadata); and the changes of one round."""

    def __init__(self, items=None, next_id=0):
        self.items, self.next_id = dict(items or {}), next_id

    def changed(self, kind, rng):
        """Choose a change of some kind; return it as a call on an index, and the model after it."""
        new = Model(self.items, self.next_id)
        codes = rng.integers(0, 256, (ROWS, 1), dtype=np.uint8)
        tags = rng.integers(0, 10**6, ROWS)
        weights = np.unpackbits(codes, axis=1).sum(axis=1).tolist()
        chosen = rng.permutation(sorted(self.items))[: max(1, len(self.items) // 5)]
        if kind == "delete" and self.items:
            for id_ in chosen.tolist():
                del new.items[id_]
            return (lambda index: index.delete(chosen)), new
        if kind == "compact":
            return (lambda index: index.compact()), new
        if kind == "optimize":
            return (lambda index: index.optimize()), new
        ids = np.arange(new.next_id, new.next_id + ROWS)
        if kind == "upsert" and len(chosen) >= ROWS:
            ids = chosen[:ROWS]
        new.items.update(zip(ids.tolist(), zip(weights, tags.tolist(), strict=True), strict=True))
        new.next_id = max(self.next_id, max(ids.tolist()) + 1)
        if kind == "merge":
            other = Index.create(bits=8).add(codes, ids=ids, metadata={"tag": tags})
            return (lambda index: index.merge(other)), new
        return (lambda index: index.add(codes, ids=ids, metadata={"tag": tags}, upsert=True)), new

    def changes(self, kind, seed):
        """Yield without end: changes of the kind in turn with additions."""
        model, rng = self, np.random.default_rng(seed)
        for number in count():
            call, model = model.changed("add" if number % 2 else kind, rng)
            yield call, model


def write_until_killed(path, model, kind, seed, pipe):
    index = Index.open(path, options=OPTIONS)
    os.write(pipe, b"o")  # opened
    for call, _ in model.changes(kind, seed):
        call(index)
        os.write(pipe, b"+")


def killed_writer(path, model, kind, seed, delay):
    """Return how many changes a writer acknowledged before it was killed."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            write_until_killed(path, model, kind, seed, writes)
        finally:
            os._exit(3)
    os.close(writes)
    with open(reads, "rb", buffering=0) as pipe:
        opened = pipe.read(1)
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        acknowledged = len(pipe.read())
    _, status = os.waitpid(child, 0)
    assert (opened, os.WTERMSIG(status)) == (b"o", signal.SIGKILL), f"the writer failed by itself: {status}"
    return acknowledged


def contents(path):
    index = Index.open(path)
    index.verify()
    hits = index.search(np.zeros(1, np.uint8), k=10**6)
    return {hit["id"]: (hit["distance"], hit["tag"]) for hit in hits}


def main():
    path, seed, kills = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    model, rng, caught, longest = Model(), np.random.default_rng(seed), 0, 0.02
    Index.create(path, bits=8)
    for kill in range(kills):
        kind = KINDS[kill % len(KINDS)]
        acknowledged = killed_writer(path, model, kind, [seed, kill], float(rng.random()) * longest)
        states = [model]
        for (_, after), _ in zip(model.changes(kind, [seed, kill]), range(acknowledged + 1), strict=False):
            states.append(after)
        found = contents(path)
        assert found in (states[-2].items, states[-1].items), f"kill {kill} during {kind}: lost or made up items"
        model = states[-1] if found == states[-1].items else states[-2]
        caught += acknowledged
        longest *= 0.8 if acknowledged else 1.2  # seconds: so that about half the writers get something done
        if len(model.items) > 2000:  # small enough to be quick
            Index.open(path).delete(sorted(model.items)[500:])
            model = Model({id_: model.items[id_] for id_ in sorted(model.items)[:500]}, model.next_id)
    print(f"{kills} kills, {caught} changes acknowledged")


if __name__ == "__main__":
    main()
