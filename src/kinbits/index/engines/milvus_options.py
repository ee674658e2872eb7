"""Options of Milvus collections, and the facts that a collection stores about itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from kinbits import hamming
from kinbits.errors import ArtefactError, PlatformError, UsageError, unknown_name
from kinbits.index.engines.milvus_address import MilvusConnection

FORMAT = 1
EXACT, LISTS, GRAPH = "BIN_FLAT", "BIN_IVF_FLAT", "HNSW"
FIXED = ("ids", "index", "nlist", "m", "ef_construction")  # options that cannot change
_GRAPH_SINCE = (2, 6)  # version of the server
_LEVELS = ("Strong", "Session", "Bounded", "Eventually")


@dataclass(frozen=True)
class MilvusOptions:
    """Options of `MilvusIndex`, see there."""

    ids: str = "int"
    index: str = EXACT
    nlist: int = 1024
    nprobe: int = 64
    m: int = 16
    ef_construction: int = 64
    ef_search: int = 100
    consistency: str = "Strong"
    token: str | None = None
    secure: bool = False
    timeout: int = 60

    def __post_init__(self) -> None:
        for name, known in (("ids", ("int", "str")), ("index", (EXACT, LISTS, GRAPH)), ("consistency", _LEVELS)):
            if getattr(self, name) not in known:
                raise unknown_name(f"value of {name}", str(getattr(self, name)), known)

    def built_with(self) -> dict[str, Any]:
        """Return the parameters with which Milvus builds the index."""
        if self.index == GRAPH:
            return {"M": self.m, "efConstruction": self.ef_construction}
        return {"nlist": self.nlist} if self.index == LISTS else {}

    def require_server(self, connection: MilvusConnection) -> None:
        """Check that the server has this kind of index.

        Raises:
            UsageError: If Milvus Lite lacks it.
            PlatformError: If the server is too old.
        """
        if connection.address.lite and self.index != EXACT:
            raise UsageError(f"index='{self.index}' needs a Milvus server; use index='{EXACT}' with Milvus Lite")
        if self.index == GRAPH and (found := connection.version())[0] < _GRAPH_SINCE:
            needed = ".".join(map(str, _GRAPH_SINCE))
            raise PlatformError(
                f"index='{GRAPH}' needs Milvus {needed} or later, and {connection.address.uri} runs {found[1]}; "
                f"use index='{EXACT}' or '{LISTS}', or update the server"
            )


def searched_with(index: str, options: MilvusOptions) -> dict[str, int]:
    """Return the parameters of a search in one kind of index."""
    if index == GRAPH:
        return {"ef": options.ef_search}
    return {"nprobe": options.nprobe} if index == LISTS else {}


def read_facts(connection: MilvusConnection) -> dict[str, Any]:
    """Read the facts that `MilvusIndex.create` stored in the description of the collection.

    Raises:
        ArtefactError: If kinbits did not create the collection, or it has another format.
    """
    try:
        facts = json.loads(connection.call("describe_collection")["description"])["kinbits"]
        if facts["format"] != FORMAT:
            raise ArtefactError(
                f"{connection.address.uri} has format {facts['format']}, known is {FORMAT}; update kinbits"
            )
        hamming.code_width(facts["bits"])
        return {name: facts[name] for name in ("format", "bits", "fingerprint", "index", "nlist")}
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, ArtefactError):
            raise
        raise ArtefactError(
            f"the collection at {connection.address.uri} was not created by kinbits; create one with create_index"
        ) from None
