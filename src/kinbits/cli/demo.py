"""kinbits demo: the whole path on built-in data."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinbits.cli.app import app
from kinbits.cli.output import JsonFlag, console, facts, note, print_json, seconds_text, shell
from kinbits.cli.source import writable_folder
from kinbits.errors import UsageError

if TYPE_CHECKING:
    from kinbits.data import Dataset, Splits
    from kinbits.evaluation import Report
    from kinbits.index import BatchHits, Index
    from kinbits.model import HashModel

PROTOCOL, DATABASE, BITS, NEIGHBOURS = "fashion-mnist", 15_000, 64, 9
MODEL, INDEX, SHEET, QUERY = "model", "index", "contact-sheet.png", "query.png"
MARK = ".kinbits-demo"  # in a folder that the demo made, whose contents it may replace
INTRODUCTION = f"""\
kinbits demo: learn {BITS}-bit codes from 10,000 images of Fashion-MNIST, index
{DATABASE:,} others, measure, search. The protocol's database has 59,000 images; the
demo takes {DATABASE:,} of them, to end within 5 minutes on two cores. Most of the work
is computing features; they are kept for the next run."""


@app.command()
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Where results go.")] = Path("demo"),
    as_json: JsonFlag = False,
) -> None:
    """Learn, index, measure and search on built-in data."""
    _check_output(output)
    started = time.perf_counter()
    note(INTRODUCTION)
    steps = _Demo(output)
    report = steps.run()
    took = time.perf_counter() - started
    if as_json:
        print_json({"folder": output, "seconds": round(took, 1), "report": report.to_dict()})
        return
    _show(output, report, took)


def _check_output(output: Path) -> None:
    """Refuse to replace what the demo did not make, before any work is done."""
    writable_folder(output)
    if not (output / MARK).exists() and any(output.iterdir()):
        raise UsageError(f"the demo did not make {output}, which is not empty; choose a new output folder")
    (output / MARK).touch()


class _Demo:
    """The steps; each prints its time."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.step = 0

    def run(self) -> Report:
        """Do everything and write all files."""
        with self._step("open the data"):
            from kinbits.data import load_protocol

            splits = load_protocol(PROTOCOL)
            splits = _smaller(splits, range(DATABASE))
        with self._step(f"learn {BITS}-bit codes (orthohash on {len(splits.train):,} images)"):
            model = self._fit(splits)
        with self._step(f"index {len(splits.database):,} images"):
            index = self._index(model, splits.database)
        with self._step("evaluate, and compare with training-free baselines"):
            report = self._evaluate(model, splits)
        with self._step("search and draw"):
            self._search(model, index, splits)
        return report

    @contextmanager
    def _step(self, what: str) -> Iterator[None]:
        self.step += 1
        note(f"{self.step}/5 {what} ...")
        started = time.perf_counter()
        yield
        note(f"    done in {seconds_text(time.perf_counter() - started)}")

    def _fit(self, splits: Splits) -> HashModel:
        from kinbits.fitting import fit

        model = fit(splits.train, method="orthohash", bits=BITS)
        model.save_pretrained(self.output / MODEL)
        return model

    def _index(self, model: HashModel, database: Dataset) -> Index:
        from kinbits.encoding import default_cache, encode_collection
        from kinbits.index import Index

        codes = encode_collection(model, database, cache=default_cache(database), progress=True)
        folder = self.output / INDEX
        shutil.rmtree(folder, ignore_errors=True)
        return Index.create(folder, codes, model=model)

    def _evaluate(self, model: HashModel, splits: Splits) -> Report:
        from kinbits.evaluation import evaluate

        report = evaluate(model, splits, details=True, progress=True)
        report.save(self.output)
        return report

    def _search(self, model: HashModel, index: Index, splits: Splits) -> None:
        queries = splits.query.select(_one_per_class(splits.query))
        hits = index.search(model.encode(queries), k=NEIGHBOURS)
        _draw(queries, splits.database, hits, self.output / SHEET)
        queries.image(0).save(self.output / QUERY)


def _smaller(splits: Splits, rows: Sequence[int]) -> Splits:
    """Take part of the database; what is reported then is not the protocol any more, and says so."""
    protocol = replace(splits.protocol, name=f"{splits.protocol.name}, smaller", database=len(rows), checksum="")
    return replace(splits, database=splits.database.select(rows), protocol=protocol)


def _one_per_class(queries: Dataset) -> list[int]:
    assert queries.labels is not None
    labels = queries.labels.tolist()
    return [labels.index(label) for label in sorted(set(labels))]


def _draw(queries: Dataset, database: Dataset, hits: BatchHits, path: Path) -> None:
    from kinbits.data import Tile, contact_sheet

    row_of = {name: row for row, name in enumerate(database.ids.tolist())}
    rows = []
    for number, found in enumerate(hits):
        own = queries.label_text(number) or ""
        row = [Tile(queries.image(number), ("query", own))]
        for hit in found:
            place = row_of[hit["id"]]
            label = database.label_text(place) or ""
            row.append(Tile(database.image(place), (_bits(hit["distance"]), label), good=label == own))
        rows.append(row)
    subtitle = (
        f"Fashion-MNIST, orthohash, {BITS} bits: {len(database):,} images searched; below each, how many bits differ"
    )
    contact_sheet(rows, path, title=f"Queries and their {NEIGHBOURS} nearest neighbours", subtitle=subtitle)


def _bits(distance: int) -> str:
    return "1 bit" if distance == 1 else f"{distance} bits"


def _show(output: Path, report: Report, took: float) -> None:
    console().print(report.table())
    own, itq = report.rows[0].values["map@all"], report["itq"].values["map@all"]
    written: dict[str, Any] = {
        "result": f"mAP@all {own:.3f} with orthohash, {itq:.3f} with ITQ on the same features ({own / itq:.1f} times)",
        "time": seconds_text(took),
        "model": output / MODEL,
        "index": output / INDEX,
        "pictures": f"{output / SHEET}\n{output / 'pr-curves.png'}",
        "report": output / "report.html",
        "next": "\n".join(
            [
                shell("kinbits", "search", output / INDEX, output / QUERY),
                "kinbits fit YOUR-FOLDER -o MODEL",
                "kinbits --help",
            ]
        ),
    }
    facts(written)
