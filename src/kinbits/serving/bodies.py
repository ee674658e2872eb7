"""Bodies of requests: JSON, or an image with the rest in the address."""

from __future__ import annotations

import base64
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from kinbits.errors import UsageError
from kinbits.serving.problems import first_fault, too_large
from kinbits.serving.schemas import Encode, Search
from kinbits.serving.service import Service

Body = TypeVar("Body", bound=BaseModel)

JSON = "application/json"
_SMALL = 1 << 15  # bytes; to change the thread would take longer
_LISTS = ("queries", "items", "ids")


async def read_body(request: Request, kind: type[Body], service: Service) -> Body:
    """Read the body of a request; a large one in a thread.

    Args:
        request: The request.
        kind: What its body is.
        service: Its limits.

    Raises:
        UsageError: If the body does not fit; the message names the place.
        Refused: If it holds more parts than one request may.
    """
    body = await request.body()
    media = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if not body:
        raise UsageError(f"the body is empty; send {JSON}{'' if media == JSON else ', or an image'}")
    most = service.settings.max_batch
    if len(body) <= _SMALL:
        return _parsed(request, kind, body, media, most)
    return await service.in_thread(lambda: _parsed(request, kind, body, media, most))


def _parsed(request: Request, kind: type[Body], body: bytes, media: str, most: int) -> Body:
    try:
        if media == JSON:
            return kind.model_validate(_counted(from_json(body), most))
        if media.startswith("image/") or media == "application/octet-stream":
            return _of_image(request, kind, body)
    except ValidationError as error:
        raise UsageError(_first_of(error, kind)) from None
    except ValueError as error:
        raise UsageError(f"the body is no JSON ({error})") from None
    raise UsageError(f"the body is {media}; send {JSON}, or an image as image/jpeg or another kind of image")


def _counted(body: Any, most: int) -> Any:
    """Refuse a list above the limit, before each of its parts is looked at."""
    for name in _LISTS if isinstance(body, dict) else ():
        if isinstance(body.get(name), list) and len(body[name]) > most:
            raise too_large(f"{len(body[name]):,} {name} in one request; up to {most:,} are answered")
    return body


def _of_image(request: Request, kind: type[Body], body: bytes) -> Body:
    named: dict[str, Any] = dict(request.query_params)
    conditions = request.query_params.getlist("where")
    named |= {"where": conditions} if len(conditions) > 1 else {}
    image = {"image": base64.b64encode(body).decode()}
    if kind is Encode:
        return kind.model_validate({**named, "items": [image]})
    if kind is not Search:
        raise UsageError(f"send {JSON}")
    return kind.model_validate({**named, "query": image})


def _first_of(error: ValidationError, kind: type[BaseModel]) -> str:
    errors = error.errors(include_url=False, include_input=False)
    if errors[0]["type"] == "extra_forbidden" and len(errors[0]["loc"]) == 1:
        return f"unknown field '{errors[0]['loc'][0]}'; known: {', '.join(kind.model_fields)}"
    return first_fault(errors)
