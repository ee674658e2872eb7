"""Measure the service against FastAPI with faiss, and kill it while it is written to.

    python benchmarks/bench_serve.py [--short | --full] [--only PART] [--faults MINUTES] [--out FILE]

Both services are processes on this machine, with the same model, codes and threads; they take turns, and are asked by
the same clients. Before the clock starts, both must find the same distances. ``--full`` takes about half an hour.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from _bench import arguments, machine, publish, random_codes, say, table
from _faults import Faults, faults_table
from _load import Load, ask_once, distances_of, measure, request_of
from _servers import Server, kinbits_server
from PIL import Image

import kinbits
from kinbits import hamming
from kinbits.index import Index

BITS = 128
K = 10
IMAGE_MODEL = "kinbits/general-128"
NAIVE = Path(__file__).with_name("naive_service.py")
QUESTIONS = 64  # different queries of a kind
PARTS = ("load", "together", "faults")


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        items: Codes in the index.
        clients: Numbers of clients at a time.
        rounds: Turns of each service.
        seconds: Seconds of a turn.
        minutes: Minutes of the part with faults.
    """

    items: int
    clients: tuple[int, ...]
    rounds: int
    seconds: float
    minutes: float


SHORT = Size(10**5, (1, 8, 64), 3, 0.5, 1 / 3)
FULL = Size(10**6, (1, 8, 64), 7, 3.0, 10)


def main() -> None:
    given = arguments(__doc__, extra=_options)
    size = FULL if given.full else SHORT
    parts, faults = [machine()], None
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        if given.only in (None, "load"):
            parts += [_LOAD.format(items=size.items, threads=_threads()), _load(scratch, size)]
        if given.only in (None, "together"):
            parts += [_TOGETHER, _together(scratch, size)]
        if given.only in (None, "faults"):
            faults = Faults(scratch, 60 * _minutes(given, size)).run()
            parts += [_FAULTS, faults_table(faults)]
    publish(parts, given.out)
    sys.exit(0 if faults is None or faults.passed else "answers were wrong, or changes were lost; see the table")


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("--only", choices=PARTS, help="the only part to run. Default: all")
    parser.add_argument("--faults", type=float, metavar="MINUTES", help="length of the part with faults")


def _minutes(given: Namespace, size: Size) -> float:
    return size.minutes if given.faults is None else float(given.faults)


_LOAD = """The ten nearest of {items:,} random codes of 128 bits, {threads}. "naive" is one file with FastAPI and
`faiss.IndexBinaryFlat`, which encodes each query by itself with the same model. Both answer over kept connections, and
log each request. Images are JPEG files of 640 x 480 pixels. Times are medians over turns; "x naive" is the median of
the ratios of neighbouring turns."""
_TOGETHER = """The same image queries to two of our services: images that arrive at the same time are encoded with one
call ("together"), or each by itself (`encode_batch=1`, "alone"). "images" is the mean number of one call."""
_FAULTS = """Clients write, delete and search while the service is killed without a warning at random moments and
started again; the last third is without kills. "lost" counts acknowledged changes that the index on disk does not have.
Memory is that of all processes of the service in the first and the last quarter of the part without kills."""


def _threads() -> str:
    given = os.environ.get("OMP_NUM_THREADS")
    return f"OMP_NUM_THREADS={given}" if given else "threads as the libraries choose"


def _load(scratch: Path, size: Size) -> str:
    header = ["query", "clients", "ours, 1/s", "naive, 1/s", "x naive", "ours p50, ms", "naive p50, ms"]
    return table([*header, "ours p99, ms", "naive p99, ms"], _load_rows(scratch, size))


def _load_rows(scratch: Path, size: Size) -> Iterator[list[object]]:
    codes = random_codes(size.items, BITS // 8)
    np.save(scratch / "codes.npy", codes)
    models = {"image": IMAGE_MODEL, "vector": _vector_model(scratch)}
    for model_of, kinds in {"image": ("code", "image"), "vector": ("vector",)}.items():
        model, index = models[model_of], scratch / f"{model_of}.index"
        Index.create(index, model=model).add(codes)
        naive = [sys.executable, str(NAIVE), str(scratch / "codes.npy"), model]
        with ExitStack() as running:
            ours = running.enter_context(kinbits_server(index, scratch / "ours.log"))
            rival = running.enter_context(Server(naive, scratch / "naive.log"))
            for kind in kinds:
                asked = {"ours": _OURS[kind](), "naive": _NAIVE[kind]()}
                _must_agree(kind, ours.port, rival.port, asked)
                for clients in size.clients:
                    runs = {
                        "ours": partial(measure, ours.port, asked["ours"], clients, size.seconds),
                        "naive": partial(measure, rival.port, asked["naive"], clients, size.seconds),
                    }
                    yield [kind, clients, *_compared(_turns(runs, size.rounds), "ours", "naive")]


def _vector_model(scratch: Path) -> str:
    vectors = np.random.default_rng(2).standard_normal((2000, BITS), dtype=np.float32)
    path = scratch / "vectors.model"
    kinbits.fit(vectors, method="itq", bits=BITS).save_pretrained(path)
    return str(path)


def _turns(runs: Mapping[str, Callable[[], Load]], rounds: int) -> dict[str, list[Load]]:
    """Measure each once a round, after a round that only warms up."""
    found: dict[str, list[Load]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            load = run()
            if turn:
                found[name].append(load)
    return found


def _compared(loads: Mapping[str, list[Load]], first: str, second: str) -> list[object]:
    """Return rates, the median of their ratios, and times, as a row of a table."""

    def medians(what: str, scale: float = 1.0) -> list[object]:
        return [scale * float(np.median([getattr(load, what) for load in loads[name]])) for name in (first, second)]

    ratios = [one.rate / other.rate for one, other in zip(loads[first], loads[second], strict=True)]
    return [*medians("rate"), float(np.median(ratios)), *medians("p50", 1000), *medians("p99", 1000)]


def _must_agree(kind: str, ours: int, naive: int, asked: Mapping[str, list[bytes]]) -> None:
    """Stop if the services find other distances for some queries."""
    for one, other in list(zip(asked["ours"], asked["naive"], strict=True))[:5]:
        found, expected = (distances_of(ask_once(*pair).json()) for pair in ((ours, one), (naive, other)))
        if found != expected or len(found) != K:
            raise SystemExit(f"{kind} queries: we found the distances {found}, and the naive service {expected}")


def _codes() -> list[str]:
    return hamming.to_hex(random_codes(QUESTIONS, BITS // 8, seed=1))


def _vectors() -> list[list[float]]:
    made: list[list[float]] = np.random.default_rng(3).standard_normal((QUESTIONS, BITS)).round(6).tolist()
    return made


def _images() -> list[bytes]:
    rng = np.random.default_rng(4)
    return [_jpeg(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)) for _ in range(QUESTIONS)]


def _jpeg(small: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(small).resize((640, 480), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _of_images(path: str) -> list[bytes]:
    return [request_of("POST", path, image, media="image/jpeg") for image in _images()]


_OURS: dict[str, Callable[[], list[bytes]]] = {
    "code": lambda: [request_of("POST", "/v1/search", {"query": {"code": code}, "k": K}) for code in _codes()],
    "vector": lambda: [request_of("POST", "/v1/search", {"query": {"vector": one}, "k": K}) for one in _vectors()],
    "image": lambda: _of_images(f"/v1/search?k={K}"),
}
_NAIVE: dict[str, Callable[[], list[bytes]]] = {
    "code": lambda: [request_of("POST", "/search", {"code": code, "k": K}) for code in _codes()],
    "vector": lambda: [request_of("POST", "/search", {"vector": one, "k": K}) for one in _vectors()],
    "image": lambda: _of_images(f"/search_image?k={K}"),
}


def _together(scratch: Path, size: Size) -> str:
    header = ["clients", "together, 1/s", "alone, 1/s", "x alone", "together p50, ms", "alone p50, ms"]
    return table([*header, "together p99, ms", "alone p99, ms", "images"], _together_rows(scratch, size))


def _together_rows(scratch: Path, size: Size) -> Iterator[list[object]]:
    index, asked = scratch / "together.index", _OURS["image"]()
    Index.create(index, model=IMAGE_MODEL).add(random_codes(size.items, BITS // 8))
    with (
        kinbits_server(index, scratch / "together.log") as together,
        kinbits_server(index, scratch / "alone.log", "--encode-batch", "1") as alone,
    ):
        for clients in (8, 64):
            before = _encoded(together)
            runs = {
                "together": partial(measure, together.port, asked, clients, size.seconds),
                "alone": partial(measure, alone.port, asked, clients, size.seconds),
            }
            row = _compared(_turns(runs, size.rounds), "together", "alone")
            images, calls = _encoded(together) - before
            yield [clients, *row, float(images / calls)]


def _encoded(server: Server) -> np.ndarray:
    """Return the number of images that a service has encoded, and of the calls that did it."""
    lines = ask_once(server.port, request_of("GET", "/metrics")).body.decode().splitlines()
    numbers = dict(line.rsplit(" ", 1) for line in lines)
    return np.array([float(numbers[f"kinbits_encoded_together_{what}"]) for what in ("sum", "count")])


if __name__ == "__main__":
    say("the service against FastAPI with faiss, then kills")
    main()
