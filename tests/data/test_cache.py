"""What a user would lose if the feature cache broke: hours of extraction, or trust in the rows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kinbits.data import FeatureCache
from kinbits.errors import PlatformError, UsageError

N, DIM, CHUNK = 50, 6, 8
KEY = {"dataset": "d", "backbone": "b", "view": ""}


def expected(start: int = 0, stop: int = N) -> np.ndarray:
    """The rows that a right cache holds: row r is r, r + 0.5, r + 1, …"""
    return (np.arange(start, stop)[:, None] + np.arange(DIM) * 0.5).astype(np.float16)


class Compute:
    """Counts the chunks that are really computed."""

    def __init__(self, bad: tuple[int, ...] = ()) -> None:
        self.calls: list[int] = []
        self.bad = bad

    def __call__(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
        self.calls.append(start // CHUNK)
        bad = [row for row in self.bad if start <= row < stop]
        valid = ~np.isin(np.arange(start, stop), bad)
        return expected(start, stop).astype(np.float32), valid, [f"row {row} is torn" for row in bad]


def opened(root: Path):
    return FeatureCache(root, chunk=CHUNK).open(KEY, N, DIM)


def test_second_use_reads_instead_of_computing(tmp_path):
    first, again = Compute(bad=(3, 49)), Compute()
    opened(tmp_path).fill(first)
    cached = opened(tmp_path)
    cached.fill(again)
    assert (len(first.calls), again.calls) == (7, [])
    assert cached.array.dtype == np.float16
    np.testing.assert_array_equal(cached.array, expected())
    assert np.flatnonzero(~cached.valid).tolist() == [3, 49]
    assert cached.reasons == {3: "row 3 is torn", 49: "row 49 is torn"}
    with pytest.raises(ValueError, match="read-only"):
        cached.array[0] = 0


@pytest.mark.parametrize("other", [{"backbone": "c"}, {"view": "two_view"}, {"dataset": "e"}])
def test_other_key_shares_nothing(tmp_path, other):
    opened(tmp_path).fill(Compute())
    assert not FeatureCache(tmp_path, chunk=CHUNK).open({**KEY, **other}, N, DIM).valid.any()


def test_failure_in_compute_keeps_the_finished_chunks(tmp_path):
    def fail_at_third(start: int, stop: int):
        if start == 2 * CHUNK:
            raise RuntimeError("out of memory")
        return Compute()(start, stop)

    with pytest.raises(RuntimeError, match="out of memory"):
        opened(tmp_path).fill(fail_at_third)
    rest = Compute()
    opened(tmp_path).fill(rest)
    assert rest.calls == [2, 3, 4, 5, 6]


CHILD = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from test_cache import CHUNK, Compute, opened
work = Compute()
def compute(start, stop):
    if start == 4 * CHUNK:
        os.kill(os.getpid(), signal.SIGKILL)
    return work(start, stop)
opened(__import__("pathlib").Path(sys.argv[1])).fill(compute)
"""


def child(script: str, root: Path) -> subprocess.Popen[str]:
    here = str(Path(__file__).parent)
    return subprocess.Popen([sys.executable, "-c", script, str(root), here], stdout=subprocess.PIPE, text=True)


def test_kill_loses_only_the_unfinished_chunk(tmp_path):
    process = child(CHILD, tmp_path)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    cached, rest = opened(tmp_path), Compute()
    np.testing.assert_array_equal(np.flatnonzero(cached.valid), np.arange(4 * CHUNK))
    cached.fill(rest)
    assert rest.calls == [4, 5, 6]
    np.testing.assert_array_equal(cached.array, expected())


RACER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import numpy as np
from test_cache import Compute, expected, opened
work = Compute()
cached = opened(Path(sys.argv[1]))
print("ready", flush=True)
cached.fill(work)
assert np.array_equal(cached.array, expected()) and cached.valid.all()
print(len(work.calls), flush=True)
"""


def test_two_processes_compute_each_chunk_once(tmp_path):
    import fcntl

    folder = opened(tmp_path).folder
    folder.mkdir(parents=True)
    with (folder / "lock").open("w") as lock:
        # both open the empty entry and then meet at the lock
        fcntl.flock(lock, fcntl.LOCK_EX)
        racers = [child(RACER, tmp_path) for _ in range(2)]
        assert [racer.stdout.readline() for racer in racers] == ["ready\n"] * 2
        fcntl.flock(lock, fcntl.LOCK_UN)
        counts = sorted(int(racer.communicate(timeout=60)[0]) for racer in racers)
    assert counts == [0, 7]


def test_truncated_file_is_recomputed_with_a_warning(tmp_path):
    opened(tmp_path).fill(Compute())
    features = opened(tmp_path).folder / "features.f16"
    os.truncate(features, 5 * CHUNK * DIM * 2 + 7)
    with pytest.warns(UserWarning, match="2 of 7 cached feature chunks .* damaged"):
        cached = opened(tmp_path)
    assert np.flatnonzero(cached.valid).tolist() == list(range(5 * CHUNK))
    rest = Compute()
    cached.fill(rest)
    assert rest.calls == [5, 6]
    np.testing.assert_array_equal(cached.array, expected())


def test_flipped_bit_is_noticed(tmp_path):
    opened(tmp_path).fill(Compute())
    features = opened(tmp_path).folder / "features.f16"
    data = bytearray(features.read_bytes())
    data[3 * CHUNK * DIM * 2] ^= 1
    features.write_bytes(data)
    with pytest.warns(UserWarning, match="1 of 7"):
        cached = opened(tmp_path)
    assert not cached.valid[3 * CHUNK : 4 * CHUNK].any()
    assert cached.valid.sum() == N - CHUNK


def test_torn_last_line_does_not_count_and_does_not_swallow_the_next(tmp_path):
    opened(tmp_path).fill(Compute())
    log = opened(tmp_path).folder / "chunks.log"
    log.write_bytes(log.read_bytes()[:-5])
    cached, rest = opened(tmp_path), Compute()
    cached.fill(rest)
    assert rest.calls == [6]
    assert opened(tmp_path).complete


def test_unwritable_folder_names_the_remedy(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(PlatformError, match="KINBITS_CACHE"):
        opened(blocked).fill(Compute())


def test_full_disk_is_an_error_and_the_entry_stays_sound(tmp_path, monkeypatch):
    cached = opened(tmp_path)
    writes = iter(range(100))
    real = os.pwrite

    def full_after_two(handle: int, data: bytes, offset: int) -> int:
        if next(writes) >= 2:
            raise OSError(28, "No space left on device")
        return real(handle, data, offset)

    monkeypatch.setattr(os, "pwrite", full_after_two)
    with pytest.raises(PlatformError, match="No space left"):
        cached.fill(Compute())
    monkeypatch.undo()
    again = opened(tmp_path)
    assert again.valid.sum() == 2 * CHUNK
    np.testing.assert_array_equal(again.array[again.valid], expected(0, 2 * CHUNK))


def test_complete_entry_is_read_without_writing(tmp_path, monkeypatch):
    opened(tmp_path).fill(Compute())

    def refuse(*_, **__):
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr(os, "pwrite", refuse)
    monkeypatch.setattr(Path, "mkdir", refuse)
    cached = opened(tmp_path)
    cached.fill(Compute())
    np.testing.assert_array_equal(cached.array, expected())


def test_wrong_shape_from_compute_is_told(tmp_path):
    with pytest.raises(UsageError, match=r"gave shape \(8, 2\)"):
        opened(tmp_path).fill(lambda start, stop: (np.zeros((8, 2)), np.ones(8, bool), []))


def test_progress_counts_rows(tmp_path):
    seen: list[tuple[int, int]] = []
    opened(tmp_path).fill(Compute(), lambda done, total: seen.append((done, total)))
    assert seen == [(done, N) for done in (0, 8, 16, 24, 32, 40, 48, 50)]


def test_no_rows_are_complete_at_once(tmp_path):
    cached = FeatureCache(tmp_path).open(KEY, 0, DIM)
    cached.fill(Compute())
    assert cached.complete
    assert cached.array.shape == (0, DIM)


def test_root_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("KINBITS_CACHE", str(tmp_path / "there"))
    assert FeatureCache().root == tmp_path / "there" / "features"


def test_a_root_in_an_unknown_home_is_told(monkeypatch):
    monkeypatch.setenv("KINBITS_CACHE", "~nobodyatall/x")
    with pytest.raises(PlatformError, match="cache ~nobodyatall/x is in an unknown home folder; set KINBITS_CACHE"):
        FeatureCache()


def test_impossible_chunk_is_refused(tmp_path):
    with pytest.raises(UsageError, match="chunk of 0"):
        FeatureCache(tmp_path, chunk=0)


def test_rows_that_lacked_a_package_are_computed_again_once_it_is_installed(tmp_path, monkeypatch):
    from kinbits.data import heif

    cache, key = FeatureCache(tmp_path, chunk=2), {"data": "d"}
    lacking = cache.open(key, n=4, dim=1)
    lacking.fill(lambda start, stop: (np.zeros((stop - start, 1)), np.array([start > 0, True]), [heif.MISSING][start:]))
    monkeypatch.setattr(heif, "has_heif", lambda: False)
    assert cache.open(key, n=4, dim=1).complete
    monkeypatch.setattr(heif, "has_heif", lambda: True)
    again = cache.open(key, n=4, dim=1)
    asked = []
    again.fill(lambda start, stop: (asked.append(start), (np.ones((stop - start, 1)), np.ones(2, bool), []))[1])
    assert asked == [0]
    assert again.valid.all()
    assert cache.open(key, n=4, dim=1).complete
