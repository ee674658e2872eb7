"""A Milvus server for tests: the program of the package ``milvus``, at free ports, with its data in a new folder.

The package's own command lets two servers collide, because the ports of its store of metadata cannot be chosen there.
"""

from __future__ import annotations

import lzma
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from itertools import chain, count
from pathlib import Path

import pytest

from kinbits.index import create_index

HOST = "127.0.0.1"
LIFE = "900"  # seconds after which a server ends, whatever became of its test
STARTS_WITHIN = 120.0  # seconds
STOPS_WITHIN = 5.0
NUMBERS = count()
KEPT = 6  # collections that a test may use at a time
QUICK = {
    "dmlChannelNum": 2,
    "timeTickInterval": 40,  # milliseconds; strong consistency waits for a tick, by default 200
    "checkInterval": 50,  # of loading a collection, by default 1000
    "distPullInterval": 50,  # by default 500
}
_PLACEHOLDER = re.compile(r"\{\{ *(\w+)(?:\(\w+\))? *(?:: *(.*?))? *\}\}")
_ETCD_PORTS = ("etcd_port", "etcd_peer_port")


class MilvusServer:
    """A server that can be killed and started again on the same data.

    Args:
        package: Folder of the package ``milvus``.
        folder: Folder for its programs, settings, logs and data.
        settings: Settings that differ from its defaults, by their last names.
    """

    def __init__(self, package, folder, settings):
        self.folder, self._process = folder, None
        self._programs = _unpacked(package / "data" / "bin", folder / "bin")
        template = (package / "data" / "config.yaml.template").read_text()
        names = {name for name, _ in _PLACEHOLDER.findall(template) if name.endswith("_port")}
        self._ports = _free_ports([*sorted(names), *_ETCD_PORTS, "health_port"])
        self._write_settings(template, settings)
        shutil.copy(package / "data" / "glog.conf", folder / "configs")

    def _write_settings(self, template, settings):
        data = self.folder / "data"
        values = {
            **self._ports,
            "etcd_log_path": self.folder / "etcd.log",
            "etcd_log_level": "error",
            "etcd_data_dir": data / "etcd.data",
            "local_storage_dir": data,
            "rocksmq_data_dir": data / "rocksmq",
            "system_log_path": self.folder,
        }
        for name in ("configs", "data"):
            (self.folder / name).mkdir()
        client, peer = (f"http://{HOST}:{self._ports[name]}" for name in _ETCD_PORTS)
        etcd = [f"name: {HOST}", f"initial-cluster: {HOST}={peer}"]
        for kind, url in (("client", client), ("peer", peer)):
            prefix = "initial-" if kind == "peer" else ""
            etcd += [f"listen-{kind}-urls: {url}", f"{prefix}advertise-{kind}-urls: {url}"]
        (self.folder / "configs" / "etcd.yaml").write_text("\n".join(etcd))
        text = _PLACEHOLDER.sub(lambda found: str(values.get(found[1], found[2])), template)
        text = text.replace("\netcd:\n", f"\netcd:\n  config:\n    path: {self.folder / 'configs' / 'etcd.yaml'}\n")
        for name, value in {"ip": HOST, "level": "warn", **settings}.items():
            text, times = re.subn(rf"(?m)^( +){name}:.*$", rf"\g<1>{name}: {value}", text)
            assert times, name
        (self.folder / "configs" / "milvus.yaml").write_text(text)

    def address(self, collection):
        return f"milvus://{HOST}:{self._ports['proxy_port']}/{collection}"

    def start(self):
        """Start it, and wait until it is ready."""
        settings = {
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(self._ports["health_port"]),
            "MILVUS_RUN_DIR": str(self.folder / "run"),
            "LD_LIBRARY_PATH": str(self._programs),
        }
        command = ["timeout", LIFE, self._programs / "milvus", "run", "standalone"]
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, **settings},
                process_group=0,
            )
        end = time.monotonic() + STARTS_WITHIN
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise RuntimeError((self.folder / "log").read_text(errors="replace")[-2000:])
            time.sleep(0.05)
        return self

    def _ready(self):
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self._ports['health_port']}/healthz", timeout=5) as answer:
                return answer.read().strip() == b"OK"
        except OSError:
            return False

    def kill(self):
        """End it with SIGKILL, as a crash does."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self):
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            self.kill()


@contextmanager
def milvus_server(settings=QUICK) -> Iterator[MilvusServer]:
    """Start a server, and end it; skip the test if its package is missing."""
    pytest.importorskip("pymilvus", reason="needs pip install 'kinbits[milvus]'")
    package = find_spec("milvus")
    if package is None:
        pytest.skip("needs a Milvus server: pip install milvus==2.3.5")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kinbits-milvus-")))
        server = MilvusServer(Path(package.submodule_search_locations[0]), folder, settings)
        stack.callback(server.stop)
        yield server.start()


def _unpacked(packed, folder):
    folder.mkdir()
    for path in packed.glob("*.lzma"):
        with lzma.open(path) as read, open(folder / path.stem, "wb") as written:
            shutil.copyfileobj(read, written, 1 << 20)
        (folder / path.stem).chmod(0o755)
    return folder


def _free_ports(names):
    """Return ports that nobody listens at now, by name."""
    with ExitStack() as stack:
        made = {name: stack.enter_context(socket.socket()) for name in names}
        for one in made.values():
            one.bind((HOST, 0))
        return {name: one.getsockname()[1] for name, one in made.items()}


class MilvusMaker:
    """Makes collections, each of a new name; on a server it drops the oldest when there are many, which cost time.

    Args:
        place: Returns the address of a collection of a name.
        ahead: Collections to make ahead, in threads: a server takes two seconds for each, in which it mostly waits.
        options: Options of all indexes.
    """

    def __init__(self, place, ahead=0, **options):
        self.place, self.options, self._ahead, self._made, self._usual = place, options, ahead, deque(), None
        self._next, self._threads = {}, ThreadPoolExecutor(ahead + 1)

    def with_options(self, **options):
        return MilvusMaker(self.place, self._ahead, **self.options, **options)

    def address(self):
        return self.place(f"test_{next(NUMBERS)}")

    def __call__(self, path=None, *, bits=None, model=None, **options):
        kind = {"bits": bits, "model": model, **self.options, **options}
        made = self._next.setdefault(repr(kind), deque())
        while len(made) <= (self._ahead if model is None and bits == self._usual else 0):
            made.append(self._threads.submit(create_index, self.address(), **kind))
        self._usual = bits  # of a test with many collections of one length
        self._made.append(made.popleft())
        if self._ahead and len(self._made) > KEPT:
            _drop(self._made.popleft())
        return self._made[-1].result()

    def close(self, *, drop):
        """Make no more collections; drop those that are there, unless their server ends with them."""
        self._threads.shutdown(cancel_futures=True)
        for one in [*self._made, *chain.from_iterable(self._next.values())] if drop else ():
            _drop(one)


def _drop(made):
    if not made.cancelled() and not made.exception():
        made.result()._connection.call("drop_collection")
