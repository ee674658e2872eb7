"""Services as processes of their own, on a free port of this machine: start, kill, stop, and the memory they hold."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

HOST = "127.0.0.1"
STARTS_WITHIN = 120.0  # seconds: the first start of a model compiles its network
STOPS_WITHIN = 20.0  # seconds


class Memory(NamedTuple):
    """Resident memory of a process and of all its children, in MB; mapped files count in ``all``, not in ``own``."""

    all: float
    own: float


class Server:
    """A service that can be killed and started again at the same port.

    Args:
        command: Command that starts it; the port is added to the end.
        log: File for what it writes.
    """

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.port = free_port()
        self._command, self._log = [*command, str(self.port)], log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Number of the process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> Self:
        """Start it, and wait until it is ready.

        Raises:
            SystemExit: If it ends, or is not ready in time.
        """
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        end = time.monotonic() + STARTS_WITHIN
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise SystemExit(f"a service did not start:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.05)
        return self

    def _ready(self) -> bool:
        asked = http.client.HTTPConnection(HOST, self.port, timeout=STARTS_WITHIN)
        try:
            asked.request("GET", "/readyz")
            return asked.getresponse().status == 200
        except OSError:
            return False
        finally:
            asked.close()

    def kill(self) -> list[int]:
        """Kill the process without a warning, and return those of its children that outlive it.

        They get a few seconds to notice; what is left then is killed too.
        """
        assert self._process is not None
        children = _family(self.pid)[1:]
        self._process.kill()
        self._process.wait()
        end = time.monotonic() + 5
        while (left := [pid for pid in children if _status(pid)]) and time.monotonic() < end:
            time.sleep(0.02)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return left

    def stop(self) -> int | None:
        """Ask it to end; return its exit code, or None if it did not end in time and was killed."""
        assert self._process is not None
        self._process.terminate()
        try:
            return self._process.wait(STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def memory(self) -> Memory:
        """Return the memory that it holds now."""
        found = [_status(pid) for pid in _family(self.pid)]
        return Memory(*(sum(one.get(name, 0) for one in found) / 1024 for name in ("VmRSS", "RssAnon")))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self.stop()


def kinbits_server(index: Path, log: Path, *options: str) -> Server:
    """Return our service of an index; ``options`` are flags of the command."""
    return Server([sys.executable, "-m", "kinbits", "serve", f"bench={index}", *options, "--port"], log)


def free_port() -> int:
    """Return a port that nobody listens at now."""
    with socket.socket() as made:
        made.bind((HOST, 0))
        port: int = made.getsockname()[1]
        return port


def _family(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    found = [pid]
    for one in found:  # grows meanwhile
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, task.read_text().split())
    return found


def _status(pid: int) -> dict[str, int]:
    """Return the memory of a process in KiB, by the names of ``/proc``; nothing if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines) if "kB" in value}
