"""Tables of an experiment as files, in Markdown and HTML."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kinbits._util import render, write_text
from kinbits.bench.comparison import Comparison, markdown_tables
from kinbits.bench.experiment import Experiment
from kinbits.bench.results import Results
from kinbits.bench.status import Status

_PAGE = Path(__file__).with_name("tables.html.j2")
_NOTE = "Ties count with their expected value. Made by `kinbits bench {name}.yaml` from the rows of {file}."


def write_tables(experiment: Experiment, results: Results, name: str, status: Status | None = None) -> list[Path]:
    """Write the tables next to the CSV file, as ``.md`` and ``.html``.

    Rows that belong to no trial of the experiment are left out. Methods with stale rows are named below their table.

    Args:
        experiment: What was run; its first metric is shown.
        results: Its rows.
        name: Name of the experiment's file, without the ending.
        status: The status of these results, if it is known; None compares them with the trials.

    Returns:
        The two paths.

    Raises:
        DataError: If a protocol without a fixed checksum has no data on this machine.
        PlatformError: If a file cannot be written.
    """
    title, note = experiment.title or name, _NOTE.format(name=name, file=results.path.name)
    status = status or results.status(experiment.trials())
    found = Comparison.from_rows(
        (row for row in results if row not in status.orphans),
        experiment.metrics[0],
        per_query=results.query_values.read(),
        methods={entry.label: entry.method for entry in experiment.methods},
    )
    tables = [one.with_stale(status.stale) for one in found]
    texts = {".md": markdown(title, tables, note), ".html": html(title, tables, note.replace("`", ""))}
    paths = [results.path.with_suffix(suffix) for suffix in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        write_text(path, text)
    return paths


def markdown(title: str, comparisons: Sequence[Comparison], note: str) -> str:
    """Return all tables as Markdown."""
    return "\n\n".join([f"# {title}", note, markdown_tables(comparisons)]) + "\n"


def html(title: str, comparisons: Sequence[Comparison], note: str) -> str:
    """Return a page with all tables, which needs no other file; pointing at a cell shows its seeds."""
    return render(_PAGE, title=title, comparisons=comparisons, note=note)
