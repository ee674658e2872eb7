"""What a service does for its requests, without HTTP."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from kinbits import hamming
from kinbits._util import processors
from kinbits.errors import ArtefactError, DataError, KinbitsError, UsageError
from kinbits.index import DEFAULT_K, BatchHits, Index
from kinbits.serving.decoding import MEGA, Decoders, Preprocess, Thumbnail
from kinbits.serving.duplicates import open_reviews
from kinbits.serving.encoding import BatchEncoder
from kinbits.serving.logs import log
from kinbits.serving.metrics import Metrics
from kinbits.serving.problems import not_found, replaced, too_large
from kinbits.serving.schemas import Add, Delete, Encode, Item, NewItem, Query, Search
from kinbits.serving.served_index import ServedIndex
from kinbits.serving.settings import ServeSettings

if TYPE_CHECKING:
    from kinbits.backbones import Features

T = TypeVar("T")


class Service:
    """Searches, encodes and changes the indexes that it serves.

    Decoding is the work of other processes; searches run in threads, changes of an index one after another.

    Args:
        indexes: The indexes.
        settings: Limits.

    Attributes:
        settings: As given.
        metrics: Its numbers.
        indexes: The indexes by name.

    Raises:
        UsageError: If there is no index, two have one name, or a report of duplicates belongs to none.
        ArtefactError: If a report of duplicates is missing or damaged.
        DataError: If the folder of its images cannot be opened.
    """

    def __init__(self, indexes: Sequence[ServedIndex], settings: ServeSettings) -> None:
        self.settings, self.metrics = settings, Metrics()
        self.indexes = {served.name: served for served in indexes}
        if not indexes or len(self.indexes) < len(indexes):
            raise UsageError("give indexes of different names to serve, at least one")
        for name, review in open_reviews(settings.duplicates, list(self.indexes)).items():
            self.indexes[name].review = review
            folder = review.read().root
            if not self.indexes[name].may_show(folder):
                log("images of duplicates are not shown", logging.WARNING, index=name, remedy=f"--image-roots {folder}")
        self._decoders = Decoders(settings.workers, settings.worker_memory_mb, settings.timeout)
        self._threads = ThreadPoolExecutor(processors(), thread_name_prefix="kinbits-search")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="kinbits-write")
        self._encoders: dict[int, tuple[Any, BatchEncoder]] = {}
        self._background: list[asyncio.Task[None]] = []
        self._loaded = asyncio.Event()

    @property
    def loaded(self) -> bool:
        """Whether all models are loaded, or known to be missing."""
        return self._loaded.is_set()

    async def start(self) -> None:
        """Start the processes, load the models in the background, and follow the folders."""
        self._decoders.start()
        self._background = [asyncio.create_task(self._load()), asyncio.create_task(self._follow())]

    async def stop(self) -> None:
        """End all work."""
        for task in self._background:
            task.cancel()
        for _, encoder in self._encoders.values():
            encoder.stop()
        self._decoders.stop()
        for pool in (self._threads, self._writer):
            pool.shutdown(wait=True, cancel_futures=True)  # a change that was begun is finished

    async def _load(self) -> None:
        for served in self.indexes.values():
            started = time.monotonic()
            try:
                await self.in_thread(served.load)
            except KinbitsError as error:
                log("model missing", index=served.name, reason=str(error))
            except Exception as error:  # searches by codes go on without the model
                log("model cannot be used", logging.ERROR, error=error, index=served.name)
            else:
                log("model loaded", index=served.name, seconds=round(time.monotonic() - started, 3))
        self._loaded.set()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self.settings.refresh)
            for served in list(self.indexes.values()):
                try:
                    if await self.in_thread(served.refresh):
                        log("index changed", index=served.name, items=len(served.index))
                except (KinbitsError, OSError) as error:
                    log("index cannot be read", index=served.name, reason=str(error))

    def in_thread(self, call: Callable[[], T]) -> Awaitable[T]:
        """Return what a call returns, made in a thread for searches."""
        return asyncio.get_running_loop().run_in_executor(self._threads, call)

    def find(self, name: str | None) -> ServedIndex:
        """Return an index by name; without one, the only index."""
        if name is None and len(self.indexes) == 1:
            return next(iter(self.indexes.values()))
        if name is None:
            raise UsageError(f"name the index; there are {', '.join(self.indexes)}")
        if name not in self.indexes:
            raise not_found(f"no index '{name}' is served here; there are {', '.join(self.indexes)}")
        return self.indexes[name]

    async def search(self, asked: Search, answer: Callable[[str, Index, BatchHits], T]) -> T:
        """Search for all queries of a request.

        Args:
            asked: The request.
            answer: Makes the answer of the name of the index, the index as it was searched, and the hits, in the thread
                of the search.
        """
        served, limits = self.find(asked.index), self.settings
        index = served.index.view()  # the same for all steps, although it may change or be replaced meanwhile
        queries = asked.asked
        k = asked.k if asked.k is not None else DEFAULT_K if asked.radius is None else limits.max_k
        if k > limits.max_k:
            raise UsageError(f"k is {k}; this service returns up to {limits.max_k} hits of a query")
        if not queries:
            return answer(served.name, index, BatchHits([]))
        if len(queries) * min(k, len(index)) > limits.max_hits:
            raise too_large(f"{len(queries)} queries of {k} hits; a request returns up to {limits.max_hits:,} hits")
        options: dict[str, Any] = {"where": asked.where, "distance": asked.distance}
        if queries[0].kind == "text":
            await self._loaded.wait()  # a model that is being compiled must not be used
            options["text"] = [query.text for query in queries]
            items = _nothing
        else:
            items = await self._items(served, index, queries)
        if asked.radius is not None:
            options["radius"] = int(asked.radius) if float(asked.radius).is_integer() else asked.radius
        options |= {"rerank": asked.rerank} if asked.rerank else {}
        options |= {"rescore": asked.rescore} if asked.rescore is not None else {}

        def found() -> T:
            return answer(served.name, index, index.search(items(), k, **options))

        with self.metrics.searched.labels(served.name).time():
            return await self.in_thread(found)

    async def _items(self, served: ServedIndex, index: Index, items: Sequence[Item]) -> Callable[[], Any]:
        """Return a function for a thread, which returns what an index takes for items of one kind."""
        kind = items[0].kind
        if kind in ("image", "vector"):
            await self._loaded.wait()
            if served.queries is not None and kind not in served.queries:
                can = ", ".join(served.queries)
                raise UsageError(f"index '{served.name}' has no model that encodes a {kind}; it can be asked by {can}")
        if kind == "code":
            return lambda: np.concatenate([_code(index, item)[None] for item in items])
        if kind == "vector":
            return lambda: _vectors(items)
        if kind == "tables":
            return lambda: _tables(index, items)
        model = await self.in_thread(lambda: index.model)
        if not hasattr(model, "towers"):
            raise UsageError(f"index '{served.name}' has no model that encodes images; send codes")
        features = await self._features(model, [item.image_bytes() for item in items])
        return lambda: features

    async def _features(self, model: Any, images: Sequence[bytes]) -> Features:
        """Decode images in other processes, and compute their features together with those of other requests."""
        backbone = model.tower("image").backbone
        if backbone.modality != "image":  # before `load` has told
            raise UsageError("the model of this index encodes vectors, not images; send vectors")
        most = self.settings.max_megapixels * MEGA
        encoder = self._encoder_of(model)

        async def one(data: bytes) -> Features:
            return await encoder.features(await self._decoders.run(Preprocess(data, backbone.preprocessing, most)))

        from kinbits.backbones import Features

        tasks = [asyncio.create_task(one(data)) for data in images]
        try:
            found = await asyncio.gather(*tasks)
        finally:
            for task in tasks:  # what is not begun is not done for a request that has failed
                task.cancel()
        array = np.concatenate([part.array for part in found])
        return Features(array, np.ones(len(array), bool), ())

    def _encoder_of(self, model: Any) -> BatchEncoder:
        if id(model) not in self._encoders:
            self._forget_encoders()
            compute = partial(_features_of, model.tower("image").backbone)
            limits = self.settings
            made = BatchEncoder(
                compute, limits.encode_batch, limits.encode_wait_ms / 1000, self.metrics.encoded.observe
            )
            self._encoders[id(model)] = model, made  # with the model, so that no other one gets its number
        return self._encoders[id(model)][1]

    def _forget_encoders(self) -> None:
        """Stop the encoders of models that no index has any more; one that is still asked goes on."""
        used = {id(served.index.model) for served in self.indexes.values()}
        for key in set(self._encoders) - used:
            if self._encoders[key][1].idle:
                self._encoders.pop(key)[1].stop()

    async def encode(self, asked: Encode) -> tuple[str, Index, np.ndarray]:
        """Encode items with the model of an index; return its name, the index as it was then, and the codes."""
        served = self.find(asked.index)
        kinds = {item.kind for item in asked.items}
        if len(kinds) != 1 or kinds == {"code"}:
            raise UsageError("give items of one kind to encode: images, texts or vectors")
        index = served.index.view()
        model = await self.in_thread(lambda: index.model)
        if model is None:
            raise UsageError(f"index '{served.name}' has no model to encode with")
        await self._loaded.wait()
        how: dict[str, Any] = {} if asked.output == "codes" else {"output": asked.output}
        if kinds == {"text"}:
            texts = [item.text for item in asked.items]
            return served.name, index, await self.in_thread(lambda: model.encode(texts, modality="text", **how))
        items = await self._items(served, index, asked.items)
        return served.name, index, await self.in_thread(lambda: model.encode(items(), **how))

    async def add(self, asked: Add) -> dict[str, Any]:
        """Add items, all or none; they are stored when this returns. Return what changed."""
        served = self.find(asked.index)
        if not asked.items:
            return _changed(served.name, served.index)
        kinds = {item.kind for item in asked.items}
        if len(kinds) > 1:
            raise UsageError(f"items of several kinds ({', '.join(sorted(kinds))}); add each kind by itself")
        ids = [item.id for item in asked.items]
        if None in ids and any(one is not None for one in ids):
            raise UsageError("some items have an id and some have none; give all of them one, or none")
        if kinds == {"text"}:
            raise UsageError("items are codes, vectors or images; encode texts first")
        index = served.index
        items = await self._items(served, index, asked.items)
        given, columns = None if None in ids else ids, _columns(asked.items)
        return await self._write(served, index, lambda: index.add(items(), given, columns, upsert=asked.upsert))

    async def delete(self, asked: Delete) -> dict[str, Any]:
        """Remove items, all or none. Return what changed."""
        served = self.find(asked.index)
        index = served.index
        return await self._write(served, index, partial(index.delete, asked.ids, where=asked.where))

    async def _write(self, served: ServedIndex, index: Index, call: Callable[[], Any]) -> dict[str, Any]:
        """Change an index after all earlier changes; one that is not begun in time is not made.

        Raises:
            Refused: If another index is in its place now.
        """

        def change() -> dict[str, Any]:
            try:
                call()
            except ArtefactError:
                served.refresh()
                if served.index is index:
                    raise
                raise replaced(served.name) from None
            return _changed(served.name, index)  # here, before the next change

        return await self.in_writer(change)

    def in_writer(self, call: Callable[[], T]) -> Awaitable[T]:
        """Return what a change returns, made after all earlier ones."""
        return asyncio.get_running_loop().run_in_executor(self._writer, call)

    async def item(self, name: str | None, text: str) -> dict[str, Any]:
        """Return an item by the text of its id: id, code and columns."""
        served = self.find(name)
        found = await self.in_thread(lambda: _item(served, text))
        return {**found, "index": served.name}

    async def thumbnail(self, name: str | None, text: str, side: int) -> bytes:
        """Return a JPEG of an item's image."""
        served = self.find(name)
        found = await self.in_thread(lambda: _item(served, text))
        place = await self.in_thread(lambda: served.file_of(found["id"], found["columns"]))
        if place is None:
            raise not_found(f"item {text} has no image here")
        return await self.thumbnail_of(*place, side)

    async def thumbnail_of(self, path: Path, frame: int | None, side: int) -> bytes:
        """Return a JPEG of a frame of a file, or of its only image."""
        made: bytes = await self._decoders.run(Thumbnail(path, frame, side, self.settings.max_megapixels * MEGA))
        return made


def _features_of(backbone: Any, pixels: np.ndarray) -> Features:
    from kinbits.backbones import features_of_pixels

    return features_of_pixels(pixels, backbone)


def _nothing() -> None:
    """Return no items, where texts are given."""


def _code(index: Index, item: Item) -> np.ndarray:
    bits = index.bits
    if isinstance(item, Query) and item.id is not None:
        stored: np.ndarray = _stored(index, item.id).codes[0]
        return stored
    if item.code is not None:
        code: np.ndarray = hamming.from_hex([item.code], bits)[0]
        return code
    code, width = np.frombuffer(item.code_bytes(), np.uint8), hamming.code_width(bits)
    if len(code) != width:
        raise DataError(f"a code has {len(code)} bytes; {bits}-bit codes have {width}")
    return code


def _tables(index: Index, queries: Sequence[Item]) -> np.ndarray:
    shape = hamming.table_shape(index.bits, index.words)
    found = [query.tables.array() for query in queries if isinstance(query, Query) and query.tables]
    for one in found:
        if one.shape != shape:
            raise DataError(f"tables of shape {one.shape}; those of this index have {shape}")
    return np.stack(found)


def _changed(name: str, index: Index) -> dict[str, Any]:
    """Return what the last change of an index did."""
    change, info = index.last_change, index.info()
    numbers = {} if change is None else {"added": change.added, "replaced": change.replaced, "deleted": change.deleted}
    return {"index": name, **numbers, "items": info["items"], "generation": info["generation"]}


def _stored(index: Index, one: int | str) -> Any:
    try:
        return index.to_codes(ids=[one])
    except DataError as error:
        raise not_found(str(error)) from None


def _item(served: ServedIndex, text: str) -> dict[str, Any]:
    found = _stored(served.index.view(), served.id_of(text))
    columns = {name: values[0] for name, values in found.columns.items()}
    return {"id": found.ids.tolist()[0], "code": hamming.to_hex(found.codes)[0], "columns": columns}


def _vectors(items: Sequence[Item]) -> np.ndarray:
    rows = [item.vector or [] for item in items]
    if len(set(map(len, rows))) > 1:
        raise DataError("vectors of one request have different lengths")
    with suppress(OverflowError):
        return np.array(rows, np.float32)
    raise DataError("a vector holds a number beyond float32")


def _columns(items: Sequence[NewItem]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for item in items for name in item.columns)
    return {name: [item.columns.get(name) for item in items] for name in names}
