"""Kill a synchronisation again and again: run as ``python kill_loop.py FOLDER SEED ROUNDS``; fails where work is lost.

Every round changes files in all ways: new, changed, moved, copied, deleted, damaged. Then processes synchronise, and
each is killed with SIGKILL after a random time. At last one may end. The index must then hold each file once, with the
code of its contents, and each item must have kept its id and what a user had set.
"""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
from folder_model import PictureModel, code_of, make_old, write

from kinbits.index import Index

KILLS = 4
FILES = 24


class World:
    """The files of a folder, and what the index must hold of them.

    Attributes:
        files: Path -> seed of its picture; None if it is damaged.
        items: Id -> path, seed of the picture that its code is of, and what a user has set.
    """

    def __init__(self, folder):
        self.folder, self.files, self.items, self.next = folder, {}, {}, 0

    def change(self, rng):
        """Change some files of the folder, each in one way."""
        by_path = {path: id_ for id_, (path, _, _) in self.items.items()}
        chosen = rng.permutation(sorted(self.files)).tolist()
        for kind in ("move", "rewrite", "delete", "copy", "damage", "touch"):
            for _ in range(int(rng.integers(0, 3))):
                if len(chosen) > 3:
                    path = chosen.pop()
                    getattr(self, kind)(path, by_path.get(path), rng)
        while len(self.files) < FILES:
            self.write(self.new_path(rng), self.seed())

    def seed(self):
        self.next += 1
        return self.next

    def new_path(self, rng, name=None):
        folder = ("", "a/", "b/", "a/c/")[rng.integers(4)]
        return f"{folder}{name or f'{self.seed()}.png'}"

    def write(self, path, seed):
        write(self.folder / path, seed, age=60 + self.seed())
        self.files[path] = seed

    def move(self, path, id_, rng):
        if list(self.files.values()).count(self.files[path]) > 1 or self.files[path] is None:
            return  # which of two equal files was moved, nobody can tell
        new = self.new_path(rng, path.rpartition("/")[2] if rng.random() < 0.5 else None)
        if new in self.files:
            return
        (self.folder / new).parent.mkdir(exist_ok=True, parents=True)
        os.rename(self.folder / path, self.folder / new)
        self.files[new] = self.files.pop(path)
        if id_ is not None:
            _, seed, tag = self.items[id_]
            self.items[id_] = new, seed, tag

    def rewrite(self, path, id_, rng):
        if self.files[path] is not None:
            self.write(path, self.seed())

    def delete(self, path, id_, rng):
        if self.files[path] is None:
            return
        (self.folder / path).unlink()
        del self.files[path]
        self.items.pop(id_, None)

    def copy(self, path, id_, rng):
        if self.files[path] is not None:
            self.write(self.new_path(rng), self.files[path])

    def damage(self, path, id_, rng):
        (self.folder / path).write_bytes(b"damaged" * self.seed())
        make_old(self.folder / path)
        self.files[path] = None

    def touch(self, path, id_, rng):
        make_old(self.folder / path, age=60 + self.seed())

    def compare(self, index):
        """Check what the index holds, and let a user set something of the new items."""
        stored = index.to_codes()
        paths, tags = (stored.columns.get(name, [None] * len(stored)) for name in ("path", "tag"))
        held = {
            id_: (path or id_, code.tobytes(), tag)
            for id_, path, code, tag in zip(stored.ids.tolist(), paths, stored.codes, tags, strict=True)
        }
        assert len({path for path, _, _ in held.values()}) == len(held), "an item is doubled"
        for id_, (path, seed, tag) in self.items.items():
            wanted = path, code_of(seed if self.files[path] is None else self.files[path]), tag
            assert held[id_] == wanted, f"{id_}: {held[id_]}, not {wanted}"
        readable = {path for path, seed in self.files.items() if seed is not None}
        known = {path for path, _, _ in self.items.values()}
        assert {path for path, _, _ in held.values()} == readable | known
        fresh = sorted(held.keys() - self.items.keys())
        index.update(fresh, {"tag": [self.seed() for _ in fresh]})
        rows = index.to_codes(["tag"])
        now = dict(zip(rows.ids.tolist(), rows.columns["tag"], strict=True))
        self.items = {
            id_: (path, self.items[id_][1] if self.files[path] is None else self.files[path], now[id_])
            for id_, (path, _, _) in held.items()
        }


def killed_sync(place, folder, delay):
    """Kill a synchronisation after some seconds; return whether it had ended before."""
    child = os.fork()
    if child == 0:
        try:
            Index.open(place, model=PictureModel()).sync(folder, batch_size=3, delete_many=True)
            os._exit(0)
        finally:
            os._exit(3)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "a synchronisation failed by itself"
    return not os.WIFSIGNALED(status)


def main():
    base, seed, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    rng, world, place = np.random.default_rng(seed), World(base / "photos"), base / "photos.index"
    Index.create(place, model=PictureModel())
    longest, ended = 0.1, 0
    for _ in range(rounds):
        world.change(rng)
        for _ in range(KILLS):
            done = killed_sync(place, world.folder, float(rng.random()) * longest)
            ended += done
            longest *= 0.8 if done else 1.15  # seconds: so that kills meet all parts of a run
        index = Index.open(place, model=PictureModel())
        index.sync(world.folder, delete_many=True)
        index.verify()
        world.compare(index)
        assert index.sync(delete_many=True).changes == 0
    print(f"{rounds * KILLS - ended} kills, {ended} ended before; {len(world.items)} items")


if __name__ == "__main__":
    main()
