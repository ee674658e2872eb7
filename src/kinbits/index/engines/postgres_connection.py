"""Connections to PostgreSQL: transactions, codes as bit strings, and errors that name the remedy."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING, Any
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from kinbits._util import require
from kinbits.errors import ArtefactError, KinbitsError, PlatformError, UsageError
from kinbits.index.engines.postgres_address import PostgresAddress
from kinbits.index.engines.postgres_sql import Sql, write

if TYPE_CHECKING:
    import psycopg

_LENGTH = struct.Struct("!i")  # before the bits, in PostgreSQL's binary form of them
_REMEDIES = {
    "password authentication failed": "correct the password in the address, in PGPASSWORD or in ~/.pgpass",
    "no password supplied": "give the password in the address, in PGPASSWORD or in ~/.pgpass",
    "does not exist": "create it, or correct the address",
    "no pg_hba.conf entry": "allow this user and machine in pg_hba.conf of the server",
    "too many clients": "close other connections, or raise max_connections of the server",
}
_EXTENSION = "as a user who may, run in this database: CREATE EXTENSION vector"
_LEAST_VERSION = (0, 7)  # of pgvector, with the Hamming distance of bits


class Bits(bytes):
    """A code in PostgreSQL's binary form."""

    @classmethod
    def from_code(cls, code: NDArray[np.uint8], bits: int) -> Bits:
        """Return a packed code of ``bits`` bits, uint8 ``(w,)``, in this form."""
        return cls(_LENGTH.pack(bits) + code.tobytes())


class PostgresConnection:
    """A connection to the database of an address, which opens at its first use, and again if it was lost.

    Threads may share it: statements and transactions wait for each other. A forked child connects anew.
    """

    def __init__(self, address: PostgresAddress, timeout: int) -> None:
        _psycopg()
        self.address = address
        self._timeout = timeout
        self._lock = RLock()
        self._open: psycopg.Connection[Any] | None = None
        self._process = 0
        self._depth = 0  # of transactions

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make the statements inside one transaction, which an error undoes."""
        with self._lock, self._readable(), self._connected().transaction():
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1

    def execute(self, statement: Sql) -> list[tuple[Any, ...]]:
        """Run a statement, and return its rows; outside of a transaction, a lost connection is opened again.

        Raises:
            PlatformError: If the server cannot be reached, or refuses the statement.
            ArtefactError: If a table is gone.
        """
        with self._lock, self._readable():
            connection = self._connected()
            try:
                return _rows(connection, statement)
            except connection.OperationalError:
                if self._depth or not connection.closed:
                    raise
                return _rows(self._connected(), statement)

    def copy(self, statement: Sql, types: Sequence[str], rows: Iterator[Sequence[Any]]) -> None:
        """Send rows to a ``COPY ... FROM STDIN (FORMAT BINARY)`` without values; errors as in `execute`."""
        with (
            self._lock,
            self._readable(),
            self._connected().cursor() as cursor,
            cursor.copy(statement.text.as_bytes(cursor).replace(b"%%", b"%")) as sent,
        ):
            sent.set_types(types)
            for row in rows:
                sent.write_row(row)

    def extension_version(self, *, create: bool = False) -> tuple[int, ...]:
        """Return the version of pgvector in the database.

        Args:
            create: Create the extension if the database lacks it.

        Raises:
            PlatformError: If it is missing or too old; the message says what to do.
        """
        if create and not self._version():
            with self._extension_errors():
                self.execute(write("CREATE EXTENSION IF NOT EXISTS vector"))
        found = self._version()
        if not found:
            raise PlatformError(f"the database of {self.address.uri} has no pgvector; {_EXTENSION}")
        version = tuple(int(part) for part in found.split(".") if part.isdigit())
        if version < _LEAST_VERSION:
            raise PlatformError(
                f"pgvector {found} at {self.address.uri} has no Hamming distance, 0.7 has; install it on the server, "
                "and run: ALTER EXTENSION vector UPDATE"
            )
        return version

    def _version(self) -> str:
        rows = self.execute(write("SELECT extversion FROM pg_extension WHERE extname = 'vector'"))
        return str(rows[0][0]) if rows else ""

    @contextmanager
    def _extension_errors(self) -> Iterator[None]:
        try:
            yield
        except PlatformError as error:
            remedy = _EXTENSION
            if "permission" not in str(error):
                remedy = "install pgvector on the server (in Debian, the package postgresql-VERSION-pgvector)"
            raise PlatformError(f"{self.address.uri} cannot have pgvector ({_reason(error)}); {remedy}") from None

    def _connected(self) -> psycopg.Connection[Any]:
        if self._open is None or self._open.closed or self._process != os.getpid():
            self._open, self._process, self._depth = self._connect(), os.getpid(), 0
            finalize(self, _close, self._open, self._process)
        return self._open

    def _connect(self) -> psycopg.Connection[Any]:
        module = _psycopg()
        try:
            made: psycopg.Connection[Any] = module.connect(
                self.address.connection,
                autocommit=True,
                connect_timeout=self._timeout,
                fallback_application_name="kinbits",
                prepare_threshold=None,  # plans are made for the values of each query
            )
        except module.ProgrammingError as error:
            raise UsageError(f"{self.address.uri} is not an address of PostgreSQL: {_one_line(error)}") from None
        except module.OperationalError as error:
            message = _one_line(error)
            remedies = [remedy for text, remedy in _REMEDIES.items() if text in message]
            remedy = (remedies or ["check that the server runs, and its address"])[0]
            raise PlatformError(f"PostgreSQL at {self.address.uri} cannot be reached: {message}; {remedy}") from None
        encoding = made.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            made.close()
            raise PlatformError(
                f"the database of {self.address.uri} has the encoding {encoding}; create one with ENCODING 'UTF8'"
            )
        made.execute("SET client_encoding = 'UTF8'")
        _exchange_bits(made)
        return made

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Turn errors of psycopg into one line."""
        module = _psycopg()
        try:
            yield
        except module.errors.UniqueViolation:
            raise UsageError("another program added one of the ids meanwhile; upsert replaces the items") from None
        except module.errors.UndefinedTable as error:
            raise ArtefactError(f"{self.address.uri}: {_one_line(error)}; restore it from a backup") from None
        except module.errors.InsufficientPrivilege as error:
            raise PlatformError(
                f"{self.address.uri}: {_one_line(error)}; give this user the permission, or use another one"
            ) from None
        except module.Error as error:
            raise PlatformError(
                f"PostgreSQL at {self.address.uri} failed: {_one_line(error)}; check that it runs, and its log"
            ) from None


def _close(connection: psycopg.Connection[Any], process: int) -> None:
    if os.getpid() == process:  # a forked child must not end the session of its parent
        connection.close()


def _rows(connection: psycopg.Connection[Any], statement: Sql) -> list[tuple[Any, ...]]:
    with connection.cursor(binary=True) as cursor:
        cursor.execute(statement.text, statement.values)
        return cursor.fetchall() if cursor.description else []


def _psycopg() -> Any:
    try:
        return require("psycopg")
    except ImportError as error:  # psycopg is there without its client library
        raise PlatformError(f"psycopg cannot be used ({error}); run: pip install 'kinbits[postgres]'") from None


def _exchange_bits(connection: psycopg.Connection[Any]) -> None:
    """Exchange bit strings in binary form: `Bits` are sent, and the bytes of codes come back."""
    from psycopg.abc import Buffer
    from psycopg.adapt import Dumper, Loader
    from psycopg.pq import Format

    class BitsDumper(Dumper):
        format = Format.BINARY
        oid = connection.adapters.types["bit"].oid

        def dump(self, obj: Any) -> Buffer:
            return bytes(obj)

    class BitsLoader(Loader):
        format = Format.BINARY

        def load(self, data: Buffer) -> bytes:
            return bytes(data)[_LENGTH.size :]

    connection.adapters.register_dumper(Bits, BitsDumper)
    connection.adapters.register_loader("bit", BitsLoader)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _reason(error: KinbitsError) -> str:
    return str(error).rpartition("; ")[0].rpartition("failed: ")[2]
