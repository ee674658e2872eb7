"""SQL statements in pieces: names are quoted by psycopg, and values are parameters, never text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, LiteralString

if TYPE_CHECKING:
    from psycopg.sql import Composed


@dataclass(frozen=True)
class Sql:
    """A piece of SQL.

    Attributes:
        text: Text with a placeholder for each value.
        values: The values.
    """

    text: Composed
    values: tuple[Any, ...] = ()


def write(template: LiteralString, *parts: Sql) -> Sql:
    """Put pieces into a template, one for each ``{}``."""
    from psycopg import sql

    return Sql(sql.SQL(template).format(*(part.text for part in parts)), _values(parts))


def name(text: str) -> Sql:
    """Quote a name of a table or column."""
    from psycopg import sql

    return Sql(sql.Composed([sql.Identifier(text.replace("%", "%%"))]))  # psycopg reads a single % as a placeholder


def value(given: Any) -> Sql:
    """Return a placeholder for a value."""
    from psycopg import sql

    return Sql(sql.Composed([sql.Placeholder()]), (given,))


def number(given: int) -> Sql:
    """Write a whole number where PostgreSQL takes no parameter."""
    from psycopg import sql

    return Sql(sql.Composed([sql.Literal(int(given))]))


def join(separator: LiteralString, parts: Sequence[Sql]) -> Sql:
    """Join pieces."""
    from psycopg import sql

    return Sql(sql.SQL(separator).join([part.text for part in parts]), _values(parts))


def _values(parts: Sequence[Sql]) -> tuple[Any, ...]:
    return tuple(value for part in parts for value in part.values)
