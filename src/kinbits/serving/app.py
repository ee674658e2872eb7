"""The application: addresses, and what stands before them."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

from fastapi import FastAPI, Request, Response
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kinbits._util import read_regular
from kinbits.errors import ArtefactError, KinbitsError, UsageError
from kinbits.serving.duplicate_page import add_duplicates_page
from kinbits.serving.duplicate_routes import add_duplicates
from kinbits.serving.logs import log
from kinbits.serving.pages import DUPLICATES, PATHS, STATIC, add_page
from kinbits.serving.problems import (
    MEDIA_TYPE,
    Refused,
    first_fault,
    refusal_of,
    too_full,
    too_large,
    too_many,
    too_slow,
    unauthorised,
)
from kinbits.serving.routes import add_routes
from kinbits.serving.served_index import ServedIndex
from kinbits.serving.service import Service
from kinbits.serving.settings import ServeSettings

PROBES = ("/healthz", "/readyz")
"""Addresses that whoever watches the service may ask, by any name and without a token."""
API = "/v1/"
CHANGED = (f"{API}items", f"{API}duplicates")
"""Beginnings of the addresses that need the token to write, but for reading."""
_BODIES = 16  # of the largest size, that may be on their way or in work at one time
_PIECE = 1 << 18  # bytes of an answer
_LEAST_TOKEN = 16  # characters
_GONE = 499  # the status of a request whose client has gone, in logs and numbers
_SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "Cache-Control": "no-store",
}


def create_app(indexes: Sequence[ServedIndex], settings: ServeSettings | None = None) -> FastAPI:
    """Return the application of a service, for any ASGI server; `serve` runs it.

    Args:
        indexes: What is served.
        settings: Limits and tokens; None takes the usual ones.

    Raises:
        UsageError: If two indexes have one name, or there is none.
        ArtefactError: If a file of a token, or a report of duplicates, cannot be used.
    """
    settings = settings or ServeSettings()
    service = Service(indexes, settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.stop()

    app = FastAPI(
        title="kinbits",
        version=version("kinbits"),
        summary="Search by binary codes.",
        lifespan=lifespan,
        docs_url=None,  # those pages load scripts of other hosts
        redoc_url=None,
        openapi_url="/v1/openapi.json",
    )
    app.state.service = service
    add_routes(app, service)
    add_duplicates(app, service)
    add_page(app, service)
    add_duplicates_page(app, service)
    _add_error_answers(app)
    app.add_middleware(Guard, service=service, tokens=Tokens(settings))
    if settings.cors_origins:  # before the guard, whose refusals other pages may read too
        from starlette.middleware.cors import CORSMiddleware

        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
        )
    return app


def _add_error_answers(app: FastAPI) -> None:
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException

    async def refused(request: Request, error: Exception) -> Response:
        return _problem(error if isinstance(error, Refused) else refusal_of(_known(error)))

    def _known(error: Exception) -> KinbitsError:
        if isinstance(error, RequestValidationError):
            return UsageError(first_fault(error.errors(), skip=1))
        assert isinstance(error, KinbitsError)
        return error

    async def of_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        name = {404: "not-found", 405: "method"}.get(error.status_code, "usage")
        what = f"{request.method} {request.url.path} is no address of this service; see /v1/openapi.json"
        headers = {"Allow": ", ".join(_methods(request))} if error.status_code == 405 else None
        return _problem(Refused(error.status_code, name, str(error.detail), what, headers=headers))

    for kind in (KinbitsError, Refused, RequestValidationError):
        app.add_exception_handler(kind, refused)
    app.add_exception_handler(HTTPException, of_http)


def _methods(request: Request) -> list[str]:
    """Return the methods of an address, which several routes may share."""
    routes = [route for route in request.app.routes if route.matches(request.scope)[0] != Match.NONE]
    return sorted({method for route in routes for method in getattr(route, "methods", None) or ()})


def _problem(refused: Refused) -> Response:
    body = json.dumps(refused.to_dict())  # escapes names of files that are no Unicode
    return Response(body, refused.status, refused.headers, media_type=MEDIA_TYPE)


class Tokens:
    """The tokens of a service, and what each allows.

    Args:
        settings: Names the files.

    Raises:
        ArtefactError: If a file cannot be read, or holds no token of 16 characters or more.
    """

    def __init__(self, settings: ServeSettings) -> None:
        self._read = None if settings.token_file is None else _token(settings.token_file)
        self._write = None if settings.write_token_file is None else _token(settings.write_token_file)

    def check(self, header: str, *, write: bool) -> None:
        """Refuse a request without the right token.

        Args:
            header: The ``Authorization`` header.
            write: Whether the request changes an index, or decides on duplicates.
        """
        scheme, _, token = header.partition(" ")
        given = token.strip().encode() if scheme.lower() == "bearer" else b""
        may_write = self._write is not None and hmac.compare_digest(given, self._write)
        if write:
            if self._write is None:
                raise unauthorised("this service is read-only; start it with --write-token-file to change it", 403)
            if not may_write:
                raise _no_token(given, "the token to write")
        elif self._read is not None and not (may_write or hmac.compare_digest(given, self._read)):
            raise _no_token(given, "a token")


def _no_token(given: bytes, what: str) -> Refused:
    wrong = "this is not the right token; " if given else ""
    return unauthorised(f"{wrong}send {what}: Authorization: Bearer TOKEN")


def _token(path: Path) -> bytes:
    try:
        token = read_regular(path).strip()
    except OSError as error:
        raise ArtefactError(f"{path}: the token cannot be read ({error.strerror}); give a file with one") from None
    if len(token) < _LEAST_TOKEN or len(token.split()) != 1:
        raise ArtefactError(f"{path}: a token is one word of {_LEAST_TOKEN} characters or more; write another one")
    return token


class Guard:
    """Stands before all addresses: host, token, queue, size and time; counts, logs, and sets headers.

    Args:
        app: What stands behind.
        service: Its limits and numbers.
        tokens: Who may do what.
    """

    def __init__(self, app: ASGIApp, service: Service, tokens: Tokens) -> None:
        self._app, self._service, self._tokens = app, service, tokens
        self._running, self._usual = 0, 0.05  # requests now; seconds that one takes
        self._held = 0  # bytes of bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self._service.settings.max_upload_mb, self._take)
        path = scope["path"]
        try:
            if path not in PROBES:
                self._check(exchange)
            # the pages without JavaScript
            asks = path == DUPLICATES or (path == "/" and bool(scope["query_string"]))
            await self._timed(exchange, counted=asks or path.startswith(API))
        except Refused as refused:
            self._service.metrics.refused.labels(refused.name).inc()
            await exchange.answer(_problem(refused))
        except ClientDisconnect:
            exchange.status = _GONE
        except Exception as error:  # a fault of ours: told in the log, and not to strangers
            log("fault", logging.ERROR, error=error, request=exchange.id)
            detail = f"the log of the service tells more, at request {exchange.id}"
            await exchange.answer(_problem(Refused(500, "fault", "A fault in kinbits", detail)))
        finally:
            self._held -= exchange.taken
            self._note(exchange)

    def _check(self, exchange: _Exchange) -> None:
        settings, host = self._service.settings, exchange.header("host")
        if settings.needs_host and not settings.knows_host(host):
            detail = f"this service is not known as '{host}'; name it by allowed_hosts, or give it a token file"
            raise Refused(421, "host", "Another host is meant", detail)
        if exchange.scope["path"] not in PATHS and exchange.scope["method"] != "OPTIONS":  # sent without a token
            write = exchange.scope["path"].startswith(CHANGED) and exchange.scope["method"] != "GET"
            self._tokens.check(exchange.header("authorization"), write=write)
        exchange.check_length()

    async def _timed(self, exchange: _Exchange, *, counted: bool) -> None:
        limits, busy = self._service.settings, self._service.metrics.busy
        if not counted:
            await self._app(exchange.scope, exchange.receive, exchange.send)
            return
        try:
            async with asyncio.timeout(limits.timeout):
                await exchange.read()  # before the request counts: who sends slowly holds nobody else
        except TimeoutError:
            raise too_slow(limits.timeout) from None
        if self._running >= limits.max_queue:
            raise too_many(self._running, max(1.0, self._running * self._usual / 2))
        began = time.monotonic()
        self._running += 1
        busy.set(self._running)
        try:
            async with asyncio.timeout(limits.timeout):
                await self._app(exchange.scope, exchange.receive, exchange.send)
        except TimeoutError:
            raise too_slow(limits.timeout) from None
        finally:
            self._running -= 1
            busy.set(self._running)
            self._usual = 0.9 * self._usual + 0.1 * (time.monotonic() - began)

    def _take(self, size: int) -> None:
        """Count the bytes of a body on its way.

        Raises:
            Refused: If all of them take the memory that they may take.
        """
        self._held += size
        most = _BODIES * self._service.settings.max_upload_mb
        if self._held > 1e6 * most:
            raise too_full(most)

    def _note(self, exchange: _Exchange) -> None:
        route = getattr(exchange.scope.get("route"), "path", "other")
        self._service.metrics.seconds.labels(route, str(exchange.status)).observe(exchange.seconds)
        if exchange.scope["path"] not in (*PROBES, *STATIC):
            milliseconds = round(1000 * exchange.seconds, 2)
            shown = {"method": exchange.scope["method"], "path": exchange.scope["path"], "status": exchange.status}
            client = (exchange.scope.get("client") or ("",))[0]
            log("request", **shown, ms=milliseconds, request=exchange.id, client=client)


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, most_mb: float, take: Callable[[int], None]) -> None:
        self.scope, self._receive, self._send, self._take = scope, receive, send, take
        self._whole: bytes | None = None
        self.id, self.status, self._began = uuid.uuid4().hex[:16], 0, time.monotonic()
        self._most, self.taken = int(most_mb * 1e6), 0
        self._headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}

    @property
    def seconds(self) -> float:
        """Seconds since the request came."""
        return time.monotonic() - self._began

    def header(self, name: str) -> str:
        """Return a header of the request; empty without it."""
        return str(self._headers.get(name, ""))

    def check_length(self) -> None:
        """Refuse a body that says itself that it is too large."""
        length = self.header("content-length")
        if length.isdecimal() and int(length) > self._most:
            raise self._too_large()

    def _too_large(self) -> Refused:
        return too_large(f"the body is above {self._most / 1e6:g} MB; send a smaller one")

    async def read(self) -> None:
        """Read the whole body, which `receive` then returns.

        Raises:
            ClientDisconnect: If the client has gone.
        """
        parts, more = [], True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        self._whole = b"".join(parts)

    async def receive(self) -> Message:
        """Return the body that was read, or its next part."""
        if self._whole is not None:
            whole, self._whole = self._whole, None
            return {"type": "http.request", "body": whole, "more_body": False}
        message = await self._receive()
        size = len(message.get("body", b""))
        self.taken += size
        self._take(size)
        if self.taken > self._most:
            raise self._too_large()
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the answer; the first one with our headers."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own = {name.lower() for name, _ in message["headers"]}
            extra = {**_SAFE, "X-Request-Id": self.id}
            more = [(n.lower().encode(), v.encode()) for n, v in extra.items() if n.lower().encode() not in own]
            message = {**message, "headers": [*message["headers"], *more]}
        body = message.get("body", b"")
        while len(body) > _PIECE:  # each waits until the client has taken most of what was sent before
            await self._send({**message, "body": body[:_PIECE], "more_body": True})
            body = body[_PIECE:]
        await self._send({**message, "body": body} if message["type"] == "http.response.body" else message)

    async def answer(self, response: Response) -> None:
        """Send a whole answer, unless another one was begun."""
        if not self.status:
            await response(self.scope, self._receive, self.send)
