"""kinbits inspect: statistics of codes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinbits._util import check_parent
from kinbits.cli.app import app
from kinbits.cli.output import JsonFlag, note, print_json, show, skipped_text
from kinbits.cli.source import COLUMNS, DATA_HELP, Source
from kinbits.errors import DataError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from kinbits.encoding import CodesFile
    from kinbits.index import Recall
    from kinbits.metrics import CodeStatistics


@dataclass(frozen=True)
class _Known:
    """Codes, and what is known of them; the recall of an index that keeps vectors."""

    codes: np.ndarray
    bits: int
    labels: np.ndarray | None
    logits: np.ndarray | None = None
    recall: Recall | None = None
    words: int = 2

    def statistics(self) -> CodeStatistics | None:
        """Return the statistics of bits; None for other codes."""
        from kinbits.metrics import code_statistics

        if self.words != 2:
            return None
        return code_statistics(self.codes, self.bits, self.labels, self.logits)


@app.command()
@COLUMNS.add_after("as_json")
def inspect(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="CODES|INDEX|MODEL", help="Codes from `kinbits encode`, an index, or a model.", show_default=False
        ),
    ],
    data: Annotated[str | None, typer.Argument(help=f"With a model: {DATA_HELP}", show_default=False)] = None,
    bits: Annotated[
        int | None, typer.Option(help="Code length, for codes that kinbits did not write.", show_default=False)
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw distances, bits and correlations.", show_default=False)
    ] = None,
    as_json: JsonFlag = False,
    **columns: Any,
) -> None:
    """Describe codes: bits, distances, collisions, ties.

    kinbits inspect CODES.parquet

    kinbits inspect MODEL DATA

    Labels, where there are any, tell distances within classes from those
    between; a model tells how far its outputs lie from their signs.
    """
    from kinbits.encoding import is_codes_file

    if plot is not None:
        check_parent(plot, "file")
    ready = is_codes_file(source) or (source / "manifest.json").exists()
    named, label_column = Source(data or "", **columns), columns["label_column"]
    if ready and data is not None:
        raise UsageError(f"{source} holds codes already; leave {data} out")
    if ready and (others := replace(named, label_column=None).column_flags):
        raise UsageError(f"{source} holds codes already; leave {others[0]} out")
    if bits is not None and not is_codes_file(source):
        raise UsageError("--bits goes with a file of codes; a model or an index knows its own length")
    if is_codes_file(source):
        known = _of_file(source, bits, label_column)
    elif ready:
        known = _of_index(source, label_column)
    elif data is None:
        raise UsageError(f"{source} is no file of codes and no index; with a model, give data too")
    else:
        known = _of_model(source, named)
    found = known.statistics()
    if found is None and plot is not None:
        from kinbits.hamming import kind_name

        raise UsageError(f"--plot draws Hamming distances, and {kind_name(known.words)} have none; leave it out")
    if plot is not None and found is not None:
        from kinbits.metrics import plot_statistics

        plot_statistics(found, plot)
    if as_json:
        told = {} if found is None else found.to_dict()
        print_json(told | ({} if known.recall is None else {"recall": asdict(known.recall)}))
        return
    for part in (found, known.recall):
        if part is not None:
            show(part)
    if plot is not None:
        show(f"plot written to {plot}")


def _of_file(path: Path, bits: int | None, label: str | None) -> _Known:
    from kinbits.encoding import read_codes

    found = read_codes(path).with_bits(bits)
    return _of_codes(found, _label_column(label, found.columns))


def _of_codes(found: CodesFile, label: str) -> _Known:
    assert found.bits is not None
    _require_bits(found.bits, found.words)
    return _Known(found.codes, found.bits, found.labels(label))


def _label_column(given: str | None, columns: Iterable[str]) -> str:
    """Return the column of labels: the one that is named, else what looks like one, as where data are read."""
    from kinbits.data import find_label_column

    return find_label_column(list(columns), given) or "label"


def _of_index(folder: Path, label: str | None) -> _Known:
    from kinbits.cli.index_options import opened_index
    from kinbits.hamming import BITS

    opened = opened_index(folder)
    if not len(opened):
        raise DataError(f"the index {folder} is empty; statistics need 2 codes or more")
    name = _label_column(label, opened.info()["columns"])
    recall = None if opened.info().get("keep") is None else opened.recall(min(10, len(opened) - 1))
    found = opened.to_codes([name])
    assert found.bits is not None
    if recall is not None and found.words != BITS:
        return _Known(found.codes, found.bits, None, recall=recall, words=found.words)
    return replace(_of_codes(found, name), recall=recall)


def _of_model(folder: Path, source: Source) -> _Known:
    from kinbits.encoding import default_cache
    from kinbits.model import HashModel

    model = HashModel.from_pretrained(folder)
    _require_bits(model.bits, model.words)
    dataset = source.open("database")
    found = model.encode(dataset, output="features", on_error="skip", cache=default_cache(dataset), progress=True)
    if found.skipped:
        note(f"skipped {skipped_text([*dataset.skipped, *found.skipped])}")
    labels = dataset.select(found.rows).labels
    tower = model.tower()
    return _Known(tower.compute(found.array), model.bits, labels, tower.compute(found.array, "logits"))


def _require_bits(bits: int, words: int) -> None:
    from kinbits.hamming import BITS, describe_kind

    if words != BITS:
        raise UsageError(
            f"inspect describes bits and their Hamming distances, not {describe_kind(bits, words)}; of an index that "
            "was created with --keep it measures the recall of any codes"
        )
