"""The server: an application of `create_app` on a port."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from kinbits._util import full_path, named_extras
from kinbits.errors import UsageError
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

    settings = _settings(settings, options)
    served = [ServedIndex(name, folder, model, settings.image_roots) for name, folder in named(indexes).items()]
    app = create_app(served, settings)
    write_logs()
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
    )
    server = _announcing(uvicorn.Server(config), settings, told)
    with _ended_by_signals():
        server.run()


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


def _announcing(server: Any, settings: ServeSettings, told: Any) -> Any:
    """Make a server tell its address when it answers."""
    startup = server.startup

    async def announced(*given: Any, **how: Any) -> None:
        await startup(*given, **how)
        if told is not None and server.started:
            port = server.servers[0].sockets[0].getsockname()[1]
            told(_address(settings, port))

    server.startup = announced
    return server


def _settings(settings: ServeSettings | None, options: dict[str, Any]) -> ServeSettings:
    if settings is not None and options:
        raise UsageError("give settings or their fields, not both")
    try:
        return settings or ServeSettings(**options)
    except TypeError:
        known = ", ".join(ServeSettings.__dataclass_fields__)
        raise UsageError(f"unknown option among {', '.join(options)}; known: {known}") from None


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
