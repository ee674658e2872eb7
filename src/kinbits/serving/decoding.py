"""Processes that decode images of strangers, each with a limit of memory and of time."""

from __future__ import annotations

import asyncio
import io
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from kinbits.data import BadImage, decode, read_header
from kinbits.errors import DataError

MEGA = 10**6
THUMBNAIL_QUALITY = 82


class Task(Protocol):
    """What a process does with an image."""

    def __call__(self) -> Any:
        """Return the result.

        Raises:
            BadImage: If the image cannot be used.
        """


@dataclass(frozen=True)
class Preprocess:
    """From an encoded image to the pixels of a backbone.

    Attributes:
        data: The encoded image.
        preprocessing: `kinbits.backbones.Preprocessing` of the backbone.
        most_pixels: Largest number of pixels.
    """

    data: bytes
    preprocessing: Callable[[Image.Image], np.ndarray]
    most_pixels: float

    def __call__(self) -> np.ndarray:
        """Return uint8 ``(3, s, s)``."""
        require_small(self.data, "", self.most_pixels)
        return self.preprocessing(decode(self.data))


@dataclass(frozen=True)
class Thumbnail:
    """From a file to a small JPEG, without what else the file holds.

    Attributes:
        path: The file.
        frame: Number of its frame, or None.
        side: Pixels of the longer side.
        most_pixels: Largest number of pixels of the file's image.
    """

    path: Path
    frame: int | None
    side: int
    most_pixels: float

    def __call__(self) -> bytes:
        """Return the encoded thumbnail."""
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise BadImage(error.strerror or "it cannot be read") from None
        require_small(data, self.path.suffix.lower(), self.most_pixels)
        image = decode(self.path if self.frame is not None else data, frame=self.frame)
        image.thumbnail((self.side, self.side))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=THUMBNAIL_QUALITY)
        return buffer.getvalue()


def require_small(data: bytes, suffix: str, most_pixels: float) -> None:
    """Refuse an image by its header, before it is decoded.

    Raises:
        BadImage: If it is too large, or has no header that can be read.
    """
    header = read_header(data, suffix)
    if header.width * header.height > most_pixels:
        raise BadImage(
            f"it has {header.width} x {header.height} pixels, and {most_pixels / MEGA:g} megapixels are allowed; "
            "scale it down"
        )


class Decoders:
    """A number of processes; one that takes too much memory or time ends, and another one takes its place.

    Args:
        count: Number of processes.
        memory_mb: Memory that each may take, in megabytes.
        timeout: Seconds that a task may take.
    """

    def __init__(self, count: int, memory_mb: int, timeout: float) -> None:
        self._memory, self._timeout = memory_mb, timeout
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="kinbits-decode")
        self._count, self._free = count, asyncio.Queue[_Worker]()
        self._workers: set[_Worker] = set()

    def start(self) -> None:
        """Start the processes."""
        for _ in range(self._count):
            self._free.put_nowait(self._new())

    def stop(self) -> None:
        """End the processes."""
        for worker in list(self._workers):
            worker.stop()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _new(self) -> _Worker:
        worker = _Worker(self._memory)
        self._workers.add(worker)
        return worker

    async def run(self, task: Task) -> Any:
        """Return what a task returns.

        Raises:
            DataError: If the image cannot be used, or takes too much memory or time.
        """
        worker = await self._free.get()
        # shielded: a worker is free again when it is done, also if the request has gone
        return await asyncio.shield(asyncio.ensure_future(self._run(worker, task)))

    async def _run(self, worker: _Worker, task: Task) -> Any:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, worker.run, task, self._timeout)
        finally:
            if not worker.alive:
                self._workers.discard(worker)
                worker = self._new()
            self._free.put_nowait(worker)


class _Worker:
    """One process, which does a task at a time."""

    def __init__(self, memory_mb: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, memory_mb), daemon=True, name="kinbits-decoder")
        self._process.start()
        theirs.close()
        self.alive = True

    def run(self, task: Task, timeout: float) -> Any:
        """Do a task; see `Decoders.run`."""
        try:
            self._ours.send(task)
            if not self._ours.poll(timeout):
                raise DataError(f"the image was not decoded within {timeout:g} s; give a smaller or simpler one")
            fault, result = self._ours.recv()
        except (EOFError, OSError):
            self.stop()
            raise DataError("the image ended its decoder, perhaps for want of memory; give a smaller one") from None
        except BaseException:
            self.stop()  # or else its next task would get the answer of this one
            raise
        if fault is not None:
            raise DataError(f"the image cannot be read: {fault}")
        return result

    def stop(self) -> None:
        """End the process."""
        self.alive = False
        with suppress(OSError):
            self._ours.close()
        self._process.kill()
        self._process.join(5)


def _work(connection: Connection, memory_mb: int) -> None:
    """Do tasks until the service ends."""
    _limit_memory(memory_mb)
    with suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            task: Task = connection.recv()
            try:
                result: tuple[str | None, Any] = (None, task())
            except BadImage as error:
                result = (str(error), None)
            except MemoryError:
                result = ("it takes more memory than a decoder has; give a smaller one", None)
            connection.send(result)


def _limit_memory(megabytes: int) -> None:
    try:
        import resource
    except ImportError:  # not on this system
        return
    os.nice(5)  # searches come first
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (megabytes * MEGA, megabytes * MEGA))
