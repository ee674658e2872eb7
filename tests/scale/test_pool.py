"""Blocks are handed out again when workers die, and errors end the run."""

from types import SimpleNamespace

import pytest

from kinbits.errors import DataError, PlatformError
from kinbits.scale.cluster import Room
from kinbits.scale.pool import ATTEMPTS, Pool


class FakeRay:
    """Runs the calls of actors when they are awaited.

    Args:
        encode: Called with (actor, number) in the place of `Worker.encode`.
        start: Called with the number of the actor, from 0.
    """

    class RayError(Exception):
        pass

    class RayTaskError(RayError):
        def __init__(self, cause):
            super().__init__(str(cause))
            self.cause = cause

    class ActorDiedError(RayError):
        pass

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self, encode, start=lambda actor: None):
        self.encode, self.start, self.actors, self.killed = encode, start, 0, []
        self.most, self.shares = 0, {}

    def nodes(self):
        return [{"NodeID": f"node {number}", "Resources": {"CPU": 1 + number}} for number in range(2)]

    def put(self, value):
        return value

    def remote(self, _):
        def make():
            actor, self.actors = self.actors, self.actors + 1
            calls = {
                "node": lambda: f"node {actor % 2}",
                "start": lambda _, slot, cpus: self.started(actor, slot, cpus),
                "encode": lambda number, _: self.encode(actor, number),
            }
            methods = {n: SimpleNamespace(remote=lambda *a, f=f: lambda: f(*a)) for n, f in calls.items()}
            return SimpleNamespace(number=actor, **methods)

        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=make))

    def started(self, actor, slot, cpus):
        self.shares[actor] = slot, cpus
        return self.start(actor)

    def wait(self, refs, num_returns, timeout):
        self.most = max(self.most, len(refs))
        return refs[:1], refs[1:]

    def get(self, ref):
        return ref()

    def kill(self, actor):
        self.killed.append(actor.number)


def run(ray, blocks, workers=2):
    done = {}
    pool = Pool(ray, None, Room(workers, 1, 0), blocks)
    pool.run(range(blocks), lambda number: number, lambda number, data, shard: done.setdefault(number, data))
    pool.close()
    return done, pool


def test_every_block_is_done_once_and_few_are_in_memory():
    ray = FakeRay(lambda actor, number: (b"%d" % number, None))
    done, pool = run(ray, 20)
    assert done == {number: b"%d" % number for number in range(20)}
    assert ray.most <= 4
    assert (pool.retried, ray.actors, sorted(ray.killed)) == (0, 2, [0, 1])


def test_workers_that_share_a_node_get_cpus_of_their_own():
    ray = FakeRay(lambda actor, number: (b"", None))
    run(ray, 20, workers=4)
    assert ray.shares == {0: (0, None), 1: (0, 1), 2: (1, None), 3: (1, 1)}  # node 1 has two CPUs


def test_no_more_workers_start_than_there_are_blocks():
    ray = FakeRay(lambda actor, number: (b"", None))
    run(ray, 1, workers=8)
    assert ray.actors == 1


def test_blocks_of_a_dead_worker_are_done_by_others():
    def encode(actor, number):
        if actor == 0:
            raise FakeRay.ActorDiedError("killed")
        return b"%d" % number, None

    ray = FakeRay(encode)
    done, pool = run(ray, 6)
    assert sorted(done) == list(range(6))
    assert pool.retried == 2  # the worker had two blocks
    assert ray.actors == 3  # another one took its place


def test_a_block_that_kills_every_worker_ends_the_run():
    def encode(actor, number):
        if number == 1:
            raise FakeRay.ActorDiedError("out of memory")
        return b"", None

    with pytest.raises(PlatformError, match=f"block 1 failed {ATTEMPTS} times .out of memory.; smaller blocks"):
        run(FakeRay(encode), 2)


def test_a_fault_of_a_service_is_tried_again():
    failures = iter([OSError("503"), OSError("503")])

    def encode(actor, number):
        for error in failures:
            raise FakeRay.RayTaskError(error)
        return b"", None

    _, pool = run(FakeRay(encode), 3)
    assert pool.retried == 2


def test_an_error_of_kinbits_ends_the_run_at_once():
    def encode(actor, number):
        raise FakeRay.RayTaskError(DataError("the tar file is damaged"))

    with pytest.raises(DataError, match="the tar file is damaged"):
        run(FakeRay(encode), 3)


def test_workers_that_cannot_start_end_the_run():
    def start(actor):
        raise FakeRay.ActorDiedError("No module named 'kinbits'")

    with pytest.raises(PlatformError, match=r"6 workers in a row could not start .*every node has kinbits"):
        run(FakeRay(None, start), 3)


def test_one_worker_that_cannot_start_is_replaced():
    def start(actor):
        if actor == 0:
            raise FakeRay.ActorDiedError("killed")

    ray = FakeRay(lambda actor, number: (b"", None), start)
    done, _ = run(ray, 4)
    assert len(done) == 4
    assert ray.actors == 3


def test_a_node_where_no_worker_starts_does_not_end_a_run_that_others_do():
    def start(actor):
        if actor:
            raise FakeRay.ActorDiedError("no memory")

    ray = FakeRay(lambda actor, number: (b"", None), start)
    done, pool = run(ray, 40)
    assert len(done) == 40
    assert (pool.retried, ray.actors) == (5, 6)  # the first, and five that did not start


def test_workers_start_again_when_all_that_worked_have_died():
    def encode(actor, number):
        if actor == 0 and number == 30:
            raise FakeRay.ActorDiedError("killed")
        return b"", None

    def start(actor):
        if 0 < actor <= 5:
            raise FakeRay.ActorDiedError("no memory")

    ray = FakeRay(encode, start)
    done, _ = run(ray, 40)
    assert len(done) == 40
    assert ray.actors == 8
