"""Attributes that are computed once, without a lock that a forked child would wait for."""

import dataclasses
import multiprocessing
import re
import threading
from pathlib import Path

import pytest

import kinbits
from kinbits._util import lazy

FORK = multiprocessing.get_context("fork")


class Slow:
    def __init__(self, entered, leave):
        self.entered, self.leave = entered, leave

    @lazy
    def value(self):
        """What it is."""
        self.entered.set()
        self.leave.wait(10)
        return [1]


def test_a_value_is_computed_once_and_kept():
    calls = []

    @dataclasses.dataclass(frozen=True)
    class Frozen:
        base: int

        @lazy
        def double(self):
            """Twice the base."""
            calls.append(self.base)
            return 2 * self.base

    one, two = Frozen(3), Frozen(4)
    assert [one.double, one.double, two.double, one.double] == [6, 6, 8, 6]
    assert calls == [3, 4]
    assert Frozen.double.__doc__ == "Twice the base."
    assert dataclasses.replace(one, base=5).double == 10


def test_two_threads_get_the_same_object():
    class Racing:
        meet = threading.Barrier(2)

        @lazy
        def value(self):
            self.meet.wait(10)  # both threads compute
            return []

    one, seen = Racing(), []
    threads = [threading.Thread(target=lambda: seen.append(one.value)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert seen[0] is seen[1] is one.value


def _read(sent):
    sent.send(Slow(threading.Event(), ready()).value)


def ready():
    event = threading.Event()
    event.set()
    return event


def test_a_child_that_is_forked_while_a_thread_computes_can_compute():
    entered, leave = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: Slow(entered, leave).value)
    thread.start()
    entered.wait(10)
    got, sent = FORK.Pipe(duplex=False)
    child = FORK.Process(target=_read, args=(sent,))
    child.start()
    try:
        assert got.poll(10), "the child waits for a lock that the parent's thread held"
        assert got.recv() == [1]
    finally:
        leave.set()
        thread.join(10)
        child.kill()
        child.join()


@pytest.mark.parametrize("path", sorted(Path(kinbits.__file__).parent.rglob("*.py")), ids=lambda p: p.name)
def test_nothing_uses_a_property_with_a_lock(path):
    found = re.search(r"@(functools\.)?cached_property", path.read_text())
    assert found is None, "its lock hangs a forked child on Python 3.11; use kinbits._util.attributes.lazy"
