"""The search page: one form and a grid of hits, with and without JavaScript."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import ValidationError

from kinbits._util import render
from kinbits.dedupe import PAGE_FOLDER
from kinbits.errors import KinbitsError, UsageError
from kinbits.index import BatchHits, Hits, Index
from kinbits.serving.problems import Refused, first_fault, not_found, refusal_of, unauthorised
from kinbits.serving.schemas import Search
from kinbits.serving.service import Service

PAGES = Path(__file__).with_name("page")
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_OWN = ("api.js", "duplicates.css", "duplicates.js", "filters.js", "grid.js", "icon.svg", "page.js", "pictures.js")
_FILES = {name: PAGES / name for name in (*_OWN, "style.css")}
_FILES |= {name: PAGE_FOLDER / name for name in ("elements.js", "review.css", "review_board.js")}  # shared with dedupe
STATIC = tuple(f"/static/{name}" for name in _FILES)
DUPLICATES = "/duplicates"
PATHS = ("/", DUPLICATES, *STATIC)
"""Addresses of pages, which need no token: what they answer is no secret, unless the page itself asks for one."""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
PAGE_HEADERS = {"Content-Security-Policy": _POLICY}
_WAYS = ("id", "code", "text")
_K = 24  # hits without another wish


def add_page(app: FastAPI, service: Service) -> None:
    """Add the search page and its files to an application.

    A browser cannot send a token with an address. So a service that needs one searches only by the page's script.

    Args:
        app: The application.
        service: What is searched.
    """
    files = {name: path.read_bytes() for name, path in _FILES.items()}

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        """Return the page, with hits if the address asks for some."""
        given = _given(request.query_params)
        way = next((name for name in _WAYS if name in given), None)
        found, refused = None, None
        try:
            if way is not None:
                found = await _search(service, given, way)
        except Refused as error:
            refused = error
        except KinbitsError as error:
            refused = refusal_of(error)
        html = render(PAGES / "index.html.j2", **_values(service, given, way), found=found, refused=refused)
        return HTMLResponse(html, 200 if refused is None else refused.status, PAGE_HEADERS)

    @app.get("/static/{name}", include_in_schema=False)
    async def static(name: str) -> Response:
        """Return a file of the page."""
        if name not in files:
            raise not_found(f"the page has no file '{name}'")
        return Response(files[name], media_type=_TYPES[Path(name).suffix], headers=PAGE_HEADERS)


def _given(parameters: Mapping[str, str]) -> dict[str, str]:
    """Return what the address holds; the form names the kind of its query in ``by``."""
    given = {name: value for name, value in parameters.items() if value.strip()}
    query, way = given.pop("q", None), given.pop("by", None)
    return given if query is None or way not in _WAYS else {**given, way: query}


def _values(service: Service, given: Mapping[str, str], way: str | None) -> dict[str, Any]:
    secret = service.settings.token_file is not None  # then strangers see the page, but no names of indexes
    shown = [] if secret else [served.describe() for served in service.indexes.values()]
    return {
        "given": given,
        "way": way,
        "indexes": shown,
        "duplicates": any(one["duplicates"] for one in shown),
        "ways": {"id", "code", *(kind for one in shown for kind in one["queries"] or ())},
        "k": given.get("k", str(_default_k(service))),
        "default_k": _default_k(service),
        "max_k": service.settings.max_k,
    }


def _default_k(service: Service) -> int:
    return min(_K, service.settings.max_k)


async def _search(service: Service, given: Mapping[str, str], way: str) -> dict[str, Any]:
    """Return the hits as the template shows them.

    Raises:
        Refused: If the service needs a token, or there is no such index or item.
        KinbitsError: If the search cannot be done.
    """
    if service.settings.token_file is not None:
        raise unauthorised("this service needs a token, which only the page with JavaScript can send")
    served = service.find(given.get("index", next(iter(service.indexes))))
    value = served.id_of(given[way]) if way == "id" else given[way]
    wishes = {name: given[name] for name in ("k", "radius", "where") if name in given}
    try:
        asked = Search.model_validate({"k": _default_k(service), **wishes, "index": served.name, "query": {way: value}})
    except ValidationError as error:
        raise UsageError(first_fault(error.errors(include_url=False))) from None
    kept = {"index": served.name} | {name: value for name, value in wishes.items() if name != "radius"}
    pictures = served.describe()["images"]

    def cards(name: str, index: Index, found: BatchHits) -> dict[str, Any]:
        return {"hits": [_card(found[0], row, kept, pictures) for row in range(len(found[0]))]}

    return await service.search(asked, cards)


def _card(hits: Hits, row: int, kept: Mapping[str, str], pictures: bool) -> dict[str, Any]:
    one, distance = hits.ids[row].item(), hits.distances[row].item()
    named = hits.concepts[row] if hits.concepts else {}
    return {
        "id": str(one),
        "columns": {name: value for name, value in hits.rows[row].items() if value is not None},
        "distance": f"{distance:.3f}" if hits.measure else f"{distance:,} bit{'' if distance == 1 else 's'}",
        "concepts": {name: f"{share:.0%}" for name, share in named.items()},
        "more": "?" + urlencode({"id": one, **kept}),
        "picture": f"v1/thumbnails/{quote(str(one), safe='')}?{urlencode({'index': kept['index']})}"
        if pictures
        else "",
    }
