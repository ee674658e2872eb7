"""Put the tables of ``results/`` between the marks in README.md and docs; ``--check`` says what is stale.

Between ``<!-- numbers: FILE METRIC... -->`` and ``<!-- /numbers -->`` go the tables of ``results/FILE.csv`` for these
metrics, or with none named those of ``results/FILE.md``. A colon and names of methods (``: itq, shc``) choose rows. The
bare mark ``<!-- numbers -->`` of a page in docs/methods stands for all that was measured of its method.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Collection, Iterable
from pathlib import Path

from kinbits.bench import Comparison
from kinbits.data import DEFAULT_METRICS

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"(<!-- numbers(?:: (?P<asked>[^>]*))? -->\n).*?(<!-- /numbers -->)", re.DOTALL)
COMPARED = ("itq", "cca", "features (cosine)")  # on the page of every method
CONSTANT = {"backbone": "efficientnet_lite0", "direction": "image to image"}
Row = dict[str, str]


def main() -> int:
    """Write the pages, or name those that are not up to date."""
    stale = 0
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = path.read_text()
        fresh = BLOCK.sub(lambda found, path=path: filled(found, path.stem), text)
        if fresh != text and "--check" in sys.argv:
            print(f"{path.relative_to(ROOT)} is stale: run experiments/fill_numbers.py")
            stale += 1
        elif fresh != text:
            path.write_text(fresh)
    return int(stale > 0)


def filled(block: re.Match[str], page: str) -> str:
    """Return a block with its tables: those it asks for, else those of the method that the page is about."""
    asked = block["asked"]
    files, _, methods = (asked or "").partition(":")
    names = [name.strip() for name in methods.split(",") if name.strip()]
    lines = list(one_result(*files.split(), methods=names) if asked else one_method(page))
    return block[1] + "\n".join(lines).rstrip() + "\n" + block[3]


def one_result(name: str, *shown: str, methods: Collection[str] = ()) -> Iterable[str]:
    """Yield the tables of a file of results for some metrics and methods; with no metric, those of its script."""
    if not shown:
        written = ROOT / "results" / f"{name}.md"
        yield written.read_text() if written.exists() else "Not measured yet."
        return
    rows = [row for row in read(f"{name}.csv") if not methods or row["method"] in methods]
    for metric in shown:
        for comparison in Comparison.from_rows(rows, metric):
            yield comparison.markdown()
            yield ""


def one_method(name: str) -> Iterable[str]:
    """Yield one method's tables: its own trials, variants too, with ITQ and the uncompressed features."""
    found = False
    for path in sorted((ROOT / "results").glob("*.csv")):
        rows = read(path.name)
        if not rows or not {"protocol", "map@all"} <= set(rows[0]) or "class" in rows[0]:
            continue  # no runs of methods on a protocol, or runs cut into classes
        kept = [row for row in rows if row["method"] in COMPARED or named(row["method"]) == name]
        for metric in ["map@all", *own_metrics(rows)]:
            for comparison in Comparison.from_rows(kept, metric):
                if any(named(method) == name for method, _ in comparison.rows):
                    found = True
                    yield comparison.markdown()
                    yield ""
    if not found:
        yield "Not measured yet."


def named(label: str) -> str:
    """Return the method that a label belongs to: ``csq`` of ``csq (no penalty)``."""
    return label if label in COMPARED else label.partition(" ")[0]


def own_metrics(rows: list[Row]) -> list[str]:
    """Return the metrics that an experiment measures beyond those of every experiment."""
    columns = list(rows[0])
    between = columns[columns.index("seed") + 1 : columns.index("seconds")]
    return [name for name in between if name not in DEFAULT_METRICS]


def read(name: str) -> list[Row]:
    """Read a result file; those that are older than `kinbits bench` lack a column that had one value."""
    with (ROOT / "results" / name).open(newline="") as file:
        return [{**CONSTANT, **row} for row in csv.DictReader(file)]


if __name__ == "__main__":
    sys.exit(main())
