"""Costs of 10^9 and 10^10 items: hours, bytes and nodes, by arithmetic on rates that other scripts measured.

The rates are those of docs/speed.md and ``results/bench-*.md``. Only the bytes of an item are measured here.
``scale_simulation.py`` writes the tables.
"""

from __future__ import annotations

import itertools
import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _runs import RESULTS, read_rows
from numpy.typing import NDArray

from kinbits import Index

SPEED = RESULTS.parent / "docs" / "speed.md"
SEED = 0
GIB = 2**30
NODE_CORES, NODE_GIB, NODE_SHARE = 2, 24, 0.8  # the machine of the measurements; the rest of memory is for the system
IMAGE_BYTES = 100_000  # stated: a photo in object storage
WEEK, MONTH = 7 * 24, 30 * 24  # hours
Row = Mapping[str, str]
STORED = 200_000  # items of an index whose bytes are measured


def measured_bytes() -> Iterator[Mapping[str, object]]:
    """Yield the bytes of an item on disk, by what an index keeps of it beyond code and number."""
    rng = np.random.default_rng(SEED)
    year, title = (2000 + np.arange(STORED) % 25).tolist(), [f"item number {row}" for row in range(STORED)]
    vectors = rng.standard_normal((STORED, 128)).astype(np.float32)
    kinds: dict[str, dict[str, Any]] = {
        "code of 64 bits, number as id": {},
        "text of 20 characters as id": {"ids": [f"folder/{row:09d}.jpg" for row in range(STORED)]},
        "a column of numbers": {"metadata": {"year": year}},
        "columns of numbers and of short texts": {"metadata": {"year": year, "title": title}},
        "kept vectors, 128 numbers, int8": {"keep": "int8", "vectors": vectors},
        "kept vectors, 128 numbers, float16": {"keep": "float16", "vectors": vectors},
    }
    plain = 0.0
    for name, options in kinds.items():
        size = index_bytes(random_codes(STORED, 64, SEED), options) / STORED
        yield {"what": name, "bytes": f"{size - plain:.2f}"}
        plain = plain or size


def index_bytes(codes: NDArray[np.uint8], options: Mapping[str, Any]) -> int:
    """Return the size of all files of an index."""
    with tempfile.TemporaryDirectory() as folder:
        Index.create(Path(folder) / "index", codes, bits=8 * codes.shape[1], **options)
        return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def random_codes(rows: int, bits: int, seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (rows, bits // 8), dtype=np.uint8)


def encode_table() -> str:
    """Return the time to encode 10^9 images, by backbone, from measured rates."""
    rows = read_table(SPEED, "backbone", "OpenVINO")
    rates = {f"{row['backbone']}, {row['pixels']} pixels": float(row["OpenVINO"]) for row in rows}
    rates["EfficientNet-Lite0 in a service, with JPEG and HTTP"] = served_rate()
    head = ["model", "images/s", "node hours", "core hours", "nodes for 7 days", "nodes for 30 days"]
    lines = []
    for name, rate in rates.items():
        hours = 1e9 / rate / 3600
        cells = [f"{hours:,.0f}", f"{hours * NODE_CORES:,.0f}"]
        lines.append([name, f"{rate:g}", *cells, *(f"{math.ceil(hours / span)}" for span in (WEEK, MONTH))])
    note = (
        f"10^9 images on nodes of {NODE_CORES} cores, from the rates in docs/speed.md (the network alone, without "
        "decoding) and `results/bench-serve.md` (with decoding, and the load generator on the same cores)."
    )
    return f"{note}\n\n{markdown(head, lines)}\n"


def bits_table() -> str:
    """Return how near the nearest of many random codes is."""
    head = ["bits", *(f"nearest of {powers(items)}" for items in (10**6, 10**9, 10**10))]
    lines = [[str(bits), *(str(nearest_random(bits, 10**n)) for n in (6, 9, 10))] for bits in (32, 48, 64, 128, 256)]
    note = (
        "The smallest radius within which at least one code is expected, if codes are random and independent. A true "
        "neighbour that is farther away is hidden behind chance."
    )
    return f"{note}\n\n{markdown(head, lines)}\n"


def nearest_random(bits: int, items: int) -> int:
    """Return the smallest radius in which a ball holds at least one of uniformly random codes, as a mean."""
    inside = itertools.accumulate(math.comb(bits, radius) for radius in range(bits + 1))
    return next(radius for radius, count in enumerate(inside) if items * count >= 2**bits)


def nodes_table() -> str:
    """Return how many machines answer a query in a time, by scans and by search tables."""
    head = ["items", "bits", "codes and ids, GB", "nodes for memory"]
    head += [f"scan in {ms:g} ms" for ms in TARGETS_MS] + ["queries/s of these, in batches", "with search tables"]
    lines = []
    for items, bits in itertools.product((10**9, 10**10), (64, 128, 256)):
        held = items * (bits // 8 + 8)
        nodes = [max(scan_nodes(items, bits, ms), memory_nodes(held)) for ms in TARGETS_MS]
        rate = f"{nodes[0] * batch_rate(bits) / items:,.0f}"
        tables = str(memory_nodes(held + items * table_bytes())) if bits == 64 else "not measured"
        lines.append(
            [powers(items), str(bits), f"{held / 1e9:,.0f}", str(memory_nodes(held)), *map(str, nodes), rate, tables]
        )
    note = (
        f"Nodes of {NODE_CORES} cores and {NODE_GIB} GiB, of which {NODE_SHARE:.0%} is for codes and int64 ids. A "
        f"scan reads 10^9 codes of 64 bits in {8e9 / scan_rate():.2f} s (`results/bench-index.md`), "
        f"{scan_rate() / 1e9:.1f} GB/s; smaller shards are read up to twice as fast (`results/bench-scan.md`). "
        f"Queries/s: of the nodes for {TARGETS_MS[0]:g} ms, 64 queries at a time, measured with 64 bits on the same "
        "index; other lengths by the ratios of `results/bench-scan.md`. A scan leaves out the network and the merge. "
        f"Search tables of 64 bits take {table_bytes():g} bytes a code more, and "
        f"answer in {tables_ms():g} ms at 10^8 uniform codes, k=100 (`results/bench-multi-index.md`). Memory decides "
        "then."
    )
    return f"{note}\n\n{markdown(head, lines)}\n"


TARGETS_MS = (10.0, 100.0, 1000.0)


def scan_nodes(items: int, bits: int, ms: float) -> int:
    """Return how many nodes read all codes in a time."""
    return math.ceil(round(items * bits / 8 / (scan_rate() * ms / 1e3), 6))  # 105, not 106 for 105.00000000000001


def memory_nodes(held: float) -> int:
    """Return how many nodes hold some bytes."""
    return math.ceil(held / (NODE_GIB * GIB * NODE_SHARE))


def plan_table() -> str:
    """Return a plan for 10^10 images, codes of 128 bits, with two copies of each shard."""
    items, bits, ms = 10**10, 128, 100.0
    held = items * (bits // 8 + 8)
    nodes = max(scan_nodes(items, bits, ms), memory_nodes(held))
    first = seconds_of("first search, which checks all files") / 16e9  # a byte: 10^9 codes and ids of 8 bytes each
    rates = {"224 pixels, without decoding": network_rate(), "with decoding": served_rate()}
    lines = [
        ["images", "stated", powers(items)],
        ["bytes to read", f"stated: {IMAGE_BYTES:,} an image", f"{items * IMAGE_BYTES / 1e15:g} PB"],
        [
            "reading in 30 days",
            "bytes / seconds",
            f"{items * IMAGE_BYTES / (MONTH * 3600) / 1e6:,.0f} MB/s, {items / (MONTH * 3600):,.0f} images/s",
        ],
        *(encoding_row(items, name, rate) for name, rate in rates.items()),
        ["codes and ids", f"{bits // 8} + 8 bytes an item", f"{held / 1e9:,.0f} GB"],
        ["nodes for memory", f"{NODE_SHARE:.0%} of {NODE_GIB} GiB", f"{memory_nodes(held)}"],
        [f"nodes to scan in {ms:g} ms", f"{scan_rate() / 1e9:.1f} GB/s a node", f"{scan_nodes(items, bits, ms)}"],
        ["search nodes, two copies", "twice the larger number", f"{2 * nodes}"],
        ["codes of a shard", "items / nodes", f"{items / nodes:,.0f}"],
        [
            "queries/s in batches",
            f"{batch_rate(bits) / 1e9:.1f} x 10^9 codes/s a node",
            f"{2 * nodes * batch_rate(bits) / items:,.0f}",
        ],
        ["first search after a start", "every byte is verified", f"{held / nodes * first:,.1f} s"],
    ]
    return markdown(["what", "from", "result"], lines) + "\n"


def encoding_row(items: int, name: str, rate: float) -> list[str]:
    nodes = math.ceil(items / rate / 3600 / MONTH)
    return [f"nodes to encode in 30 days, {name}", f"{rate:g} images/s a node", str(nodes)]


def bytes_table() -> str:
    """Return the measured bytes of an item."""
    rows = read_rows(RESULTS / "scale-bytes.csv")
    lines = [[row["what"], row["bytes"], f"{float(row['bytes']):.1f} GB"] for row in rows]
    note = (
        f"Bytes of an item on disk, measured on an index of {STORED:,} items with codes of 64 bits. The first row is "
        "what every item needs. The others come on top of it."
    )
    return f"{note}\n\n{markdown(['kept', 'bytes an item', 'for 10^9 items'], lines)}\n"


# What others measured


def scan_rate() -> float:
    """Return the bytes per second of a scan for one query, of an index of 10^9 codes of 64 bits."""
    return 8e9 / seconds_of("search again, k=100")


def batch_rate(bits: int) -> float:
    """Return the codes per second of a node for 64 queries at a time: of 10^9 codes, times the ratio of lengths."""
    rates = {
        row["bits"]: float(row["ours, 1e9/s"]) for row in read_table(RESULTS / "bench-scan.md", "bits", "ours, 1e9/s")
    }
    return 64e9 / seconds_of("search 64 queries together, k=100") * rates[str(bits)] / rates["64"]


def large_tables() -> Row:
    """Return what was measured of search tables with the most uniform codes."""
    rows = read_table(RESULTS / "bench-multi-index.md", "n", "auto ms")
    return next(r for r in rows if (r["n"], r["data"], r["k"]) == ("100,000,000", "uniform", "100"))


def table_bytes() -> float:
    return float(large_tables()["bytes/code"])


def tables_ms() -> float:
    return float(large_tables()["auto ms"])


def served_rate() -> float:
    """Return the images per second of a service, which decodes them."""
    rows = read_table(RESULTS / "bench-serve.md", "query", "ours, 1/s")
    return next(float(row["ours, 1/s"]) for row in rows if (row["query"], row["clients"]) == ("image", "64"))


def network_rate() -> float:
    """Return the images per second of the fastest measured network at the size for photos, without decoding."""
    rows = read_table(SPEED, "backbone", "OpenVINO")
    return max(float(row["OpenVINO"]) for row in rows if row["pixels"] == "224")


def seconds_of(what: str) -> float:
    """Return the seconds of something measured on an index of 10^9 codes."""
    rows = read_table(RESULTS / "bench-index.md", "10^9 codes", "seconds")
    return next(float(row["seconds"]) for row in rows if row["10^9 codes"] == what)


def read_table(path: Path, first: str, other: str) -> list[dict[str, str]]:
    """Read the markdown table of a file whose first column has this name, and which has another one."""
    blocks = [block.strip().splitlines() for block in path.read_text().split("\n\n")]
    for lines in blocks:
        head, *rows = [
            [cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")
        ] or [[""]]
        if head[0] == first and other in head:
            return [dict(zip(head, row, strict=True)) for row in rows[1:]]
    raise SystemExit(f"{path} has no table with the columns {first!r} and {other!r}")


def powers(items: int) -> str:
    """Return a number of items as a power of ten."""
    power = len(str(items)) - 1
    return f"10^{power}" if items == 10**power else f"{items / 10**power:g}·10^{power}"


def markdown(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Lay out a table; all columns but the first are numbers."""
    rows = [head, ["---", *["---:"] * (len(head) - 1)], *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
