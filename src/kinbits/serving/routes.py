"""The addresses of the REST interface."""

from __future__ import annotations

import json
from functools import partial
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel

from kinbits import hamming
from kinbits.index import BatchHits, Hits, Index
from kinbits.serving.bodies import JSON, read_body
from kinbits.serving.problems import MEDIA_TYPE, Refused, not_found
from kinbits.serving.schemas import Add, Delete, Encode, Search
from kinbits.serving.service import Service
from kinbits.serving.wire import tables_json

LARGEST_THUMBNAIL = 1024  # pixels
_PROBLEM = {"description": "A problem document (RFC 9457)", "content": {MEDIA_TYPE: {}}}
ANSWERS: dict[int | str, dict[str, Any]] = {status: _PROBLEM for status in (400, 401, 404, 413, 422, 429, 503, 504)}
_EXAMPLES = {
    "a text": {"value": {"query": {"text": "a dog on grass"}, "k": 5}},
    "an item of the index": {"value": {"query": {"id": "cats/7.jpg"}, "k": 5, "where": "label = cat"}},
    "a code": {"value": {"query": {"code": "f00f" * 8}, "radius": 10}},
    "several vectors": {"value": {"queries": [{"vector": [0.1, 0.2]}, {"vector": [0.3, 0.4]}], "k": 5}},
}
IndexName = Annotated[str | None, Query(description="Name of the index; it may be left out where there is only one.")]


def add_routes(app: FastAPI, service: Service) -> None:
    """Add all addresses to an application."""
    _add_search(app, service)
    _add_items(app, service)
    _add_state(app, service)


def _add_search(app: FastAPI, service: Service) -> None:
    @app.post("/v1/search", responses=ANSWERS, openapi_extra=body_of(Search, image=True, examples=_EXAMPLES))
    async def search(request: Request) -> Response:
        """Find the nearest items of one query or of several.

        The body is JSON; or an image itself (``curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg'``), with
        index, k, radius, where, distance and rescore in the address.
        """
        asked = await read_body(request, Search, service)
        return await service.search(asked, partial(_answer, asked))

    @app.post("/v1/encode", responses=ANSWERS, openapi_extra=body_of(Encode, image=True))
    async def encode(request: Request) -> Response:
        """Encode images, texts or vectors with the model of an index; codes are hexadecimal."""
        asked = await read_body(request, Encode, service)
        name, index, found = await service.encode(asked)
        made: Any = hamming.to_hex(found) if asked.output == "codes" else [tables_json(one) for one in found]
        about = {"index": name, "bits": index.bits, "fingerprint": index.fingerprint}
        return json_answer({**about, asked.output: made})


def _add_items(app: FastAPI, service: Service) -> None:
    @app.get("/v1/items", responses=ANSWERS)
    async def item_by_id(id: str, index: IndexName = None) -> Response:
        """Return an item by any id, also one that an address cannot hold, such as ``..``."""
        return json_answer(await service.item(index, id))

    @app.get("/v1/items/{item:path}", responses=ANSWERS)
    async def item(item: str, index: IndexName = None) -> Response:
        """Return an item: its id, its code and its columns."""
        return json_answer(await service.item(index, item))

    @app.get("/v1/thumbnails/{item:path}", responses=ANSWERS, response_class=Response)
    async def thumbnail(
        item: str, index: IndexName = None, size: Annotated[int, Query(ge=16, le=LARGEST_THUMBNAIL)] = 256
    ) -> Response:
        """Return a small JPEG of an item's image, made anew from its pixels."""
        made = await service.thumbnail(index, item, size)
        return Response(made, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})

    @app.post("/v1/items", responses=ANSWERS, openapi_extra=body_of(Add))
    async def add(request: Request) -> Response:
        """Add items, all or none; they are on disk when the answer comes. Needs the token to write."""
        return json_answer(await service.add(await read_body(request, Add, service)))

    @app.delete("/v1/items", responses=ANSWERS, openapi_extra=body_of(Delete))
    async def delete(request: Request) -> Response:
        """Remove items by id or by a filter, all or none. Needs the token to write."""
        return json_answer(await service.delete(await read_body(request, Delete, service)))


def _add_state(app: FastAPI, service: Service) -> None:
    @app.get("/v1/indexes")
    async def indexes() -> Response:
        """Return what is served."""
        return json_answer({"indexes": [served.describe() for served in service.indexes.values()]})

    @app.get("/v1/indexes/{name}", responses=ANSWERS)
    async def index(name: str) -> Response:
        """Return what is known of one index."""
        if name not in service.indexes:
            raise not_found(f"no index '{name}' is served here")
        return json_answer(service.indexes[name].describe())

    @app.get("/healthz")
    async def healthy() -> Response:
        """Tell that the service runs."""
        return json_answer({"status": "ok"})

    @app.get("/readyz")
    async def ready() -> Response:
        """Tell whether models are loaded."""
        if not service.loaded:
            raise Refused(503, "loading", "Models are being loaded", "try again in a moment", retry_after=1)
        return json_answer({"status": "ready"})

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Return the numbers of the service, for Prometheus."""
        text, kind = service.metrics.page({name: one.describe() for name, one in service.indexes.items()})
        return Response(text, media_type=kind)


def body_of(kind: type[BaseModel], *, image: bool = False, examples: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the description of a request's body."""
    schema = kind.model_json_schema()
    schema = _resolved(schema, schema.pop("$defs", {}))
    content: dict[str, Any] = {JSON: {"schema": schema, **({"examples": examples} if examples else {})}}
    content |= {"image/*": {"schema": {"type": "string", "format": "binary"}}} if image else {}
    return {"requestBody": {"required": True, "content": content}}


def _resolved(schema: Any, parts: dict[str, Any]) -> Any:
    """Return a schema with its parts in the place of references: FastAPI describes no parts of these bodies."""
    if isinstance(schema, list):
        return [_resolved(one, parts) for one in schema]
    if not isinstance(schema, dict):
        return schema
    part = parts[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else {}
    return {name: _resolved(value, parts) for name, value in {**part, **schema}.items() if name != "$ref"}


def _answer(asked: Search, name: str, index: Index, found: BatchHits) -> Response:
    """Return the answer to a search."""
    answers = [_hits(hits, codes=asked.codes) for hits in found]
    about = {"index": name, "generation": index.info()["generation"]}
    return json_answer({**about, **answers[0]} if asked.query is not None else {**about, "results": answers})


def _hits(hits: Hits, *, codes: bool) -> dict[str, Any]:
    """Return the hits of one query as JSON types."""
    found: list[dict[str, Any]] = [
        {"id": one, "distance": distance, "columns": columns}
        for one, distance, columns in zip(hits.ids.tolist(), hits.distances.tolist(), hits.rows, strict=True)
    ]
    if codes:
        for hit, code in zip(found, hamming.to_hex(hits.codes), strict=True):
            hit["code"] = code
    for hit, concepts in zip(found, hits.concepts or [], strict=False):
        hit["concepts"] = concepts
    return {"hits": found, **({"measure": hits.measure} if hits.measure else {})}


def json_answer(value: Any) -> Response:
    """Return an answer of JSON; names of files that are no Unicode are escaped."""
    return Response(json.dumps(value, default=str), media_type=JSON)
