"""What requests hold."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StrictBool, field_validator, model_validator

Id = int | str
Value = bool | int | float | str | None


class Strict(BaseModel):
    """A part of a request; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")


class Tables(Strict):
    """Look-up tables of a query, which a model makes with ``output="tables"``."""

    shape: tuple[int, int] = Field(description="Number of parts and of words.")
    data: str = Field(description="float32 in little-endian order, in base64.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        data = from_base64(self.data, "tables")
        if min(self.shape) < 1 or len(data) != 4 * self.shape[0] * self.shape[1]:
            raise ValueError(f"{len(data)} bytes are no tables of shape {self.shape}")
        return self

    def array(self) -> np.ndarray:
        """Return float32 ``(parts, words)``."""
        return np.frombuffer(from_base64(self.data, "tables"), "<f4").reshape(self.shape).astype(np.float32)


class Item(Strict):
    """Something that has a code: one of code, vector, text and image."""

    kinds: ClassVar[tuple[str, ...]] = ("code", "code_base64", "vector", "text", "image")
    code: str | None = Field(None, description="Hexadecimal digits.")
    code_base64: str | None = Field(None, description="The bytes of a code, in base64.")
    vector: list[float] | None = Field(None, description="As the model of the index reads it.")
    text: str | None = Field(None, description="For a model with a text tower, or an index that keeps concepts.")
    image: str | None = Field(None, description="An encoded image, in base64.")

    @property
    def kind(self) -> str:
        """The one kind that is given."""
        given = self._given()[0]
        return "code" if given in ("code_base64", "id") else given

    def _given(self) -> list[str]:
        return [name for name in self.kinds if getattr(self, name) is not None]

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = self._given()
        if len(given) != 1:
            raise ValueError(f"give one of {', '.join(self.kinds)}, not {' and '.join(given) or 'none'}")
        return self

    @field_validator("image", "code_base64")
    @classmethod
    def _is_base64(cls, text: str | None) -> str | None:
        if text is not None:
            from_base64(text, "this")
        return text

    def image_bytes(self) -> bytes:
        """Return the encoded image."""
        return from_base64(self.image or "", "image")

    def code_bytes(self) -> bytes:
        """Return the code of ``code_base64``."""
        return from_base64(self.code_base64 or "", "code_base64")


class Query(Item):
    """What is searched for: one of id, code, vector, text, image and tables."""

    kinds: ClassVar[tuple[str, ...]] = ("id", *Item.kinds, "tables")
    id: Id | None = Field(None, description="Of an item of the index, whose code is searched for.")
    tables: Tables | None = None


class Search(Strict):
    """A search; the words are those of `kinbits.Index.search`."""

    index: str | None = Field(None, description="Name of the index; it may be left out where there is only one.")
    query: Query | None = None
    queries: list[Query] | None = Field(
        None, fail_fast=True, description="Several queries of one kind, instead of one."
    )
    k: int | None = Field(None, ge=0, description="Maximum number of hits; 10 without a radius.")
    radius: float | None = Field(None, ge=0, description="Maximum distance of a hit, in bits.")
    where: str | list[str] | dict[str, Any] | None = Field(None, description="Filter on metadata.")
    distance: Literal["hamming", "asymmetric"] | None = None
    rerank: int | bool = False
    rescore: int | Literal["bound"] | None = None
    codes: bool = Field(False, description="Whether hits hold their codes.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.query is None) == (self.queries is None):
            raise ValueError("give query or queries, one of them")
        kinds = {query.kind for query in self.asked}
        if len(kinds) > 1:
            raise ValueError(f"queries of several kinds ({', '.join(sorted(kinds))}); ask for each kind by itself")
        return self

    @field_validator("rescore", mode="before")
    @classmethod
    def _is_count(cls, times: Any) -> Any:
        if isinstance(times, bool):
            raise ValueError("give a number of candidates for each hit, or bound")
        return times

    @property
    def asked(self) -> list[Query]:
        """All queries."""
        return [self.query] if self.query is not None else self.queries or []


class Encode(Strict):
    """Items to encode."""

    index: str | None = Field(None, description="Name of the index whose model encodes.")
    items: list[Item] = Field(fail_fast=True)
    output: Literal["codes", "tables"] = "codes"


class NewItem(Item):
    """An item to add."""

    id: Id | None = None
    columns: dict[str, Value] = Field(default_factory=dict)

    @field_validator("columns")
    @classmethod
    def _names(cls, columns: Mapping[str, Value]) -> Mapping[str, Value]:
        if any(not name for name in columns):
            raise ValueError("a column has no name")
        return columns


class Add(Strict):
    """Items to add, all or none."""

    index: str | None = None
    items: list[NewItem] = Field(fail_fast=True)
    upsert: StrictBool = Field(False, description="Replace items whose ids exist.")


class Delete(Strict):
    """Items to remove: ids, or a filter."""

    index: str | None = None
    ids: list[Id] | None = Field(None, fail_fast=True)
    where: str | list[str] | dict[str, Any] | None = None


class Decide(Strict):
    """Decisions on a group of duplicates: on some of its files, or to keep the best one."""

    version: str = Field(description="Version of the group that was read, so that no later decision is lost.")
    decisions: dict[int, Literal["keep", "remove"] | None] | None = Field(
        None, description="By the number of a file in the group; null takes a decision back, others stay."
    )
    best: bool = Field(False, description="Keep the best file that is as the search found it, and remove the others.")
    remove_all: bool = Field(False, description="Confirms that no file of a group is left.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.decisions is None) != self.best:
            raise ValueError("give decisions, or best: true, one of them")
        return self


def from_base64(text: str, name: str) -> bytes:
    """Return the bytes that a text stands for.

    Raises:
        ValueError: If it is no base64.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{name} is no base64") from None
