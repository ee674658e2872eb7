"""Options of indexes in PostgreSQL, and the facts that are stored beside each table."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from kinbits import hamming
from kinbits.errors import ArtefactError, UsageError, unknown_name

FORMAT = 1
EXACT, HNSW = "exact", "HNSW"
FIXED = ("ids", "index", "m", "ef_construction")  # options that cannot change
MOST_EF_SEARCH = 1000  # of pgvector


@dataclass(frozen=True)
class PostgresOptions:
    """Options of `PostgresIndex`, see there."""

    ids: str = "int"
    index: str = EXACT
    m: int = 16
    ef_construction: int = 64
    ef_search: int = 100
    shards: Any = ()
    timeout: int = 10

    def __post_init__(self) -> None:
        for name, known in (("ids", ("int", "str")), ("index", (EXACT, HNSW))):
            if getattr(self, name) not in known:
                raise unknown_name(f"value of {name}", str(getattr(self, name)), known)
        if not isinstance(self.shards, (list, tuple)) or not all(isinstance(one, str) for one in self.shards):
            raise UsageError("shards takes a list of the addresses of further servers, e.g. ['postgresql://HOST/DB']")
        if self.ef_search > MOST_EF_SEARCH:
            raise UsageError(f"ef_search={self.ef_search}: pgvector takes at most {MOST_EF_SEARCH}")


@dataclass(frozen=True)
class TableFacts:
    """What an index knows about one of its tables.

    Attributes:
        bits: Code length.
        ids: Kind of the ids, ``"int"`` or ``"str"``.
        index: `EXACT` or `HNSW`.
        m: Links per node of the graph.
        ef_construction: Candidates per item while the graph is built.
        name: Random name that all tables of an index share.
        number: Number of the table, from 0.
        shards: Addresses of all other tables, without passwords; only table 0 has them.
        fingerprint: Fingerprint of the model; None if it is unknown.
        model: Folder of the model; None if it is unknown.
    """

    bits: int
    ids: str
    index: str
    m: int
    ef_construction: int
    name: str
    number: int = 0
    shards: tuple[str, ...] = ()
    fingerprint: str | None = None
    model: str | None = None

    def to_json(self) -> str:
        """Return the facts as JSON."""
        return json.dumps({"format": FORMAT, **asdict(self)})

    @classmethod
    def from_json(cls, text: str, place: str) -> TableFacts:
        """Read facts.

        Raises:
            ArtefactError: If they have another format, or are damaged.
        """
        try:
            given = json.loads(text)
            if given.pop("format") != FORMAT:
                raise ArtefactError(f"{place} has another format, known is {FORMAT}; update kinbits")
            facts = cls(**{**given, "shards": tuple(given["shards"])})
            hamming.code_width(facts.bits)
            return facts
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, ArtefactError):
                raise
            raise ArtefactError(f"the facts about {place} are damaged ({error}); restore them from a backup") from None
