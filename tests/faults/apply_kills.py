"""Kill a process while it carries out decisions on duplicates, before and after each call of the file system.

Run as ``python apply_kills.py``: prints the number of kills for each way of moving. After each kill, every file must be
whole in one of the two folders; then a second run finishes, or an undo puts everything back, in turns.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "dedupe"))
from album import contents, make_album
from dying import killer

from kinbits._util import moves
from kinbits.dedupe import Decisions, apply_decisions, undo_decisions
from kinbits.errors import KinbitsError

CALLS = ("close", "fchmod", "fsync", "link", "mkdir", "open", "rename", "replace", "rmdir", "unlink", "utime", "write")
exclusively = moves._rename_exclusively


def other_disk(source: str, target: str, source_folder: int, target_folder: int) -> int:
    """Behave as if every folder were on a disk of its own."""
    if os.fstat(source_folder).st_ino != os.fstat(target_folder).st_ino:
        return errno.EXDEV
    return exclusively(source, target, source_folder, target_folder)


def unknown_flag(*_: object) -> int:
    """Behave as a file system that has no exclusive renames."""
    return errno.EINVAL


WAYS: dict[str, tuple[Callable[..., int], bool]] = {
    "rename": (exclusively, False),
    "copy": (other_disk, False),
    "link and unlink": (unknown_flag, False),
    "hard links": (exclusively, True),
}


class Place:
    """An album, its decisions, and a copy that every run starts from."""

    def __init__(self, folder: Path, way: str, pairs: int = 1) -> None:
        self.rename, self.link = WAYS[way]
        album = make_album(folder, pairs)
        self.root, self.aside, self.base = album.root, album.aside, folder / "base"
        self.undo = folder / "undo-it.jsonl"
        self.decisions: Decisions = album.decisions()
        shutil.copytree(self.root, self.base)
        self.before = contents(self.root)
        self.apply()
        self.after = contents(self.root, self.aside)
        self.reset()

    def reset(self) -> None:
        for folder in (self.root, self.aside):
            shutil.rmtree(folder, ignore_errors=True)
        self.undo.unlink(missing_ok=True)
        shutil.copytree(self.base, self.root)

    def apply(self) -> None:
        moves._rename_exclusively = self.rename
        target = None if self.link else self.aside
        apply_decisions(self.decisions, move_to=target, link=self.link, undo=self.undo)

    def put_back(self) -> None:
        moves._rename_exclusively = self.rename
        if self.undo.exists() and (self.link or self.aside.exists()):
            undo_decisions(self.undo)

    def require_finished(self) -> None:
        """Check that another run does all that is left."""
        self.apply()
        assert contents(self.root, self.aside) == self.after

    def require_undone(self) -> None:
        """Check that an undo puts everything back."""
        self.put_back()
        assert contents(self.root, self.aside) == self.before

    def require_nothing_lost(self) -> None:
        """Check that the bytes of each file are in the album or, under the same path, aside."""
        found = contents(self.root, self.aside)
        for path, (data, *_) in self.before.items():
            moved = str(self.aside / Path(path).relative_to(self.root))
            assert data in (found.get(path, b"")[:1] or ()) or data in (found.get(moved, b"")[:1] or ()), path


def die_at(fatal: int) -> None:
    """Make this process kill itself at the n-th step: there is one before and one after each call."""
    dying = killer(fatal)
    for name in CALLS:
        setattr(os, name, dying(getattr(os, name)))
    moves._rename_exclusively = dying(moves._rename_exclusively)


def fail_at(fatal: int, code: int) -> Callable[[], bool]:
    """Make the n-th call fail; return a function that tells whether it was reached."""
    calls = 0

    def failing(function: Callable) -> Callable:
        def call(*arguments, **options):
            nonlocal calls
            calls += 1
            if calls == fatal:
                raise OSError(code, os.strerror(code))
            return function(*arguments, **options)

        return call

    for name in CALLS:
        if name != "close":
            setattr(os, name, failing(getattr(os, name)))
    return lambda: calls >= fatal


def in_child(work: Callable[[], object]) -> int:
    """Run something in a child; return its exit code: 2 if the work returns False, negative if it was killed."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            os._exit(2 if work() is False else 0)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed(place: Place, work: Callable[[], object], fatal: int) -> bool:
    """Run something that is killed at a step; return False if it ends before."""

    def run() -> None:
        moves._rename_exclusively = place.rename
        die_at(fatal)
        place.rename = moves._rename_exclusively
        work()

    code = in_child(run)
    assert code in (0, -signal.SIGKILL), code
    return code != 0


def kill_applying(place: Place, stride: int = 1) -> int:
    """Kill the run at each step, or each n-th; return the number of kills."""
    for count, fatal in enumerate(range(1, 10**6, stride)):
        if not killed(place, place.apply, fatal):
            return count
        place.require_nothing_lost()
        if count % 2:
            place.require_finished()
        place.require_undone()
        place.reset()
    raise AssertionError


def kill_undoing(place: Place, stride: int = 1) -> int:
    """Kill the undo at each step, or each n-th; return the number of kills."""
    for count, fatal in enumerate(range(1, 10**6, stride)):
        place.apply()
        if not killed(place, place.put_back, fatal):
            return count
        place.require_nothing_lost()
        if count % 2:
            place.require_finished()
        place.require_undone()
        place.reset()
    raise AssertionError


def fail_applying(place: Place, code: int, stride: int = 1) -> int:
    """Let each call, or each n-th, fail once; return the number of faults."""
    for count, fatal in enumerate(range(1, 10**6, stride)):

        def run(fatal: int = fatal) -> bool:
            moves._rename_exclusively = place.rename
            reached = fail_at(fatal, code)
            try:
                place.apply()
            except KinbitsError:
                return True
            return reached()

        ended = in_child(run)
        place.require_nothing_lost()
        assert ended in (0, 2), f"call {fatal} ends in a bare error"
        if ended == 2:
            return count
        place.require_finished()
        place.require_undone()
        place.reset()
    raise AssertionError


def main() -> None:
    for way in WAYS:
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # where syncing costs nothing
        with tempfile.TemporaryDirectory(dir=memory) as folder:
            place = Place(Path(folder), way)
            print(f"{way}: {kill_applying(place)} kills of apply, {kill_undoing(place)} of undo", end="", flush=True)
            print(f", {fail_applying(place, errno.EIO)} faults", flush=True)


if __name__ == "__main__":
    main()
