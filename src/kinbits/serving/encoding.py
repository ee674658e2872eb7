"""Images of several requests, encoded together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from kinbits.backbones import Features

    Compute = Callable[[np.ndarray], Features]


class BatchEncoder:
    """Waits a moment for further images, and computes the features of all with one call.

    Args:
        compute: From pixels uint8 ``(n, 3, s, s)`` to their features; called in a thread of its own.
        most: Largest number of images of a call.
        wait: Seconds to wait for further ones.
        told: Called with the number of images of each call.
    """

    def __init__(self, compute: Compute, most: int, wait: float, told: Callable[[int], None] = lambda count: None):
        self._compute, self._most, self._wait, self._told = compute, most, wait, told
        self._queue: asyncio.Queue[tuple[np.ndarray, asyncio.Future[Features]]] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kinbits-encode")
        self._task = asyncio.create_task(self._run())
        self._asked = 0  # images that are waited for

    async def features(self, pixels: np.ndarray) -> Features:
        """Return the features of one image, uint8 ``(3, s, s)``."""
        answer: asyncio.Future[Features] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((pixels, answer))
        self._asked += 1
        try:
            return await answer
        finally:
            self._asked -= 1

    @property
    def idle(self) -> bool:
        """Whether nobody waits for an image."""
        return not self._asked

    def stop(self) -> None:
        """End the work."""
        self._task.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self) -> None:
        while True:
            batch = await self._next()
            batch = [one for one in batch if not one[1].cancelled()]  # whose time is over
            if batch:
                await self._answer(batch)

    async def _next(self) -> list[tuple[np.ndarray, asyncio.Future[Features]]]:
        """Return the images that come within the time to wait; those that wait already come at once."""
        batch = [await self._queue.get()]
        end = asyncio.get_running_loop().time() + self._wait
        while len(batch) < self._most:
            try:
                left = end - asyncio.get_running_loop().time()
                batch.append(await asyncio.wait_for(self._queue.get(), max(left, 0)))
            except TimeoutError:
                break
        return batch

    async def _answer(self, batch: list[tuple[np.ndarray, asyncio.Future[Features]]]) -> None:
        loop = asyncio.get_running_loop()
        self._told(len(batch))
        try:
            found = await loop.run_in_executor(self._thread, self._compute, np.stack([pixels for pixels, _ in batch]))
        except Exception as error:
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(error)
            return
        for row, (_, answer) in enumerate(batch):
            if not answer.done():
                part = slice(row, row + 1)
                answer.set_result(replace(found, array=found.array[part], valid=found.valid[part]))
