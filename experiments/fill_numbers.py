"""Put the tables of ``results/`` between the marks in README.md and docs/methods; ``--check`` says what is stale."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from kinbits.bench import Comparison
from kinbits.evaluation import METRICS

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- numbers -->\n", "<!-- /numbers -->"
SHOWN = {  # in README.md: files of results, and which of their metrics
    "cifar10": ["map@all"],
    "fashion-mnist": ["map@all"],
    "cifar10-vit": ["map@all"],
    "fashion-products": ["map@all"],
}
BESIDE = ("itq", "features (cosine)")  # stand beside every method on its page
CONSTANT = {"backbone": "efficientnet_lite0", "direction": "image to image"}
Row = dict[str, str]


def main() -> int:
    """Write the pages, or name those that are not up to date."""
    stale = 0
    for path, lines in pages():
        text = path.read_text()
        head, rest = text.split(BEGIN)
        fresh = head + BEGIN + "\n".join(lines).rstrip() + "\n" + END + rest.split(END)[1]
        if fresh != text and "--check" in sys.argv:
            print(f"{path.relative_to(ROOT)} is stale: run experiments/fill_numbers.py")
            stale += 1
        elif fresh != text:
            path.write_text(fresh)
    return int(stale > 0)


def pages() -> Iterator[tuple[Path, list[str]]]:
    """Yield every page that has marks, and the lines to stand between them."""
    yield ROOT / "README.md", list(readme())
    for path in sorted((ROOT / "docs" / "methods").glob("*.md")):
        if BEGIN in path.read_text():
            yield path, list(one_method(path.stem))


def readme() -> Iterable[str]:
    """Yield the tables of README.md."""
    for name, metrics in SHOWN.items():
        rows = read(f"{name}.csv")
        for metric in metrics:
            for comparison in Comparison.all(rows, metric):
                yield comparison.markdown()
                yield ""


def one_method(name: str) -> Iterable[str]:
    """Yield one method's tables: its own runs, variants too, with ITQ and the uncompressed features beside."""
    found = False
    for path in sorted((ROOT / "results").glob("*.csv")):
        rows = read(path.name)
        if not rows or not {"protocol", "map@all"} <= set(rows[0]):
            continue
        kept = [row for row in rows if row["method"] in BESIDE or named(row["method"]) == name]
        for metric in ["map@all", *own_metrics(rows)]:
            for comparison in Comparison.all(kept, metric):
                if any(named(method) == name for method, _ in comparison.rows):
                    found = True
                    yield comparison.markdown()
                    yield ""
    if not found:
        yield "Not measured yet."


def named(label: str) -> str:
    """Return the method that a label belongs to: ``csq`` of ``csq (no penalty)``."""
    return label if label in BESIDE else label.partition(" ")[0]


def own_metrics(rows: list[Row]) -> list[str]:
    """Return the metrics that an experiment measures beyond those of every experiment."""
    columns = list(rows[0])
    between = columns[columns.index("seed") + 1 : columns.index("seconds")]
    return [name for name in between if name not in METRICS]


def read(name: str) -> list[Row]:
    """Read a result file; those that are older than `kinbits bench` lack a column that had one value."""
    with (ROOT / "results" / name).open(newline="") as file:
        return [{**CONSTANT, **row} for row in csv.DictReader(file)]


if __name__ == "__main__":
    sys.exit(main())
