"""Clusters of Ray for tests: nodes on loopback addresses, each a group of processes that can be killed."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

HEAD, SECOND = "127.0.0.2", "127.0.0.3"  # Ray takes 127.0.0.1 for the address of no node
STARTS_WITHIN = 150.0  # seconds, on a busy machine
TRIES = 4
QUICK_TO_NOTICE = {"RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "4"}


def free_port(host):
    with socket.socket() as made:
        made.bind((host, 0))
        return made.getsockname()[1]


def wait_until(true, what, seconds=STARTS_WITHIN):
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.05)
    return found


class Node:
    """The processes of a node, in a group of their own.

    Args:
        host: Its address.
        arguments: Further ones of ``ray start``.
        folder: For its files; the path must be short, since it holds sockets.
        env: Its environment.
    """

    def __init__(self, host, arguments, folder, env):
        self.host, self.log = host, folder / f"{host}.log"
        command = [str(Path(sys.executable).with_name("ray")), "start", "--block", f"--node-ip-address={host}"]
        command += [
            *arguments,
            "--include-log-monitor=false",
            "--num-cpus=1",
            "--num-gpus=0",
            f"--object-store-memory={80 * 2**20}",
        ]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=env, start_new_session=True)

    @property
    def started(self):
        return "Ray runtime started" in self.log.read_text()

    def pids(self, word):
        """Return the processes of the node whose command line has a word."""
        found = [self.process.pid]
        for one in found:  # grows meanwhile
            for task in Path(f"/proc/{one}/task").glob("*/children"):
                with suppress(OSError):
                    found += map(int, task.read_text().split())
        return [one for one in found if word in _command(one)]

    def kill(self):
        """End the node without a warning."""
        for pid in [*self.pids("raylet"), *self.pids("")]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


def _command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
    except OSError:
        return ""


class RayCluster:
    """Two nodes with one CPU each.

    Attributes:
        env: The environment of those that may connect.
        address: Of the head.
    """

    def __init__(self, folder):
        self.folder = folder
        self.env = {
            **os.environ,
            **QUICK_TO_NOTICE,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            "PYTHONUNBUFFERED": "1",
            "RAY_enable_worker_prestart": "0",
        }
        port = free_port(HEAD)
        self.address = f"{HEAD}:{port}"
        options = ["--head", f"--port={port}", "--include-dashboard=false", "--no-monitor", f"--temp-dir={folder}/t"]
        self.head = self._started(HEAD, options)
        try:
            self.second = self.join()
        except AssertionError:
            self.head.kill()
            raise

    def revive(self):
        """Start the second node again if it was killed."""
        if self.second.process.poll() is not None:
            self.second = self.join()

    def join(self):
        """Start the second node."""
        return self._started(SECOND, [f"--address={self.address}"])

    def _started(self, host, options):
        """Start a node, again if it does not come up within Ray's 30 seconds."""
        for _ in range(TRIES):
            node = Node(host, options, self.folder, self.env)
            with suppress(AssertionError):  # one that hangs is killed too
                wait_until(lambda node=node: node.started or node.process.poll() is not None, "a node")
            if node.started:
                return node
            said = node.log.read_text()
            node.kill()
        raise AssertionError(said)

    def close(self):
        for node in (self.second, self.head):
            node.kill()


@contextmanager
def ray_cluster():
    """Two nodes, or a skipped test where Ray is not installed."""
    pytest.importorskip("ray")
    folder = Path(tempfile.mkdtemp(prefix="r", dir="/tmp"))
    with ExitStack() as held:
        held.callback(shutil.rmtree, folder, ignore_errors=True)
        cluster = RayCluster(folder)
        held.callback(cluster.close)
        yield cluster
