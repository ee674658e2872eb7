"""No kill and no fault loses a file: a second run finishes, and an undo puts everything back.

A sample in each run; ``KINBITS_EXHAUSTIVE=1`` tries every call, and more random moments.
"""

import errno
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from apply_kills import WAYS, Place, fail_applying, kill_applying, kill_undoing

from kinbits.errors import PlatformError

pytestmark = pytest.mark.slow
EXHAUSTIVE = bool(os.environ.get("KINBITS_EXHAUSTIVE"))


@pytest.fixture(params=WAYS)
def place(request, tmp_path, monkeypatch):
    monkeypatch.setattr("kinbits._util.moves._rename_exclusively", WAYS[request.param][0])
    return Place(tmp_path, request.param)


@pytest.mark.parametrize("kill", [kill_applying, kill_undoing])
def test_a_kill_at_any_step_loses_nothing(place, kill):
    assert kill(place, 1 if EXHAUSTIVE else 17) >= 8


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_call_that_fails_loses_nothing(place, code):
    assert fail_applying(place, code, 1 if EXHAUSTIVE else 11) >= 5


PROGRAM = """
import sys
from kinbits.dedupe import apply_decisions, undo_decisions
decisions, aside, undo, link, work = sys.argv[1:]
print("ready", flush=True)
if work == "undo":
    undo_decisions(undo)
else:
    apply_decisions(decisions, move_to=None if link == "link" else aside, link=link == "link", undo=undo)
"""


@pytest.mark.parametrize("way", ["rename", "hard links"])
def test_a_process_that_is_killed_at_random_moments_loses_nothing(way, tmp_path):
    place = Place(tmp_path, way, pairs=30)
    rng, kills = random.Random(way), 0
    decisions = place.decisions.save(tmp_path / "decisions.json")
    started = time.monotonic()
    run_once(place, decisions, "apply")
    longest = time.monotonic() - started
    place.reset()
    for turn in range(40 if EXHAUSTIVE else 3):
        for work in ("apply", "undo", "apply") if turn % 2 else ("apply", "apply", "undo"):
            kills += run_once(place, decisions, work, rng.uniform(0, longest))
            place.require_nothing_lost()
        if turn % 2:
            place.require_finished()
        place.require_undone()
    while not kills:  # a quiet machine finishes sooner than the first run told
        longest *= 0.7
        kills = run_once(place, decisions, "apply", rng.uniform(0, longest))
        place.require_nothing_lost()
        place.require_undone()


def run_once(place, decisions, work, delay=None):
    """Run in a process of its own, killed after a delay since it was ready; return whether it was killed."""
    if work == "undo" and not place.undo.exists():
        return False
    arguments = [str(decisions), str(place.aside), str(place.undo), "link" if place.link else "move", work]
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], stdout=subprocess.PIPE)
    process.stdout.readline()
    try:
        process.wait(timeout=delay)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert process.returncode in (0, -signal.SIGKILL)
    return process.returncode != 0


def test_a_full_disk_is_refused_and_nothing_is_lost(tmp_path, full_disk, monkeypatch):
    monkeypatch.setattr("kinbits._util.moves._rename_exclusively", WAYS["copy"][0])
    place = Place(tmp_path, "copy")
    refused = pytest.raises(PlatformError, match="cannot be written, so no further file is touched")
    with full_disk(900), refused:  # bytes: less than a picture has, and than the undo file takes
        place.apply()
    place.require_nothing_lost()
    place.require_finished()
    place.require_undone()
