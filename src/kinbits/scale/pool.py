"""A pool of workers on a Ray cluster: blocks are handed out, and handed out again when a worker or a node dies.

The pool uses actors of Ray, not Ray Data. A block has to become the file of its number whatever is tried how often, and
no rows pass from one stage to the next. There are no other tasks that read, which a pool that holds all CPUs would
starve. A worker has at most two blocks, so that the number of blocks in memory is bounded.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from kinbits._util import one_line
from kinbits.errors import KinbitsError, PlatformError
from kinbits.scale.blocks import Block
from kinbits.scale.cluster import Room
from kinbits.scale.output import Shard
from kinbits.scale.worker import Setup, Worker

ATTEMPTS = 5
"""Number of times that a block is tried: as often, it may be the block that kills the worker."""
AHEAD = 2
"""Number of blocks that a worker has at a time: it computes one and fetches the next."""
STARTS_WITHIN = 300.0
"""Seconds in which one worker at least must have started, while there is none."""
_STARTS = 5  # that fail one after the other, after which no more are tried
_WAIT = 1.0  # seconds


@dataclass(eq=False)
class _Member:
    """A worker of the pool.

    Attributes:
        actor: The actor of Ray.
        node: Id of its node; None until it is known.
        slot: Its number among the workers of its node; None until it is known.
        ready: Whether it has loaded the model.
        blocks: Numbers of the blocks that it has.
    """

    actor: Any
    node: str | None = None
    slot: int | None = None
    ready: bool = False
    blocks: set[int] = field(default_factory=set)


class Pool:
    """Workers of one run.

    Args:
        ray: The module, connected to a cluster.
        setup: What every worker gets.
        room: Number of workers, and what each takes.
        count: Number of blocks to encode, since more workers have nothing to do.

    Attributes:
        retried: Number of attempts that failed and were repeated.
    """

    def __init__(self, ray: Any, setup: Setup, room: Room, count: int) -> None:
        self._ray, self._room = ray, room
        self._setup = ray.put(setup)
        self._wanted = min(room.workers, count)
        options = {"num_cpus": room.cpus, "num_gpus": room.gpus, "max_restarts": 0, "max_concurrency": AHEAD}
        self._actors = ray.remote(Worker).options(scheduling_strategy="SPREAD", **options)
        self._members: list[_Member] = []
        self._waiting: dict[Any, tuple[_Member, int | None]] = {}  # what is awaited; the number of the block, if one
        self._failed_starts, self._alive_at = 0, time.monotonic()
        self._attempts: Counter[int] = Counter()
        self.retried = 0

    def run(
        self, numbers: Iterable[int], block: Callable[[int], Block], done: Callable[[int, bytes, Shard], None]
    ) -> None:
        """Encode blocks.

        Args:
            numbers: Numbers of the blocks.
            block: Makes the block of a number.
            done: Called for each finished block with its number, its file and what that holds.

        Raises:
            KinbitsError: If a worker raises one: it would raise it again.
            PlatformError: If no worker can start, or a block has failed too often.
        """
        queue = deque(numbers)
        left = len(queue)
        while left:
            self._start_workers(left)
            self._hand_out(queue, block)
            for ref in self._next():
                member, number = self._waiting.pop(ref)
                result = self._result(ref, member, number, queue)
                if result is not None and number is not None:
                    done(number, *result)
                    left -= 1

    def close(self) -> None:
        """End all workers."""
        for member in self._members:
            with suppress(Exception):  # the cluster is gone
                self._ray.kill(member.actor)
        self._members = []

    def _start_workers(self, left: int) -> None:
        """Start workers in the places of those that have left, unless too many starts failed: then the others go on."""
        if self._failed_starts >= _STARTS:
            if self._members:
                return
            self._failed_starts = 0  # all have worked, and died
        while len(self._members) < min(self._wanted, left):
            member = _Member(self._actors.remote())
            self._members.append(member)
            self._waiting[member.actor.node.remote()] = member, None

    def _hand_out(self, queue: deque[int], block: Callable[[int], Block]) -> None:
        for depth in range(AHEAD):  # first one to each
            for member in self._members:
                if queue and member.ready and len(member.blocks) == depth:
                    number = queue.popleft()
                    member.blocks.add(number)
                    self._waiting[member.actor.encode.remote(number, block(number))] = member, number

    def _next(self) -> list[Any]:
        """Return what has become ready."""
        found, _ = self._ray.wait(list(self._waiting), num_returns=1, timeout=_WAIT)
        if found or any(member.ready for member in self._members):
            self._alive_at = time.monotonic()
        elif time.monotonic() - self._alive_at > STARTS_WITHIN:
            free = self._ray.available_resources().get("CPU", 0)
            raise PlatformError(
                f"no worker could start within {STARTS_WITHIN:.0f} s: each needs {self._room.cpus:g} CPUs, and "
                f"{free:g} are free; wait until others end, or ask for less. Finished blocks are kept"
            )
        return list(found)

    def _result(self, ref: Any, member: _Member, number: int | None, queue: deque[int]) -> tuple[bytes, Shard] | None:
        """Return the result of a block; None for a step of a start, or after a failure."""
        errors = self._ray.exceptions
        try:
            value = self._ray.get(ref)
        except errors.RayTaskError as error:
            if isinstance(error.cause, KinbitsError):
                raise error.cause from None
            self._again(member, number, queue, error.cause)
            return None
        except errors.RayError as error:  # the worker or its node has died, or the result is lost
            self._leave(member)
            self._again(member, number, queue, error)
            return None
        if number is None:
            self._started(member, value)
            return None
        member.blocks.discard(number)
        return value  # type: ignore[no-any-return]

    def _started(self, member: _Member, value: Any) -> None:
        """Go on with the start of a worker: once its node is known, it loads the model."""
        if member.node is None:
            taken = {one.slot for one in self._members if one.node == value}
            member.node, member.slot = value, next(slot for slot in range(len(taken) + 1) if slot not in taken)
            ref = member.actor.start.remote(self._setup, member.slot, self._share(value))
            self._waiting[ref] = member, None
            return
        member.ready, self._failed_starts = True, 0

    def _share(self, node: str) -> float | None:
        """Return the CPUs of a worker of a node; None if the node has room for no other."""
        found = {one["NodeID"]: one["Resources"].get("CPU", 0) for one in self._ray.nodes()}
        return self._room.cpus if found.get(node, 0) >= 2 * self._room.cpus else None

    def _again(self, member: _Member, number: int | None, queue: deque[int], error: BaseException) -> None:
        """Queue a block again, before all others.

        Raises:
            PlatformError: If that has been done too often.
        """
        self.retried += 1
        if number is None:
            self._leave(member)
            self._failed_starts += 1
            if self._failed_starts >= _STARTS and not self._members:
                raise PlatformError(
                    f"{self._failed_starts} workers in a row could not start ({one_line(error)}); check that every "
                    "node has kinbits with the same extras, and enough memory. Finished blocks are kept"
                )
            return
        member.blocks.discard(number)
        self._attempts[number] += 1
        if self._attempts[number] >= ATTEMPTS:
            raise PlatformError(
                f"block {number} failed {ATTEMPTS} times ({one_line(error)}); smaller blocks need less memory. "
                "Finished blocks are kept"
            )
        queue.appendleft(number)

    def _leave(self, member: _Member) -> None:
        """Take a worker out of the pool, which starts another one; what it still has fails by itself."""
        if member in self._members:
            self._members.remove(member)
            self._ray.kill(member.actor)
