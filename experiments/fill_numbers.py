"""Put the tables of ``results/`` between the marks in README.md and docs; ``--check`` says what is stale.

Between ``<!-- numbers: FILE METRIC... -->`` and ``<!-- /numbers -->`` go the tables of ``results/FILE.csv`` for these
metrics, or with none named those of ``results/FILE.md``. A colon and names of methods (``: itq, shc``) choose rows;
``best 3`` among them are the three best of each group and the uncompressed features. The bare mark ``<!-- numbers -->``
of a page in docs/methods stands for all that was measured of its method; on pages of attacks and defences, for their
rows of ``results/attacks-digits.md``.

Marks of the best are those among all methods of a file. The tests behind them need ``results/FILE.queries.parquet``.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
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
        named = [block["asked"] for block in BLOCK.finditer(text)]
        fresh = BLOCK.sub(lambda found, path=path, named=named: filled(found, path, named), text)
        if fresh != text and "--check" in sys.argv:
            print(f"{path.relative_to(ROOT)} is stale: run experiments/fill_numbers.py")
            stale += 1
        elif fresh != text:
            path.write_text(fresh)
    return int(stale > 0)


def filled(block: re.Match[str], page: Path, named: Sequence[str | None]) -> str:
    """Return a block with its tables: those it asks for, else those of what the page is about.

    Args:
        block: What is to be filled.
        page: Where it stands.
        named: What all blocks of the page ask for.
    """
    asked = block["asked"]
    files, _, methods = (asked or "").partition(":")
    names = [name.strip() for name in methods.split(",") if name.strip()]
    own = {"attacks": one_attack, "defences": one_defence}.get(page.parent.name, one_method)
    others = [one for one in named if one and one != asked]
    text = one_result(*files.split(), methods=names, others=others) if asked else own(page.stem)
    return block[1] + text.rstrip() + "\n" + block[3]


def one_result(name: str, *shown: str, methods: Sequence[str] = (), others: Sequence[str] = ()) -> str:
    """Return the tables of a file of results for some metrics and methods; with no metric, those of its script.

    A caption that a table of others on the page has too gets the title of the experiment.
    """
    if not shown:
        written = ROOT / "results" / f"{name}.md"
        return written.read_text() if written.exists() else NOT_MEASURED
    found = tables(name, *shown)
    taken = {one.caption for other in others for one in tables(*other.partition(":")[0].split())}
    found = [replace(one, note=title(f"{name}.csv")) if one.caption in taken else one for one in found]
    return markdown_tables([one.only(chosen(one, methods)) if methods else one for one in found])


def tables(name: str, *metrics: str) -> list[Comparison]:
    """Return the tables of a file of results for some metrics, with all methods."""
    return [one for metric in metrics for one in comparisons(f"{name}.csv", metric)]


def chosen(comparison: Comparison, asked: Sequence[str]) -> list[str]:
    """Return the labels that are asked for: by name, or as ``best N``."""
    counts = [int(one.removeprefix("best ")) for one in asked if re.fullmatch(r"best \d+", one)]
    return [*asked, *(label for count in counts for label in comparison.top(count))]


def one_method(name: str) -> str:
    """Return one method's tables: its own trials, variants too, with ITQ and the uncompressed features."""
    return markdown_tables(told_apart(list(tables_with(name)), name)) or NOT_MEASURED


def told_apart(found: Sequence[tuple[str, Comparison]], name: str) -> list[Comparison]:
    """Return tables without those whose rows of a method are in another; equal captions get titles of experiments."""
    kept: list[tuple[str, Comparison]] = []
    for file, one in sorted(found, key=lambda pair: len(own_cells(pair[1], name)), reverse=True):
        if not any(own_cells(one, name) <= own_cells(other, name) for _, other in kept):
            kept.append((file, one))
    kept.sort(key=found.index)
    captions = [one.caption for _, one in kept]
    return [replace(one, note=title(file)) if captions.count(one.caption) > 1 else one for file, one in kept]


def own_cells(comparison: Comparison, name: str) -> set[tuple[str, ...]]:
    """Return what a table says of a method: setting, metric, label, bits and value of each cell."""
    return {
        (*comparison.setting, comparison.metric, label, bits, str(cell))
        for label, cells in comparison.rows
        if method_of(label) == name
        for bits, cell in zip(comparison.bits, cells, strict=True)
    }


def title(file: str) -> str:
    """Return the title of the tables of a file of results."""
    written = (ROOT / "results" / file).with_suffix(".md")
    return written.read_text().splitlines()[0].lstrip("# ") if written.exists() else file


def one_attack(name: str) -> str:
    """Return what an attack does to each model, beside clean images and noise."""
    sections = (table_of(text, lambda row: row.partition(",")[0] in (name, "clean", "noise")) for text in attacked())
    return "\n\n".join(one for one in sections if f"| {name}" in one) or NOT_MEASURED


def one_defence(name: str) -> str:
    """Return what all attacks do to a model without a defence, and to one with this defence."""
    found = [text for text in attacked() if text.startswith((f"defence: {name}*", "defence: none*"))]
    return "\n\n".join(table_of(text, lambda row: True) for text in found) if len(found) > 1 else NOT_MEASURED


def attacked() -> list[str]:
    """Return the sections of the table of attacks, one for each defence."""
    written = ROOT / "results" / "attacks-digits.md"
    return written.read_text().split("\n**")[1:] if written.exists() else []


def table_of(section: str, wanted: Callable[[str], bool]) -> str:
    """Return a section with the rows that are wanted by their first cell."""
    title, _, head, rule, *rows = section.strip().splitlines()
    return "\n".join([f"**{title}", "", head, rule, *(row for row in rows if wanted(row.split(" | ")[0].strip("| ")))])


def tables_with(name: str) -> Iterable[tuple[str, Comparison]]:
    """Yield file and table where one has rows of a method, cut down to these and to what all are compared with."""
    for path in sorted((ROOT / "results").glob("*.csv")):
        rows = read(path.name)
        if not rows or not {"protocol", "map@all"} <= set(rows[0]) or "class" in rows[0]:
            continue  # no runs of methods on a protocol, or runs cut into classes
        for metric in ["map@all", *own_metrics(rows)]:
            for comparison in comparisons(path.name, metric):
                own = {label for label, _ in comparison.rows if method_of(label) == name}
                if own:
                    yield path.name, comparison.only({*own, *COMPARED})


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
