"""Errors as problem documents (RFC 9457): what is wrong, and the remedy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from kinbits.errors import ArtefactError, BusyError, DataError, KinbitsError, PlatformError, UsageError

MEDIA_TYPE = "application/problem+json"
PREFIX = "urn:kinbits:"
# The most special ones first; the status, the end of the type, and the title of a problem.
_KINDS: tuple[tuple[type[KinbitsError], int, str, str], ...] = (
    (UsageError, 400, "usage", "The request cannot be used"),
    (DataError, 422, "data", "The data do not fit"),
    (ArtefactError, 409, "artefact", "The index or model does not fit"),
    (BusyError, 503, "busy", "Another process does this now"),
    (PlatformError, 503, "platform", "The machine stands in the way"),
)
ERRORS: dict[str, type[KinbitsError]] = {PREFIX + name: kind for kind, _, name, _ in _KINDS}
"""Classes of errors by the type of their problem, for a client."""


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """A request that is not carried out.

    Args:
        status: Status of the answer.
        name: End of the type.
        title: Short text for all problems of this type.
        detail: What is wrong here, and what to do.
        retry_after: Seconds after which to try again; 0 for no such advice.
        headers: Further headers of the answer.
    """

    def __init__(
        self,
        status: int,
        name: str,
        title: str,
        detail: str,
        *,
        retry_after: float = 0,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.name, self.title, self.detail = status, name, title, detail
        self.headers = {**(headers or {}), **({"Retry-After": str(math.ceil(retry_after))} if retry_after else {})}

    def to_dict(self) -> dict[str, Any]:
        """Return the problem document."""
        return {"type": PREFIX + self.name, "title": self.title, "status": self.status, "detail": self.detail}


def refusal_of(error: KinbitsError) -> Refused:
    """Return the answer to a request that met an error of the library."""
    for kind, status, name, title in _KINDS:
        if isinstance(error, kind):
            return Refused(status, name, title, str(error), retry_after=1 if status == 503 else 0)
    return Refused(500, "fault", "A fault in kinbits", str(error))


def first_fault(errors: Sequence[Any], skip: int = 0) -> str:
    """Return the first error that pydantic found in a request: its place, and what is wrong there.

    Args:
        errors: All errors.
        skip: Number of first parts of a place that are not told, such as ``query``.
    """
    first = errors[0]
    place, told = ".".join(map(str, first["loc"][skip:])), str(first["msg"]).removeprefix("Value error, ")
    return f"{place}: {told}" if place else told


def not_found(what: str) -> Refused:
    """Return the answer where something does not exist."""
    return Refused(404, "not-found", "There is no such thing", what)


def replaced(name: str) -> Refused:
    """Return the answer to a change of an index that was migrated to another model meanwhile."""
    detail = (
        f"index '{name}' was made again or migrated to another model just now, so nothing was changed; send items, or "
        "codes of the new model, again"
    )
    return Refused(503, "replaced", "The index was replaced", detail, retry_after=1)


def too_large(detail: str) -> Refused:
    """Return the answer to a request above a limit of size."""
    return Refused(413, "too-large", "The request is above a limit", detail)


def too_many(waiting: int, seconds: float) -> Refused:
    """Return the answer where the queue is full."""
    detail = f"{waiting} requests are being answered or wait, which is the limit; try again in {math.ceil(seconds)} s"
    return Refused(429, "too-many", "Too many requests", detail, retry_after=seconds)


def too_full(megabytes: float) -> Refused:
    """Return the answer where bodies of requests take all the memory that they may take."""
    detail = f"the bodies of all requests now are above {megabytes:g} MB, which is the limit; try again in 1 s"
    return Refused(429, "too-many", "Too many requests", detail, retry_after=1)


def too_slow(seconds: float) -> Refused:
    """Return the answer to a request that took too long."""
    detail = (
        f"the request took more than {seconds:g} s; ask for less, or again when the service is less busy. A change of "
        "an index that was begun is still carried out"
    )
    return Refused(504, "too-slow", "The time is over", detail, retry_after=1)


def unauthorised(detail: str, status: int = 401) -> Refused:
    """Return the answer to a request without the right token."""
    headers = {"WWW-Authenticate": 'Bearer realm="kinbits"'} if status == 401 else None
    return Refused(status, "unauthorised", "A token is needed", detail, headers=headers)
