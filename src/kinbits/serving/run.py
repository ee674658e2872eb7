"""The server: an application of `create_app` on a port."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from kinbits._util import full_path, named_extras, with_options
from kinbits.errors import PlatformError, UsageError
from kinbits.serving.settings import ServeSettings

GRACE = 10  # seconds for requests to finish after a signal


@named_extras()
def serve(
    indexes: Any, settings: ServeSettings | None = None, *, model: Any = None, told: Any = None, **options: Any
) -> None:
    """Serve indexes until the process gets a signal to end.

    Args:
        indexes: Folder of an index, or several, or a mapping of names to folders. A folder's own name is its name.
        settings: Limits and tokens; None takes the usual ones.
        model: Model of all indexes, or its folder; None takes those that the indexes know.
        told: Called with the address when the service answers.
        options: Fields of `ServeSettings`, instead of ``settings``.

    Raises:
        UsageError: If an option is unknown, or the indexes have no names of their own.
        ArtefactError: If there is no index, or a token cannot be read.
        PlatformError: If the packages of the extra ``serve`` are missing.
    """
    import uvicorn

    from kinbits.serving.app import create_app
    from kinbits.serving.logs import write_logs
    from kinbits.serving.served_index import ServedIndex

    if settings is not None and options:
        raise UsageError("give settings or their fields, not both")
    settings = with_options(settings or ServeSettings(), options)
    served = [ServedIndex(name, folder, model, settings.image_roots) for name, folder in named(indexes).items()]
    app = create_app(served, settings)
    write_logs()
    listening = _listening(settings)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        http="h11",  # refuses headers above 64 KiB; httptools, which uvicorn prefers, does not
        timeout_graceful_shutdown=GRACE,
    )
    server = _announcing(uvicorn.Server(config), _address(settings, listening.getsockname()[1]), told)
    with _ended_by_signals(), listening:
        server.run([listening])


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let a signal to end be an end like any other: uvicorn raises it again when it has stopped."""
    ours = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM) if ours}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _listening(settings: ServeSettings) -> socket.socket:
    """Return a socket at the address.

    Raises:
        PlatformError: If the address cannot be taken.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # TCP by its number: asyncio sends answers at once (TCP_NODELAY) only on sockets that name it
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((settings.host, settings.port))
    except OSError as error:
        made.close()
        why = os.strerror(error.errno) if error.errno else str(error)
        place = f"{settings.host}:{settings.port}"
        raise PlatformError(f"{place} cannot be listened at ({why}); give another port or host") from None
    return made


def _announcing(server: Any, address: str, told: Any) -> Any:
    """Make a server tell its address when it answers."""
    startup = server.startup

    async def announced(*given: Any, **how: Any) -> None:
        await startup(*given, **how)
        if told is not None and server.started:
            told(address)

    server.startup = announced
    return server


def named(indexes: Any) -> Mapping[str, Any]:
    """Return folders by name: those of a mapping, or by the last part of their paths.

    Raises:
        UsageError: If two folders have one name.
    """
    if isinstance(indexes, Mapping):
        return indexes
    folders: Sequence[Any] = indexes if isinstance(indexes, (list, tuple)) else [indexes]
    found = {full_path(folder).name.removesuffix(".index"): folder for folder in folders}
    if len(found) < len(folders):
        raise UsageError("two of the indexes have one name; give names: name=FOLDER")
    return found


def _address(settings: ServeSettings, port: int) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{port}"
