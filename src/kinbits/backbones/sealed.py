"""Block on network access and pickles while a network is built from another person's configuration."""

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
    """Raise an error if this thread opens a connection or a pickle inside the block.

    The allow-lists in `kinbits.backbones.allowed` are the first protection. This second one does not depend on what a
    library does with an allowed configuration. Other threads are not affected.

    Raises:
        ArtefactError: If the code opens a network connection or a pickle.
    """
    _install()
    outer, _here.closed = getattr(_here, "closed", False), True
    try:
        yield
    finally:
        _here.closed = outer


@functools.cache
def _install() -> None:
    sys.addaudithook(_refuse)  # Python cannot remove an audit hook, so it is added once and checks the thread


def _refuse(event: str, _: tuple[Any, ...]) -> None:
    if event in _FORBIDDEN and getattr(_here, "closed", False):
        raise ArtefactError(
            f"the model tries to use {_FORBIDDEN[event]} ({event}) while it is built, which kinbits "
            "never allows; get the model from a source that you trust"
        )
