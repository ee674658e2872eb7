"""A load generator: clients that each keep one connection, and ask the next question when the last one is answered.

Requests are made before the clock starts, and are sent over plain sockets: the clients must not take the time that the
services need on the same cores.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Self

import numpy as np
from _servers import HOST

LONGEST = 60.0  # seconds that one answer may take


class GoneError(ConnectionError):
    """The service closed the connection before its answer."""


@dataclass(frozen=True)
class Answer:
    """Status and body of an answer."""

    status: int
    body: bytes

    def json(self) -> Any:
        """Return the body."""
        return json.loads(self.body)


class Connection:
    """A connection that is kept between requests.

    Args:
        port: Port of the service.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> Answer:
        """Send a request of `request_of`, and return the answer.

        Raises:
            GoneError: If the service cannot be reached, or ends before the answer.
        """
        try:
            async with asyncio.timeout(LONGEST):
                reader, writer = await self.open()
                writer.write(request)
                return await self._answer(reader)
        except (OSError, EOFError) as error:  # among them the time-out
            self.close()
            raise GoneError(str(error)) from None

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect, unless it is connected.

        Raises:
            GoneError: If the service cannot be reached.
        """
        if self._streams is None:
            try:
                self._streams = await asyncio.open_connection(HOST, self._port)
            except OSError as error:
                raise GoneError(str(error)) from None
        return self._streams

    async def _answer(self, reader: asyncio.StreamReader) -> Answer:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers["content-length"]))
        if headers.get("connection") == "close":
            self.close()
        return Answer(int(first.split()[1]), body)

    def close(self) -> None:
        """Close the connection; the next request opens another one."""
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def request_of(method: str, path: str, body: Any = None, *, media: str = "application/json", token: str = "") -> bytes:
    """Return a request as it is sent.

    Args:
        method: Such as ``POST``.
        path: Address, with what follows a question mark.
        body: Bytes as they are; anything else is sent as JSON; None sends nothing.
        media: Kind of the body.
        token: Token to write; empty sends none.
    """
    content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", f"Content-Length: {len(content)}"]
    lines += [f"Content-Type: {media}"] if content else []
    lines += [f"Authorization: Bearer {token}"] if token else []
    return "\r\n".join([*lines, "", ""]).encode() + content


@dataclass(frozen=True)
class Load:
    """What some clients measured together.

    Attributes:
        rate: Answers per second.
        p50: Median seconds of an answer.
        p99: Seconds within which 99 of 100 answers came.
    """

    rate: float
    p50: float
    p99: float


def measure(port: int, requests: Sequence[bytes], clients: int, seconds: float) -> Load:
    """Ask a service for some time.

    Args:
        port: Port of the service.
        requests: Requests that the clients send in turns.
        clients: Number of clients at a time.
        seconds: Seconds after which no client asks again.

    Raises:
        SystemExit: If an answer is not one of status 200: refusals would look fast.
    """
    return asyncio.run(_measure(port, requests, clients, seconds))


async def _measure(port: int, requests: Sequence[bytes], clients: int, seconds: float) -> Load:
    following, taken = cycle(requests), list[float]()
    connections = [Connection(port) for _ in range(clients)]
    for one in connections:  # before the clock starts
        await one.open()
    started = time.perf_counter()

    async def client(connection: Connection) -> None:
        with connection:
            while (asked := time.perf_counter()) < started + seconds:
                _require_good(await connection.ask(next(following)))
                taken.append(time.perf_counter() - asked)

    await asyncio.gather(*map(client, connections))
    p50, p99 = np.percentile(taken, [50, 99])
    return Load(len(taken) / (time.perf_counter() - started), float(p50), float(p99))


def ask_once(port: int, request: bytes) -> Answer:
    """Return one answer."""

    async def ask() -> Answer:
        with Connection(port) as connection:
            return await connection.ask(request)

    return asyncio.run(ask())


def _require_good(answer: Answer) -> None:
    if answer.status != 200:
        raise SystemExit(f"a service answered with status {answer.status}: {answer.body[:300]!r}")


def distances_of(answer: Mapping[str, Any]) -> list[float]:
    """Return the distances of an answer of either service."""
    return [hit["distance"] for hit in answer["hits"]]
