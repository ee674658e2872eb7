"""The rival of `bench_serve`: what one writes in an hour with FastAPI and faiss to search codes over HTTP.

    python benchmarks/naive_service.py CODES.npy MODEL PORT

It holds all codes in a `faiss.IndexBinaryFlat`, and encodes each vector or image by itself with the model of kinbits. A
lock protects the model, whose compiled network answers one call at a time.
"""

from __future__ import annotations

import sys
from threading import Lock
from typing import Annotated, Any

import faiss
import numpy as np
import uvicorn
from fastapi import Body, FastAPI
from pydantic import BaseModel

from kinbits.model import HashModel


class Asked(BaseModel):
    """A query: a code in hexadecimal, or a vector."""

    code: str | None = None
    vector: list[float] | None = None
    k: int = 10


def create_app(codes: np.ndarray, model: HashModel) -> FastAPI:
    """Return the application.

    Args:
        codes: uint8 ``(n, bytes)``; the ids are the rows.
        model: Encodes vectors or images.
    """
    app, lock = FastAPI(), Lock()
    index = faiss.IndexBinaryFlat(codes.shape[1] * 8)
    index.add(codes)

    def nearest(code: np.ndarray, k: int) -> dict[str, Any]:
        distances, rows = index.search(code, k)
        found = zip(rows[0].tolist(), distances[0].tolist(), strict=True)
        return {"hits": [{"id": row, "distance": distance} for row, distance in found]}

    def encoded(item: Any) -> np.ndarray:
        with lock:
            return model.encode(item)

    @app.post("/search")
    def search(asked: Asked) -> dict[str, Any]:
        if asked.code is not None:
            return nearest(np.frombuffer(bytes.fromhex(asked.code), np.uint8)[None], asked.k)
        return nearest(encoded(np.array([asked.vector], np.float32)), asked.k)

    @app.post("/search_image")
    def search_image(image: Annotated[bytes, Body(media_type="image/jpeg")], k: int = 10) -> dict[str, Any]:
        return nearest(encoded([image]), k)

    @app.get("/readyz")
    def ready() -> str:
        return "ready"

    return app


def main() -> None:
    codes, model, port = sys.argv[1:]
    uvicorn.run(create_app(np.load(codes), HashModel.from_pretrained(model)), host="127.0.0.1", port=int(port))


if __name__ == "__main__":
    main()
