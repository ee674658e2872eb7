"""A served index with the words of `kinbits.Index`."""

from __future__ import annotations

import base64
import json
import os
import re
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import httpx2
import numpy as np

from kinbits import hamming
from kinbits._util import named_extras, read_regular
from kinbits.data import Dataset, is_single
from kinbits.errors import ArtefactError, DataError, KinbitsError, PlatformError, UsageError
from kinbits.index import BatchHits, Distance, Hits, Supports
from kinbits.serving.problems import ERRORS, MEDIA_TYPE
from kinbits.serving.wire import tables_json

TIMEOUT = 60.0
_TOKEN = re.compile("[!-~]+")


class Client:
    """An index that a service holds; searches, additions and deletions are those of `kinbits.Index`.

    Codes and tables are sent as they are. Vectors and images are encoded by the service; with a model here, they are
    encoded here, and only codes are sent.

    Args:
        url: Address of the service, such as ``http://127.0.0.1:8000``.
        index: Name of the index; None where the service has only one.
        token: Token to search, or to write.
        model: Model of the index, to encode here. Must have its fingerprint.
        timeout: Seconds to wait for an answer.

    Attributes:
        supports: It cannot be saved, and the service knows ids of either kind.

    Raises:
        UsageError: If there are several indexes and none is named, or no such one.
        ArtefactError: If the model is another one than that of the index.
        PlatformError: If the service cannot be reached.
    """

    supports = Supports(save=False)

    @named_extras()
    def __init__(
        self,
        url: str,
        index: str | None = None,
        *,
        token: str | None = None,
        model: Any = None,
        timeout: float = TIMEOUT,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise UsageError(f"'{url}' is no address of a service; give one such as http://127.0.0.1:8000")
        if token is not None and not _TOKEN.fullmatch(token):
            raise UsageError("a token is one word of ASCII characters; give that of the token file")
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._url, self._model, self._token, self._timeout = url.rstrip("/"), model, token, timeout
        self._http = httpx2.Client(base_url=self._url, headers=headers, timeout=timeout)
        weakref.finalize(self, self._http.close)
        known = {one["name"]: one for one in self._get("/v1/indexes").get("indexes", ())}
        if index is None and len(known) != 1:
            raise UsageError(f"name the index: {self._url} serves {', '.join(known)}")
        self.name = next(iter(known)) if index is None else index
        if self.name not in known:
            raise UsageError(f"{self._url} serves no index '{self.name}'; it serves {', '.join(known)}")
        self._known: dict[str, Any] = known[self.name]
        mine = getattr(model, "fingerprint", None)
        if None not in (mine, self.fingerprint) and mine != self.fingerprint:
            raise ArtefactError(
                f"index '{self.name}' is of model {str(self.fingerprint)[:12]}, not {str(mine)[:12]}; give its model"
            )

    @classmethod
    def open(cls, location: str, *, model: Any = None) -> Self:
        """Open an index by the address that `info` tells: that of the service, ``#``, and the name."""
        url, _, name = location.partition("#")
        return cls(url, name or None, model=model)

    @property
    def bits(self) -> int:
        """Code length."""
        return int(self._known["bits"])

    @property
    def words(self) -> int:
        """Words of a part of a code; see `kinbits.Index`."""
        return int(self._known["words"])

    @property
    def fingerprint(self) -> str | None:
        """Fingerprint of the model; None if it is unknown."""
        found: str | None = self._known["fingerprint"]
        return found

    def __len__(self) -> int:
        return int(self.info()["items"])

    def info(self) -> dict[str, Any]:
        """Describe the index in plain values, as they are now."""
        self._known = self._get(f"/v1/indexes/{quote(self.name, safe='')}")
        return {**self._known, "path": f"{self._url}#{self.name}"}

    def search(
        self,
        query: Any = None,
        k: int | None = None,
        *,
        text: Any = None,
        radius: float | None = None,
        where: Any = None,
        distance: Distance | None = None,
        rerank: int | bool = False,
        rescore: int | str | None = None,
    ) -> Any:
        """Find the nearest items, or all within a radius; see `kinbits.Index.search`.

        A service returns a limited number of hits, also within a radius. Texts, vectors and images go to the service.

        Raises:
            UsageError: If an argument is invalid.
            DataError: If a query does not fit the index.
            PlatformError: If the service cannot be reached, or is too busy.
        """
        if (query is None) == (text is None):
            raise UsageError("give a query or text=, one of the two")
        asked = {"k": _count(k, "k"), "radius": radius, "where": where, "distance": distance}
        asked |= {"rerank": rerank, "rescore": rescore, "codes": True, "index": self.name}
        if text is not None:
            single = isinstance(text, str)
            queries = [{"text": one} for one in ([text] if single else text)]
        else:
            queries, single = self._queries(query, distance, featured=bool(rerank or rescore))
        if not queries:
            return BatchHits([])
        answer = self._send("POST", "/v1/search", {**asked, "queries": queries})
        exact = self.words == hamming.BITS and distance != "asymmetric" and text is None
        found = [self._hits(one, np.int32 if exact else np.float32) for one in answer["results"]]
        return found[0] if single else BatchHits(found)

    def add(
        self, items: Any, ids: Any = None, metadata: Mapping[str, Sequence[Any]] | None = None, *, upsert: bool = False
    ) -> Self:
        """Add items, all or none; they are on disk when this returns. See `kinbits.Index.add`.

        Raises:
            UsageError: If an id exists, or the service is read-only.
            DataError: If items, ids and metadata do not fit each other or the index.
            PlatformError: If the service cannot be reached.
        """
        if isinstance(items, (str, os.PathLike, Dataset)):
            raise UsageError(
                "a service takes images, vectors or codes with their ids; add a folder by kinbits index add"
            )
        sent, _ = self._items(items, "codes")
        names = [None] * len(sent) if ids is None else np.asarray(ids, object).ravel().tolist()
        if any(isinstance(values, str) for values in (metadata or {}).values()):
            raise DataError("a column is a list of values, one per item, not a text")
        columns = {name: [_or_none(value) for value in values] for name, values in (metadata or {}).items()}
        for what, length in (("ids", len(names)), *((f"values of '{name}'", len(v)) for name, v in columns.items())):
            if length != len(sent):
                raise DataError(f"{len(sent)} items, but {length} {what}; give one per item")
        rows = [
            {**item, "id": name, "columns": {column: values[row] for column, values in columns.items()}}
            for row, (item, name) in enumerate(zip(sent, names, strict=True))
        ]
        self._send("POST", "/v1/items", {"index": self.name, "items": rows, "upsert": upsert})
        return self

    def delete(self, ids: Any = None, *, where: Any = None) -> Self:
        """Remove items, all or none; see `kinbits.Index.delete`.

        Raises:
            UsageError: If neither or both are given, or the service is read-only.
            DataError: If an id is not in the index.
        """
        names = None if ids is None else np.atleast_1d(np.asarray(ids, object)).tolist()
        self._send("DELETE", "/v1/items", {"index": self.name, "ids": names, "where": where})
        return self

    def item(self, one: int | str) -> dict[str, Any]:
        """Return an item by its id: id, code and columns.

        Raises:
            DataError: If there is none.
        """
        return self._get("/v1/items", id=str(one), index=self.name)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Refuse: an index is saved where it is.

        Raises:
            UsageError: Always.
        """
        raise UsageError("a served index is saved where it is; copy its folder there")

    def __repr__(self) -> str:
        kind = hamming.parts_text(self.words)
        return f"Client({len(self)} items, {self.bits} bits{kind}, {self._url}, index '{self.name}')"

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _connected, (self._url, self.name, self._token, self._model, self._timeout)

    def _queries(self, query: Any, distance: str | None, *, featured: bool) -> tuple[list[dict[str, Any]], bool]:
        parts, entries = hamming.table_shape(self.bits, self.words)
        if isinstance(query, np.ndarray) and query.dtype == np.float32 and query.shape[1:] == (parts, entries):
            return [{"tables": tables_json(one)} for one in query], False
        if featured and not _are_codes(query):
            return self._as_given(query)
        return self._items(query, "tables" if distance == "asymmetric" or self.words != hamming.BITS else "codes")

    def _items(self, items: Any, output: str) -> tuple[list[dict[str, Any]], bool]:
        """Return items as they are sent, and whether they are a single one."""
        if _are_codes(items):
            return [{"code": code} for code in hamming.to_hex(np.atleast_2d(items))], items.ndim == 1
        if self._model is None:
            return self._as_given(items)
        single = isinstance(items, str) if not hasattr(self._model, "is_single") else self._model.is_single(items)
        if output == "codes":
            return self._items(self._model.encode(items), output)[0], single
        return [{"tables": tables_json(one)} for one in self._model.encode(items, output=output)], single

    def _as_given(self, items: Any) -> tuple[list[dict[str, Any]], bool]:
        """Return items for the service to encode, and whether they are a single one."""
        if not {"image", "vector"} & set(self._known["queries"] or ["image"]):
            raise UsageError(f"the service has no model of index '{self.name}' that encodes items; send codes")
        return _sent(items)

    def _hits(self, answer: Mapping[str, Any], kind: type) -> Hits:
        hits = answer["hits"]
        texts = self._known["ids"] == "str" if not hits else isinstance(hits[0]["id"], str)
        ids = np.array([hit["id"] for hit in hits], np.str_ if texts else np.int64)
        measured = np.float64 if answer.get("measure") and kind is np.int32 else kind  # by kept vectors
        distances: Any = np.array([hit["distance"] for hit in hits], measured)
        rows, known = [hit["columns"] for hit in hits], [hit.get("concepts") for hit in hits]
        codes = hamming.from_hex([hit["code"] for hit in hits], None if hits else self.bits)
        return Hits(
            ids,
            distances,
            lambda places: [rows[place] for place in places.tolist()],
            lambda places: codes[places],
            columns=list(self._known["columns"]),
            measure=answer.get("measure", ""),
            concepts=(lambda places: [known[place] for place in places.tolist()]) if all(known) and known else None,
        )

    def _get(self, path: str, **params: Any) -> dict[str, Any]:
        return self._send("GET", path, None, params)

    def _send(self, method: str, path: str, body: Any, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        content = None if body is None else _json(body)
        kind = None if body is None else {"Content-Type": "application/json"}
        try:
            answer = self._http.request(method, path, params=params, content=content, headers=kind)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise PlatformError(f"{self._url} does not answer ({error}); start it: kinbits serve INDEX") from None
        if not answer.is_success:
            raise _error_of(answer)
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise _no_service(answer)
        return found


def _error_of(answer: httpx2.Response) -> KinbitsError:
    """Return the error that a problem document stands for."""
    if answer.headers.get("content-type", "").startswith(MEDIA_TYPE):
        problem = answer.json()
        kinds = {404: DataError, 413: UsageError, 401: UsageError, 403: UsageError}
        kind = ERRORS.get(problem.get("type")) or kinds.get(answer.status_code, PlatformError)
        return kind(problem.get("detail", f"status {answer.status_code}"))
    return _no_service(answer)


def _no_service(answer: httpx2.Response) -> PlatformError:
    return PlatformError(f"{answer.url} answers with status {answer.status_code}, but is no kinbits service")


def _json(body: Any) -> str:
    """Return a body as JSON; values of NumPy become Python's own.

    Raises:
        UsageError: If a value has no form in JSON.
    """
    try:
        return json.dumps(body, default=_plain, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(f"a value cannot be sent ({error}); give numbers, texts, true or false, or None") from None


def _are_codes(items: Any) -> bool:
    return isinstance(items, np.ndarray) and items.dtype == np.uint8 and items.ndim in (1, 2)


def _sent(items: Any) -> tuple[list[dict[str, Any]], bool]:
    """Return vectors and images as they are sent, and whether they are a single one."""
    array = items if isinstance(items, np.ndarray) else None
    if array is not None and array.dtype.kind == "f":
        return [{"vector": row} for row in np.atleast_2d(array).tolist()], array.ndim == 1
    single = is_single(items)
    several = [items] if single or isinstance(items, (str, os.PathLike)) else list(items)
    return [_one(item) for item in several], single


def _one(item: Any) -> dict[str, Any]:
    if isinstance(item, (list, tuple)) or (isinstance(item, np.ndarray) and item.dtype.kind == "f"):
        return {"vector": np.asarray(item, np.float32).tolist()}
    return {"image": base64.b64encode(_image_bytes(item)).decode()}


def _image_bytes(item: Any) -> bytes:
    """Return an image as a file; the service decodes it."""
    if isinstance(item, bytes):
        return item
    if isinstance(item, (str, os.PathLike)):
        try:
            return read_regular(Path(item).expanduser())
        except OSError as error:
            raise DataError(f"{item}: {error.strerror}; give the path of an image, or text= for words") from None
    import io

    from kinbits.data import decode

    buffer = io.BytesIO()
    decode(item).save(buffer, "PNG")
    return buffer.getvalue()


def _count(value: Any, name: str) -> int | None:
    return None if value is None else hamming.check_count(value, name)


def _plain(value: Any) -> Any:
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} {value!r}")


def _or_none(value: Any) -> Any:
    """Return a value of a column; not-a-number means that there is none."""
    return None if isinstance(value, (float, np.floating)) and np.isnan(value) else value


def _connected(url: str, name: str, token: str | None, model: Any, timeout: float) -> Client:
    return Client(url, name, token=token, model=model, timeout=timeout)
