"""A service of indexes in a thread of the test, which indexes can be added to."""

from __future__ import annotations

import io
import threading
import time
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import numpy as np
import uvicorn
from PIL import Image

from kinbits.index import Index
from kinbits.serving import Client, ServedIndex, ServeSettings, create_app

WRITE = "a-token-that-may-write"


class Live:
    """A running service.

    Attributes:
        url: Its address.
        service: What it does.
    """

    def __init__(self, url, service):
        self.url, self.service, self._number = url, service, count()

    def add(self, index, name=None, **options):
        """Serve one more index; return its name."""
        name = name or f"index{next(self._number)}"
        self.service.indexes[name] = served = ServedIndex(name, index, **options)
        served.load()
        return name

    def make(self, path, *, bits=None, model=None, **options):
        """Make an index, and return a client of it, as `check_index` wants."""
        name = self.add(Index.create(path, bits=bits, model=model, **options))
        return Client(self.url, name, token=WRITE, model=model)

    def open(self, location, *, model=None):
        """Open a client again."""
        found = Client.open(location, model=model)
        return Client(self.url, found.name, token=WRITE, model=model)


@contextmanager
def live(folder: Path, indexes=None, **options):
    """Run a service of indexes by name; by default of an empty one."""
    (folder / "write.token").write_text(WRITE)
    settings = ServeSettings(write_token_file=folder / "write.token", refresh=0.05, workers=1, **options)
    given = indexes or {"empty": Index.create(bits=8)}
    app = create_app([ServedIndex(name, index, roots=settings.image_roots) for name, index in given.items()], settings)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False, server_header=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end = time.monotonic() + 30
    while not server.started and time.monotonic() < end:
        time.sleep(0.01)
    while not app.state.service.loaded and time.monotonic() < end:
        time.sleep(0.01)
    assert server.started
    assert app.state.service.loaded
    try:
        yield Live(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", app.state.service)
    finally:
        server.should_exit = True
        thread.join(20)


def picture(number, size=(48, 40)):
    rng = np.random.default_rng(number)
    small = Image.fromarray(rng.integers(0, 256, (4, 5, 3)).astype(np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC)


def encoded(image, kind="PNG", **how):
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)
    return buffer.getvalue()


def problem(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert found["status"] == status
    assert found["type"].startswith("urn:kinbits:")
    return found["detail"]
