"""A second wall around the building of a network that somebody else described: no network, and no pickle."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kinbits.errors import ArtefactError

_FORBIDDEN = {
    "socket.connect": "the network",
    "socket.getaddrinfo": "the network",
    "socket.gethostbyname": "the network",
    "pickle.find_class": "a pickle, which can run code",
}
_here = threading.local()


@contextmanager
def sealed() -> Iterator[None]:
    """Refuse connections and pickles to the code that this thread runs inside the block.

    The lists in `kinbits.backbones.allowed` are the first wall. This one holds whatever a library does with what they
    let through. Other threads are not touched.

    Raises:
        ArtefactError: If the code reached for the network or for a pickle.
    """
    _install()
    outer, _here.closed = getattr(_here, "closed", False), True
    try:
        yield
    finally:
        _here.closed = outer


@functools.cache
def _install() -> None:
    sys.addaudithook(_refuse)  # Python has no way to take one away, so it is added once, and looks at the thread


def _refuse(event: str, _: tuple[Any, ...]) -> None:
    if event in _FORBIDDEN and getattr(_here, "closed", False):
        raise ArtefactError(
            f"the model reaches for {_FORBIDDEN[event]} ({event}) while it is built, which kinbits "
            "never allows; get the model from somebody you trust"
        )
