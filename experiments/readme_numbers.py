"""Put the tables of ``results/`` between the marks in README.md; ``--check`` only says whether they are up to date."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from kinbits.bench import Comparison

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- numbers -->\n", "<!-- /numbers -->"
EXPERIMENTS = ("cifar10", "fashion-mnist", "cifar10-scratch")  # files of `kinbits bench`


def main() -> int:
    readme = ROOT / "README.md"
    text = readme.read_text()
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    fresh = head + BEGIN + "\n".join(tables()) + "\n" + END + tail
    if "--check" in sys.argv:
        return int(fresh != text)
    readme.write_text(fresh)
    return 0


def tables() -> Iterable[str]:
    """Yield the lines of all tables."""
    for name in EXPERIMENTS:
        if (ROOT / "results" / f"{name}.csv").exists():
            for comparison in Comparison.all(read(f"{name}.csv"), "map@all"):
                yield comparison.markdown()
                yield ""
    yield "**CIFAR-10**, frozen ViT-Tiny features, tie-aware mAP@all, mean ± deviation over three seeds:"
    yield ""
    rows = read("cifar10-vit.csv")
    columns = sorted({(r["backbone"], r["bits"]) for r in rows if r["bits"] != "float"})
    yield from grid("method", rows, "method", columns, lambda r: (r["backbone"], r["bits"]), "{1} bits")
    yield ""
    yield "**Fashion products** (`fashion-products`), images and titles, tie-aware mAP@all, mean ± deviation:"
    yield ""
    rows = read("fashion-products.csv")
    columns = sorted({(r["direction"], r["bits"]) for r in rows})
    yield from grid("method", rows, "method", columns, lambda r: (r["direction"], r["bits"]), "{0}, {1} bits")


def grid(corner, rows, name, columns, place, title) -> Iterable[str]:
    """Yield a Markdown table: one line per name, one column per place."""
    yield f"| {corner} | " + " | ".join(title.format(*column) for column in columns) + " |"
    yield "| --- |" + " --- |" * len(columns)
    for method in dict.fromkeys(row[name] for row in rows):
        cells = []
        for column in columns:
            values = [float(r["map@all"]) for r in rows if r[name] == method and place(r) == column]
            floats = [float(r["map@all"]) for r in rows if r[name] == method and place(r) == (column[0], "float")]
            cells.append(number(values or floats))
        yield f"| {method} | " + " | ".join(cells) + " |"


def number(values: list[float]) -> str:
    """Write mean and sample deviation."""
    if not values:
        return "-"
    return f"{np.mean(values):.3f}" + (f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else "")


def read(name: str) -> list[dict[str, str]]:
    """Read a result file."""
    with (ROOT / "results" / name).open(newline="") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    sys.exit(main())
