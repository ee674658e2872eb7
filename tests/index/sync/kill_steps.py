"""Kill a synchronisation before and after each of its steps: run as ``python kill_steps.py FOLDER``."""

import os
import signal
import sys
from itertools import count
from pathlib import Path

from folder_model import PictureModel, code_of, write

from kinbits.data import open_dataset
from kinbits.index import Index
from kinbits.index.sync.records import RecordFile

AFTER = {"0.png": 0, "1.png": 1, "3.png": 33, "4.png": 4, "5.png": 5, "7.png": 7, "8.png": 8, "9.png": 9}


def dying_sync(place, fatal):
    """Synchronise, and kill this process at a step."""
    steps = count(1)

    def step():
        if next(steps) == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def dying(function):
        def call(*arguments, **named):
            step()
            result = function(*arguments, **named)
            step()
            return result

        return call

    for name in ("begin", "expect", "put", "put_faults", "forget"):
        setattr(RecordFile, name, dying(getattr(RecordFile, name)))
    index = Index.open(place, model=PictureModel())
    index._folder.commit = dying(index._folder.commit)
    index.sync(batch_size=2)


def killed(place, fatal):
    """Return whether a child was killed at a step, or ended before."""
    child = os.fork()
    if child == 0:
        try:
            dying_sync(place, fatal)
            os._exit(0)
        finally:
            os._exit(3)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, f"step {fatal}: it failed by itself"
    return os.WIFSIGNALED(status)


def changed_folder(photos, place, keep):
    """Make a folder and its index, and change files in all ways."""
    for path in photos.glob("*"):
        path.unlink()
    for seed in range(6):
        write(photos / f"{seed}.png", seed)
    Index.create(place, open_dataset(photos), model=PictureModel(), keep=keep).update("1.png", {"tag": ["one"]})
    os.rename(photos / "1.png", photos / "one.png")
    (photos / "2.png").unlink()
    write(photos / "3.png", 33)
    for seed in range(7, 10):
        write(photos / f"{seed}.png", seed)
    (photos / "bad.png").write_bytes(b"damaged")


def check(place, fatal):
    """Complete the work, and compare."""
    index = Index.open(place, model=PictureModel())
    index.sync()
    index.verify()
    stored = index.to_codes()
    found = dict(zip(stored.ids.tolist(), map(bytes, stored.codes), strict=True))
    assert found == {id_: code_of(seed) for id_, seed in AFTER.items()}, f"step {fatal}"
    rows = {row["id"]: row for row in index.search(stored.codes[0], k=20).to_dicts()}
    assert (rows["1.png"]["path"], rows["1.png"]["tag"]) == ("one.png", "one"), f"step {fatal}"
    assert index.sync().changes == 0, f"step {fatal}"


def main():
    base, kills = Path(sys.argv[1]), 0
    for keep in (None, "int8"):
        for fatal in count(1):
            place = base / f"{keep}-{fatal}.index"
            changed_folder(base / "photos", place, keep)
            was_killed = killed(place, fatal)
            check(place, fatal)
            kills += was_killed
            if not was_killed:
                break
    print(f"{kills} kills")


if __name__ == "__main__":
    main()
