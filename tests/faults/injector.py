"""Make every call of the file system fail, one after another, and look at what is left.

Run as ``python tests/faults/injector.py [--every N] [OPERATION ...]``: prints a table of operations. Every
operation starts from a copy of one small index or model, with the fault at its first, second, ... call until it ends
without meeting it. Then the index must open, pass `verify`, and hold what it held before or what it was to hold; the
call must have raised an error of kinbits or done what it promises.
"""

import argparse
import ctypes
import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np

from kinbits import KinbitsError
from kinbits.hamming import code_width
from kinbits.index import Index, IndexOptions, migrate
from kinbits.model import HashModel

FAULTS = {
    "EIO": (errno.EIO, 0),
    "ENOSPC": (errno.ENOSPC, 0),
    "EACCES": (errno.EACCES, 0),
    "EMFILE": (errno.EMFILE, 0),
    "short": (0, 1),
    "kill": (0, 2),
}
MODELS = []  # the one that lies beside the index, and the one that replaces it
OUTCOMES = ("right", "refused", "changed, and said so", "other error", "wrong answer", "destroyed")
ROWS, LARGE = 40, 10_000
VECTORS = np.random.default_rng(1).normal(size=(LARGE + ROWS, 8)).astype(np.float32)  # of the items
OPTIONS = IndexOptions(merge_rows=10_000, table_rows=20)


def build_shim(folder):
    """Compile the library that makes calls fail."""
    target = Path(folder) / "shim.so"
    source = Path(__file__).with_name("shim.c")
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-w", str(source), "-o", str(target), "-ldl"], check=True)
    return target


def base_index(path):
    """An index with two segments, of which one is mapped; deletions, metadata, tables."""
    rng = np.random.default_rng(0)
    index = Index.create(path, bits=64, options=OPTIONS)
    for rows in (LARGE, ROWS):
        codes = rng.integers(0, 256, (rows, 8), dtype=np.uint8)
        index.add(codes, metadata={"n": list(range(rows)), "t": [f"item {row}" for row in range(rows)]})
    index.delete([1, 2, LARGE + 3])


def base_model(folder):
    """A model beside the index, one to replace it with, and a file of codes."""
    import kinbits
    from kinbits.cli import main

    vectors = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    MODELS[:] = [kinbits.fit(vectors * scale, method="itq", bits=8, progress=False) for scale in (1, [1] * 4 + [9] * 4)]
    MODELS[0].save_pretrained(folder / "model")
    np.save(folder / "vectors.npy", vectors)
    model, data, codes = (str(folder / name) for name in ("model", "vectors.npy", "codes.parquet"))
    with redirect_stdout(io.StringIO()):
        assert main(["--quiet", "encode", model, data, "-o", codes]) == 0


def added(index, upsert=False):
    ids = np.arange(LARGE, LARGE + ROWS) if upsert else None
    return index.add(np.ones((ROWS, 8), np.uint8), ids, metadata={"n": list(range(ROWS))}, upsert=upsert)


def other_index():
    codes = np.full((ROWS, 8), 7, np.uint8)
    return Index.create(bits=64).add(codes, ids=np.arange(10**6, 10**6 + ROWS), metadata={"t": ["other"] * ROWS})


def made_from_codes(index):
    """What the command line does: build aside, with a link to the model, and move into place."""
    from kinbits.cli import main

    path = index._folder.path
    arguments = ["--quiet", "index", "create", str(path.with_name("fresh")), str(path.with_name("codes.parquet"))]
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as said:
        code = main(arguments)
    if code:
        raise (RuntimeError if code == 1 else KinbitsError)(said.getvalue())


def save_model(index):
    """Replace the model that lies beside the index."""
    MODELS[1].save_pretrained(index._folder.path.with_name("model"))


def migrated(index):
    """The last part of a migration, whose items are encoded already."""
    migrate(index._folder.path, MODELS[0], VECTORS, batch_size=LARGE)


OPERATIONS = {
    "add": added,
    "upsert": lambda index: added(index, upsert=True),
    "update": lambda index: index.update([3, 4], {"t": ["new", None]}),
    "delete": lambda index: index.delete(list(range(5, 30))),
    "delete where": lambda index: index.delete(where="n<20"),
    "merge": lambda index: index.merge(other_index()),
    "compact": lambda index: index.compact(),
    "optimize": lambda index: index.optimize(),
    "save": lambda index: index.save(index._folder.path.with_name("copy")),
    "create": lambda index: Index.create(index._folder.path.with_name("fresh"), bits=8),
    "create by command": made_from_codes,
    "model save": save_model,
    "migrate": migrated,
    "search": lambda index: index.search(np.zeros(8, np.uint8), k=5, where="n<100").rows,
    "open": lambda index: Index.open(index._folder.path),
}


SLOW = {"migrate": 6}  # of a sample of its calls, so many times fewer


def contents(index):
    """What an index holds, comparable: all ids and codes, and metadata of whatever may have changed, and of some."""
    hits = index.search(np.zeros(code_width(index.bits), np.uint8), k=10**6)
    looked_at = np.flatnonzero((hits.ids < 50) | (hits.ids >= LARGE) | (hits.ids % 100 == 0))
    told = [{name: value for name, value in row.items() if value is not None} for row in hits.take(looked_at).rows]
    return hits.ids.tobytes(), hits.codes.tobytes(), json.dumps(told)


class Injector:
    """Runs one operation with one kind of fault at each of its calls."""

    def __init__(self, shim, folder):
        self.shim, self.folder = shim, Path(folder)
        self.base, self.work = self.folder / "base", self.folder / "work"
        self.before = None

    def reset(self):
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.base, self.work)

    def run(self, name, fault, every=1, start=0):
        """Return how many calls there were, and how often each outcome was seen."""
        self.shim.fault_watch(os.fsencode(self.work))
        calls, wanted = self.rehearse(name)
        seen = Counter(self.once(name, fault, number, wanted) for number in range(1 + start % every, calls + 1, every))
        return calls, seen

    def rehearse(self, name):
        """Run without a fault: count the calls, and note what the index is to hold."""
        self.reset()
        index = self.opened()
        self.before = contents(index)
        self.reset()
        index = self.opened()
        self.shim.fault_arm(0, 0, 0)
        OPERATIONS[name](index)
        calls = self.shim.fault_calls()
        return calls, contents(Index.open(self.work / "x"))

    def opened(self):
        return Index.open(self.work / "x", options=OPTIONS)

    def once(self, name, fault, number, wanted):
        self.reset()
        index = self.opened()
        code, how = FAULTS[fault]
        said = self.killed(name, index, number) if fault == "kill" else self.hit(name, index, number, code, how)
        return self.judge(name, said, wanted)

    def hit(self, name, index, number, code, how):
        self.shim.fault_arm(number, code, how)
        try:
            OPERATIONS[name](index)
            return "done"
        except KinbitsError as error:
            return f"refused: {error}"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        finally:
            self.shim.fault_arm(0, 0, 0)

    def killed(self, name, index, number):
        child = os.fork()
        if not child:
            self.shim.fault_arm(number, 0, 2)
            OPERATIONS[name](index)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        return "killed" if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL else "done"

    def judge(self, name, said, wanted):
        """Say what became of the index."""
        try:
            index = Index.open(self.work / "x")
            index.verify()
            held = contents(index)
            self.beside(name, said)
        except Exception as error:
            print(f"  {name}: {said!r}, then {error!r}", file=sys.stderr)
            return "destroyed"
        if held not in (self.before, wanted) or (said == "done" and held != wanted):
            print(f"  {name}: {said!r}, and neither the old nor the new contents", file=sys.stderr)
            return "wrong answer"
        if said in ("done", "killed"):
            return "right"
        if not said.startswith("refused"):
            print(f"  {name}: {said}", file=sys.stderr)
            return "other error"
        if held == wanted != self.before:
            if "is changed, but" in said:
                return "changed, and said so"
            print(f"  {name}: changed, though it said {said!r}", file=sys.stderr)
            return "wrong answer"
        return "refused"

    def beside(self, name, said):
        """What `save` and `create` made is whole, or is not there; a later one clears what was left of it."""
        if name == "model save":
            self.model_beside(said)
        if name == "migrate":
            self.migrated_beside()
        target = {"save": "copy", "create": "fresh", "create by command": "fresh"}.get(name)
        if target is None:
            return
        path = self.work / target
        if said == "done" or (path / "manifest.json").exists():
            Index.open(path).verify()
        if name == "save":
            shutil.rmtree(path, ignore_errors=True)
            Index.open(self.work / "x").save(path)
            self.require_nothing_but("copy")

    def model_beside(self, said):
        """The folder holds the old or the new model, and a later save clears what was left."""
        held = HashModel.from_pretrained(self.work / "model").fingerprint
        allowed = [model.fingerprint for model in MODELS]
        assert held in (allowed[1:] if said == "done" else allowed)
        assert not (held == allowed[1] and said.startswith("refused") and "is changed, but" not in said), said
        MODELS[0].save_pretrained(self.work / "model")
        self.require_nothing_but()

    def migrated_beside(self):
        """Both indexes of the migration are whole, and a later run completes it."""
        place = self.work / "x"
        for side in ("before", "after"):
            Index.open(self.work / "x.migration" / side).verify()
        if Index.open(place).fingerprint is None:
            migrate(place, MODELS[0], VECTORS)
        Index.open(place).verify()
        self.require_nothing_but()

    def require_nothing_but(self, *names):
        left = {entry.name for entry in self.work.iterdir()} - {entry.name for entry in self.base.iterdir()}
        assert left == set(names), left


def row(name, calls, seen):
    """Lay one line of the table out."""
    return f"| {name} | {calls} | {seen.total():,} | {' | '.join(f'{seen[outcome]:,}' for outcome in OUTCOMES)} |"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("operations", nargs="*")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--faults", nargs="*", default=list(FAULTS))
    chosen = parser.parse_args()
    if "KINBITS_SHIM" not in os.environ:
        with tempfile.TemporaryDirectory() as folder:
            shim = build_shim(folder)
            environment = {**os.environ, "LD_PRELOAD": str(shim), "KINBITS_SHIM": str(shim)}
            sys.exit(subprocess.run([sys.executable, *sys.argv], check=False, env=environment).returncode)
    shim = ctypes.CDLL(os.environ["KINBITS_SHIM"])
    shim.fault_calls.restype = ctypes.c_long
    shim.fault_arm.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_int]
    total = Counter()
    print(f"| operation | calls | faults | {' | '.join(OUTCOMES)} |")
    print("| --- " * (3 + len(OUTCOMES)) + "|")
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # where syncing costs nothing
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        injector = Injector(shim, folder)
        base_index(injector.base / "x")
        base_model(injector.base)
        migrate(injector.base / "x", MODELS[0], VECTORS, swap=False)
        for place, name in enumerate(chosen.operations or OPERATIONS):
            seen = Counter()
            for turn, fault in enumerate(chosen.faults):
                every = chosen.every * SLOW.get(name, 1) if chosen.every > 1 else 1
                calls, found = injector.run(name, fault, every, start=3 * place + turn)
                seen.update(found)
            print(row(name, calls, seen), flush=True)
            total.update(seen)
    print(row("all", "", total))
    return int(any(total[outcome] for outcome in ("other error", "wrong answer", "destroyed")))


if __name__ == "__main__":
    sys.exit(main())
