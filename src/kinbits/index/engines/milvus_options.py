"""Options of Milvus collections, and the facts that a collection stores about itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from kinbits import hamming
from kinbits.errors import ArtefactError, unknown_name
from kinbits.index.engines.milvus_address import MilvusConnection

FORMAT = 1
EXACT, _APPROXIMATE = "BIN_FLAT", "BIN_IVF_FLAT"
FIXED = ("ids", "index", "nlist")  # options that cannot change
_LEVELS = ("Strong", "Session", "Bounded", "Eventually")


@dataclass(frozen=True)
class MilvusOptions:
    """Options of `MilvusIndex`, see there."""

    ids: str = "int"
    index: str = EXACT
    nlist: int = 1024
    nprobe: int = 64
    consistency: str = "Strong"
    token: str | None = None
    secure: bool = False
    timeout: int = 60

    def __post_init__(self) -> None:
        for name, known in (("ids", ("int", "str")), ("index", (EXACT, _APPROXIMATE)), ("consistency", _LEVELS)):
            if getattr(self, name) not in known:
                raise unknown_name(f"value of {name}", str(getattr(self, name)), known)


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
