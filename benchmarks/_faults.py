"""Kill a service while it is written to, and look for lost changes and wrong answers."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from _bench import random_codes, say, table
from _ledger import Item, Ledger, State
from _load import Answer, Connection, GoneError, request_of
from _servers import Memory, kinbits_server

from kinbits.index import Index

FIXED = 20_000  # items that nobody changes
WIDTH = 8  # bytes of a code
WRITERS, READERS = 4, 2
MOST_LIVE = 400  # items that a writer keeps, so that the index does not grow
K = 10
CALM = 1 / 3  # share of the time without kills, at the end
SETTLES = 2.0  # seconds in which the processes that decode images are started
TOKEN = "a-token-for-the-benchmark"
_MAY_HAVE_HAPPENED = (429, 503, 504)  # refusals of a busy service; a change may be carried out after a 504


@dataclass
class Counts:
    """What happened.

    Attributes:
        acknowledged: Requests to change items that were answered, and the items in them.
        unanswered: Requests that a kill cut off, or that were refused.
        lost: Items of the index on disk that differ from what was acknowledged.
        checked: Answers that were compared with the acknowledged contents.
        faults: What was wrong with answers.
        kills: Number of kills.
        orphans: Processes that outlived a killed service.
        verified: Whether ``kinbits index verify`` passes at the end.
        exit_code: Exit code of the service at the end.
        memory: Of the service, in the part without kills.
    """

    acknowledged: list[int] = field(default_factory=lambda: [0, 0])
    unanswered: int = 0
    lost: int = 0
    checked: int = 0
    faults: list[str] = field(default_factory=list)
    kills: int = 0
    orphans: int = 0
    verified: bool = False
    exit_code: int | None = None
    memory: list[Memory] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether nothing was lost and nothing was wrong."""
        return not (self.lost or self.faults or self.orphans or self.exit_code) and self.verified

    def check(self, fault: str) -> None:
        """Count an answer, with what is wrong with it."""
        self.checked += 1
        if fault:
            self.faults.append(fault)
            say(f"wrong: {fault}")


class Faults:
    """One run.

    Args:
        scratch: Folder for the index.
        seconds: Length of the run.
        seed: Of changes, queries and moments of kills.
    """

    def __init__(self, scratch: Path, seconds: float, seed: int = 0) -> None:
        self._path, self._seconds = scratch / "faults.index", seconds
        self._rng, self._counts = np.random.default_rng(seed), Counts()
        codes = random_codes(FIXED, WIDTH, seed)
        Index.create(self._path, bits=8 * WIDTH).add(codes, metadata={"version": [0] * FIXED})
        self._ledger = Ledger(codes)
        token = scratch / "write.token"
        token.write_text(TOKEN)
        self._server = kinbits_server(self._path, scratch / "faults.log", "--write-token-file", str(token))
        self._end = math.inf  # until the part without kills begins

    def run(self) -> Counts:
        """Return what happened."""
        say(f"faults: {self._seconds:.0f} s")
        with self._server:
            asyncio.run(self._all())
            self._counts.exit_code = self._server.stop()
        command = [sys.executable, "-m", "kinbits", "index", "verify", str(self._path)]
        self._counts.verified = subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 0
        lost = self._ledger.lost(_stored(self._path))
        for one in lost[:10]:
            say(f"lost: item {one}, which should be one of {set(self._ledger.possible(one))}")
        self._counts.lost = len(lost)
        return self._counts

    async def _all(self) -> None:
        clients = [self._write(number) for number in range(WRITERS)] + [self._read() for _ in range(READERS)]
        await asyncio.gather(self._kill_and_watch(), *clients)

    async def _kill_and_watch(self) -> None:
        started = time.monotonic()
        while time.monotonic() < started + (1 - CALM) * self._seconds:
            await asyncio.sleep(self._rng.uniform(0.2, 4))
            self._counts.orphans += len(await asyncio.to_thread(self._server.kill))
            self._counts.kills += 1
            await asyncio.to_thread(self._server.start)
        await asyncio.sleep(SETTLES)
        self._end = time.monotonic() + CALM * self._seconds
        while time.monotonic() < self._end:
            self._counts.memory.append(self._server.memory())
            await asyncio.sleep(0.2)

    async def _repeat(self, step: Callable[[Connection], Coroutine[Any, Any, None]]) -> None:
        """Do a step again and again, until the time is over; a service that is gone comes back."""
        with Connection(self._server.port) as connection:
            while time.monotonic() < self._end:
                try:
                    await connection.open()
                    await step(connection)
                except GoneError:
                    await asyncio.sleep(0.02)

    async def _read(self) -> None:
        async def step(connection: Connection) -> None:
            query = self._random_codes(1)[0]
            body = {"query": {"code": query.tobytes().hex()}, "k": K, "codes": True}
            answer = await connection.ask(request_of("POST", "/v1/search", body))
            self._check(answer, lambda: self._ledger.fault_of_nearest(query, answer.json()["hits"], K))

        await self._repeat(step)

    async def _write(self, number: int) -> None:
        """Change items that no other client changes, and read them between the changes."""
        live, gone, numbers = list[int](), deque[tuple[int, str]](maxlen=100), iter(range(10**9 * (number + 1), 10**18))

        async def step(connection: Connection) -> None:
            if live and self._rng.random() < (0.5 if len(live) > MOST_LIVE else 0.2):
                await delete(connection)
            else:
                await upsert(connection)
            if live:
                await self._read_item(connection, live[self._rng.integers(len(live))])
            if gone:
                await self._read_zero(connection, *gone[self._rng.integers(len(gone))])

        async def upsert(connection: Connection) -> None:
            old = [one for one in live if self._rng.random() < 5 / len(live)]
            ids = [*old, *(next(numbers) for _ in range(self._rng.integers(1, 20)))]
            live.extend(ids[len(old) :])
            changes: dict[int, State] = {one: self._new_item() for one in ids}
            items = [_sent(one, item) for one, item in _there(changes)]
            await self._change(connection, "POST", {"items": items, "upsert": True}, changes)

        async def delete(connection: Connection) -> None:
            certain = [one for one in live if self._ledger.certain(one) is not None]
            chosen = self._rng.permutation(certain)[:30].tolist()
            if not chosen:
                return
            last = {one: self._ledger.certain(one) for one in chosen}
            await self._change(connection, "DELETE", {"ids": chosen}, dict.fromkeys(chosen))
            live[:] = sorted(set(live) - set(chosen))
            gone.extend((one, item.code) for one, item in _there(last))

        await self._repeat(step)

    async def _change(self, connection: Connection, method: str, body: Any, changes: Mapping[int, State]) -> None:
        """Send a change; note it before, and again when it is acknowledged."""
        self._ledger.send(changes)
        self._counts.unanswered += 1
        answer = await connection.ask(request_of(method, "/v1/items", body, token=TOKEN))
        if answer.status == 200:
            self._counts.unanswered -= 1
            self._counts.acknowledged[0] += 1
            self._counts.acknowledged[1] += len(changes)
            self._ledger.acknowledge(changes)
        elif answer.status not in _MAY_HAVE_HAPPENED:
            self._counts.check(f"a change was answered by {answer.status}: {answer.body[:200]!r}")

    async def _read_item(self, connection: Connection, one: int) -> None:
        answer = await connection.ask(request_of("GET", f"/v1/items/{one}"))
        if answer.status == 404:
            self._counts.check(self._ledger.fault_of_item(one, None))
            return
        found = answer.json()
        self._check(answer, lambda: self._ledger.fault_of_item(one, Item(found["code"], found["columns"]["version"])))
        if (item := self._ledger.certain(one)) is not None:
            await self._read_zero(connection, one, item.code)

    async def _read_zero(self, connection: Connection, one: int, code: str) -> None:
        """Search for an item by its last code; one that is deleted must not be found."""
        answer = await connection.ask(request_of("POST", "/v1/search", {"query": {"code": code}, "radius": 0}))
        if len(self._ledger.possible(one)) == 1:
            self._check(answer, lambda: self._ledger.fault_at_zero(one, answer.json()["hits"]))

    def _check(self, answer: Answer, fault: Callable[[], str]) -> None:
        """Check an answer, unless the service is too busy for one."""
        if answer.status == 200:
            self._counts.check(fault())
        elif answer.status not in _MAY_HAVE_HAPPENED:
            self._counts.check(f"a question was answered by {answer.status}: {answer.body[:200]!r}")

    def _new_item(self) -> Item:
        return Item(self._random_codes(1).tobytes().hex(), int(self._rng.integers(1, 10**9)))

    def _random_codes(self, rows: int) -> np.ndarray:
        return self._rng.integers(0, 256, (rows, WIDTH), dtype=np.uint8)


def _sent(one: int, item: Item) -> dict[str, Any]:
    return {"id": one, "code": item.code, "columns": {"version": item.version}}


def _there(changes: Mapping[int, State]) -> list[tuple[int, Item]]:
    return [(one, item) for one, item in changes.items() if item is not None]


def _stored(path: Path) -> dict[int, Item]:
    """Return all items of an index on disk."""
    found = Index.open(path).to_codes()
    codes = [code.tobytes().hex() for code in found.codes]
    rows = zip(found.ids.tolist(), codes, found.columns["version"], strict=True)
    return {one: Item(code, int(version)) for one, code, version in rows}


def faults_table(counts: Counts) -> str:
    """Return what happened as a table."""
    quarter = max(1, len(counts.memory) // 4)
    first, last = (_median(part) for part in (counts.memory[:quarter], counts.memory[-quarter:]))
    rows: list[tuple[str, object]] = [
        ("changes acknowledged", f"{counts.acknowledged[0]:,} of {counts.acknowledged[1]:,} items"),
        ("changes without an answer", counts.unanswered),
        ("items lost", counts.lost),
        ("answers checked", f"{counts.checked:,}"),
        ("answers wrong", len(counts.faults)),
        ("kills", counts.kills),
        ("processes that outlived a kill", counts.orphans),
        ("index verify", "passed" if counts.verified else "failed"),
        ("exit code of the service", counts.exit_code),
        ("memory, first quarter", f"{first.all:.0f} MB, {first.own:.0f} of its own"),
        ("memory, last quarter", f"{last.all:.0f} MB, {last.own:.0f} of its own"),
    ]
    return table(["faults", "found"], rows)


def _median(memory: list[Memory]) -> Memory:
    return Memory(*np.median(np.array(memory), axis=0).tolist())
