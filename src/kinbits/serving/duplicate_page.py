"""The page of duplicates: groups side by side, with and without JavaScript."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import TypeAdapter, ValidationError

from kinbits._util import render
from kinbits.dedupe import PAGE_FOLDER
from kinbits.errors import KinbitsError, UsageError
from kinbits.serving.duplicate_routes import review_of
from kinbits.serving.duplicates import Wishes, page_of
from kinbits.serving.pages import DUPLICATES, PAGE_HEADERS, PAGES
from kinbits.serving.problems import Refused, first_fault, refusal_of
from kinbits.serving.service import Service

_WISHES = TypeAdapter(Wishes)
_READ = ("kind", "undecided", "start", "before")


def add_duplicates_page(app: FastAPI, service: Service) -> None:
    """Add the page of duplicates to an application; a service that needs a token shows groups only by its script.

    Args:
        app: The application.
        service: Whose duplicates are shown.
    """
    secret = service.settings.token_file is not None

    @app.get(DUPLICATES, include_in_schema=False)
    async def page(request: Request) -> Response:
        """Return the page, with the groups that the address asks for."""
        given = {name: value for name, value in request.query_params.items() if value}
        wishes, found, refused = Wishes(), None, None
        try:
            wishes = _wishes(given)
            found = None if secret else await _found(service, given.get("index"), wishes)
        except Refused as error:
            refused = error
        except KinbitsError as error:
            refused = refusal_of(error)
        names = [] if secret else [name for name, served in service.indexes.items() if served.review is not None]
        html = render(
            PAGES / "duplicates.html.j2",
            (PAGE_FOLDER,),
            wishes=wishes,
            found=found,
            refused=refused,
            names=names,
            secret=secret,
            writable=service.settings.write_token_file is not None,
            addresses=_addresses(given, found),
            where=_where(found),
        )
        return HTMLResponse(html, 200 if refused is None else refused.status, PAGE_HEADERS)


def _wishes(given: Mapping[str, str]) -> Wishes:
    try:
        return _WISHES.validate_python({name: given[name] for name in _READ if name in given})
    except ValidationError as error:
        raise UsageError(first_fault(error.errors(include_url=False))) from None


async def _found(service: Service, index: str | None, wishes: Wishes) -> dict[str, Any]:
    if index is None:  # the first one that has duplicates
        index = next((name for name, served in service.indexes.items() if served.review is not None), None)
    served, review = review_of(service, index)
    return await service.in_thread(lambda: page_of(served, review, wishes))


def _addresses(given: Mapping[str, str], found: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the addresses of the previous and the next page; empty where there is none."""
    kept = {name: given[name] for name in ("index", "kind", "undecided") if name in given}
    ways = {"previous": "before", "next": "start"}
    numbers = {way: None if found is None else found[way] for way in ways}
    return {
        way: "" if number is None else f"?{urlencode({**kept, ways[way]: number})}" for way, number in numbers.items()
    }


def _where(found: Mapping[str, Any] | None) -> str:
    """Return which of the groups are shown."""
    if not found or not found["groups"]:
        return ""
    first = found["place"] + 1
    last = found["place"] + len(found["groups"])
    return f"{first:,} to {last:,} of {found['count']:,}"
