"""Addresses of tables in PostgreSQL, with the table as one more parameter of the URI."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from kinbits.errors import UsageError

MOST_NAME_BYTES = 63  # PostgreSQL cuts longer names
CATALOGUE = "kinbits_indexes"  # table of the facts about all indexes of a schema
_FORM = "write postgresql://USER@HOST:PORT/DATABASE?table=NAME"


@dataclass(frozen=True)
class PostgresAddress:
    """Address of a table.

    Attributes:
        uri: URI without a password, for messages and to open the index again.
        connection: URI for the client library, without the table.
        table: Name of the table.
    """

    uri: str
    connection: str = field(repr=False)
    table: str

    @classmethod
    def from_uri(cls, text: str, default_table: str = "") -> PostgresAddress:
        """Parse a URI.

        Args:
            text: ``postgresql://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE?table=NAME``; other parameters, such as
                ``host=FOLDER`` of a socket or ``sslmode=require``, are those of PostgreSQL's own URIs.
            default_table: Name of the table if the URI has none.

        Raises:
            UsageError: If it is no URI, or names no table; the message shows the valid form.
        """
        try:
            parts = urlsplit(text)
        except ValueError as error:
            raise UsageError(f"{_without_password(text)!r} is not an address ({error}); {_FORM}") from None
        if parts.scheme not in ("postgresql", "postgres") or not text.partition(":")[2].startswith("//"):
            raise UsageError(f"{_without_password(text)!r} is not an address of PostgreSQL; {_FORM}")
        given = [pair for pair in parts.query.split("&") if pair]
        tables = [unquote(pair.partition("=")[2]) for pair in given if pair.startswith("table=")] or [default_table]
        others = [pair for pair in given if not pair.startswith("table=")]
        plain = "postgresql://{}" + parts.path
        account, at, hosts = parts.netloc.rpartition("@")
        shown = [pair for pair in others if not pair.startswith(("password=", "sslpassword="))]
        table = _table(tables[-1])
        uri = plain.format(account.partition(":")[0] + at + hosts)
        connection = plain.format(parts.netloc) + ("?" + "&".join(others) if others else "")
        return cls(f"{uri}?{'&'.join([*shown, f'table={quote(table)}'])}", connection, table)


def _without_password(text: str) -> str:
    head, at, rest = text.partition("?")[0].rpartition("@")
    return f"...{at}{rest}" if at else head + rest


def _table(name: str) -> str:
    if not name:
        raise UsageError(f"the address names no table; {_FORM}")
    if len(name.encode()) > MOST_NAME_BYTES or "\0" in name or name == CATALOGUE:
        raise UsageError(f"table {name!r}: give another name of at most {MOST_NAME_BYTES} bytes; {_FORM}")
    return name
