"""The addresses of the review of duplicates."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response

from kinbits.dedupe import ChangedDecisionError, Kind, NothingLeftError, Review, ReviewedReport
from kinbits.serving.bodies import JSON, read_body
from kinbits.serving.duplicates import (
    FILES_OF_GROUP,
    GROUPS_SHOWN,
    MOST_GROUPS,
    Wishes,
    group_json,
    page_of,
    totals_json,
)
from kinbits.serving.problems import Refused, not_found
from kinbits.serving.routes import ANSWERS, LARGEST_THUMBNAIL, IndexName, body_of, json_answer
from kinbits.serving.schemas import Decide
from kinbits.serving.served_index import ServedIndex
from kinbits.serving.service import Service

Number = Annotated[int, Query(ge=0, lt=2**31)]
_EXAMPLES = {
    "some files": {"value": {"version": "53f0a1c2d4e5b6a7", "decisions": {"0": "keep", "1": "remove"}}},
    "the best one": {"value": {"version": "53f0a1c2d4e5b6a7", "best": True}},
    "no duplicates": {"value": {"version": "53f0a1c2d4e5b6a7", "decisions": {"0": "keep", "1": "keep"}}},
}
_GROUP = {
    "group": 0,
    "kind": "copies",
    "why": "most pixels",
    "version": "53f0a1c2d4e5b6a7",
    "size": 2,
    "files": [
        {
            "file": 0,
            "path": "cats/7.jpg",
            "bytes": 81_234,
            "width": 640,
            "height": 480,
            "modified": 1_600_000_000.0,
            "distance": 0,
            "similarity": 1.0,
            "shown": "cats/7.jpg",
            "decision": "keep",
            "note": "",
            "thumbnail": "v1/duplicates/0/0/thumbnail?index=photos&report=0123456789ab",
        }
    ],
}
_ANSWERS: dict[int | str, dict[str, Any]] = {**ANSWERS, 403: ANSWERS[401], 409: ANSWERS[404]}


def _answers(example: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    return {**_ANSWERS, 200: {"content": {JSON: {"example": example}}}}


def review_of(service: Service, index: str | None) -> tuple[ServedIndex, Review]:
    """Return the review of an index; without a name, the only review.

    Raises:
        Refused: If there is none.
        UsageError: If there are several, and no name.
    """
    having = [served for served in service.indexes.values() if served.review is not None]
    if not having:
        raise not_found("no report of duplicates is served here; start the service with --duplicates REPORT")
    served = having[0] if index is None and len(having) == 1 else service.find(index)
    if served.review is None:
        raise not_found(f"index '{served.name}' has no duplicates; start with --duplicates {served.name}=REPORT")
    return served, served.review


def add_duplicates(app: FastAPI, service: Service) -> None:
    """Add the addresses of the review to an application."""

    @app.get("/v1/duplicates", responses=_answers({"index": "photos", "groups": [_GROUP]}))
    async def duplicates(
        index: IndexName = None,
        kind: Annotated[Kind | None, Query(description="Only groups of this kind.")] = None,
        undecided: Annotated[bool, Query(description="Only groups without a decision.")] = False,
        start: Number = 0,
        before: Number | None = None,
        limit: Annotated[int, Query(ge=1, le=MOST_GROUPS)] = GROUPS_SHOWN,
    ) -> Response:
        """Return a page of groups of duplicates, and what was decided so far.

        `images` tells whether they are in a folder that images may be read from.
        `next` is the `start` of the next page, and `previous` the `before` of the one before. A page ends before 200
        files, and a group on it shows 200 files; the others are at its own address.
        """
        served, review = review_of(service, index)
        wishes = Wishes(kind, undecided, start, before, limit)
        found = await service.in_thread(lambda: page_of(served, review, wishes))
        return json_answer({**found, "writable": service.settings.write_token_file is not None})

    @app.get("/v1/duplicates/{group}", responses=_answers(_GROUP))
    async def duplicate_group(group: int, index: IndexName = None, start: Number = 0) -> Response:
        """Return a group of duplicates, with 200 of its files from the number `start` on."""
        served, review = review_of(service, index)

        def read() -> dict[str, Any]:
            state = _state(review, group)
            found = state.read([group], slice(start, start + FILES_OF_GROUP))
            return group_json(state, found[0], served.name, start)

        return json_answer(await service.in_thread(read))

    @app.post(
        "/v1/duplicates/{group}",
        responses=_answers({"index": "photos", "group": _GROUP, "others": []}),
        openapi_extra=body_of(Decide, examples=_EXAMPLES),
    )
    async def decide(request: Request, group: int, index: IndexName = None) -> Response:
        """Decide on files of a group. The decisions are on disk when the answer comes. Needs the token to write.

        They are in decisions.json in the folder of the report, which `kinbits dedupe apply` carries out. The answer has
        the group, and all others that one of its files is in.
        """
        served, review = review_of(service, index)
        asked = await read_body(request, Decide, service)
        await service.in_thread(lambda: _state(review, group))  # there is such a group
        others = await service.in_writer(lambda: _decided(review, group, asked))

        def answer() -> dict[str, Any]:
            state = _state(review, group)
            now = group_json(state, state.read([group], slice(FILES_OF_GROUP))[0], served.name)
            return {"index": served.name, "group": now, "others": others, **totals_json(state)}

        return json_answer(await service.in_thread(answer))

    @app.get("/v1/duplicates/{group}/{file}/thumbnail", responses=_ANSWERS, response_class=Response)
    async def duplicate_thumbnail(
        group: int,
        file: int,
        index: IndexName = None,
        size: Annotated[int, Query(ge=16, le=LARGEST_THUMBNAIL)] = 256,
        report: Annotated[str, Query(description="Beginning of the digest of the report that the group is of.")] = "",
    ) -> Response:
        """Return a small JPEG of a file of a group, made anew from its pixels."""
        served, review = review_of(service, index)
        state = await service.in_thread(lambda: _state(review, group, file))
        if not state.decisions.report.startswith(report):
            raise not_found("the report was made again; read its groups again")
        path = await service.in_thread(lambda: served.below_roots(state.path_of(group, file)))
        if path is None:
            raise not_found(
                f"file {file} of group {group} is gone, or outside the folders of images; --image-roots names more"
            )
        made = await service.thumbnail_of(path, None, size)
        return Response(made, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})


def _state(review: Review, group: int, file: int = 0) -> ReviewedReport:
    """Return the report and its decisions, if it has such a file.

    Raises:
        Refused: If it has none.
    """
    state = review.read()
    if not 0 <= group < len(state):
        raise not_found(f"the report has no group {group}; it has {len(state):,}, numbered from 0")
    if not 0 <= file < len(state.report.groups[group]):
        raise not_found(f"group {group} has no file {file}; it has {len(state.report.groups[group]):,}, from 0")
    return state


def _decided(review: Review, group: int, asked: Decide) -> list[int]:
    try:
        choices: Any = "best" if asked.best else asked.decisions
        return review.decide(group, choices, asked.version, remove_all=asked.remove_all)
    except ChangedDecisionError as error:
        raise Refused(409, "changed", "There is another decision", str(error)) from None
    except NothingLeftError as error:
        raise Refused(409, "nothing-left", "No file would be left", str(error)) from None
