"""Put the tables of ``results/`` between the marks in README.md and docs; ``--check`` says what is stale.

Between ``<!-- numbers: FILE METRIC... -->`` and ``<!-- /numbers -->`` go the tables of ``results/FILE.csv`` for these
metrics, or with none named those of ``results/FILE.md``. A colon and names of methods (``: itq, shc``) choose rows;
``best 3`` among them are the three best of each group and the uncompressed features. The bare mark ``<!-- numbers -->``
of a page in docs/methods stands for all that was measured of its method.

Marks of the best are those among all methods of a file. The tests behind them need ``results/FILE.queries.parquet``.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from kinbits.bench import Comparison, QueryValues, markdown_tables, method_of
from kinbits.data import DEFAULT_METRICS

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"(<!-- numbers(?:: (?P<asked>[^>]*))? -->\n).*?(<!-- /numbers -->)", re.DOTALL)
COMPARED = ("itq", "cca", "features (cosine)")  # on the page of every method
NOT_MEASURED = "Not measured yet."
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
    text = one_result(*files.split(), methods=names) if asked else one_method(page)
    return block[1] + text.rstrip() + "\n" + block[3]


def one_result(name: str, *shown: str, methods: Sequence[str] = ()) -> str:
    """Return the tables of a file of results for some metrics and methods; with no metric, those of its script."""
    if not shown:
        written = ROOT / "results" / f"{name}.md"
        return written.read_text() if written.exists() else NOT_MEASURED
    found = [one for metric in shown for one in comparisons(f"{name}.csv", metric)]
    return markdown_tables([one.only(chosen(one, methods)) if methods else one for one in found])


def chosen(comparison: Comparison, asked: Sequence[str]) -> list[str]:
    """Return the labels that are asked for: by name, or as ``best N``."""
    counts = [int(one.removeprefix("best ")) for one in asked if re.fullmatch(r"best \d+", one)]
    return [*asked, *(label for count in counts for label in comparison.top(count))]


def one_method(name: str) -> str:
    """Return one method's tables: its own trials, variants too, with ITQ and the uncompressed features."""
    return markdown_tables(list(tables_with(name))) or NOT_MEASURED


def tables_with(name: str) -> Iterable[Comparison]:
    """Yield the tables that have rows of a method, cut down to these and to what all are compared with."""
    for path in sorted((ROOT / "results").glob("*.csv")):
        rows = read(path.name)
        if not rows or not {"protocol", "map@all"} <= set(rows[0]) or "class" in rows[0]:
            continue  # no runs of methods on a protocol, or runs cut into classes
        for metric in ["map@all", *own_metrics(rows)]:
            for comparison in comparisons(path.name, metric):
                own = {label for label, _ in comparison.rows if method_of(label) == name}
                if own:
                    yield comparison.only({*own, *COMPARED})


@cache
def comparisons(name: str, metric: str) -> list[Comparison]:
    """Return the tables of a file for one metric, with all methods."""
    per_query = QueryValues(ROOT / "results" / name, metric).read()
    return Comparison.from_rows(read(name), metric, per_query=per_query)


def own_metrics(rows: list[Row]) -> list[str]:
    """Return the metrics that an experiment measures beyond those of every experiment."""
    columns = list(rows[0])
    between = columns[columns.index("seed") + 1 : columns.index("seconds")]
    return [name for name in between if name not in DEFAULT_METRICS]


@cache
def read(name: str) -> list[Row]:
    """Read a result file; those that are older than `kinbits bench` lack a column that had one value."""
    with (ROOT / "results" / name).open(newline="") as file:
        return [{**CONSTANT, **row} for row in csv.DictReader(file)]


if __name__ == "__main__":
    sys.exit(main())
