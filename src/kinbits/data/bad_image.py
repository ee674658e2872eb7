"""The error for an image that cannot be used."""

from __future__ import annotations

from kinbits.errors import DataError


class BadImage(DataError):  # noqa: N818 - it names the image's state, not ours
    """An image cannot be used.

    Attributes:
        reason: The reason, in a few words for a report.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def reason_of(what: str, error: Exception) -> str:
    """Return a short reason in one line, with the message of the library that failed."""
    detail = " ".join(str(error).split()) or type(error).__name__
    return f"{what}: {detail[:160]}"
