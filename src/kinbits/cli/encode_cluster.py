"""Options of kinbits encode for a cluster, and what it prints then."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import Annotated, Any

import typer

from kinbits.cli.models import low_quality_text
from kinbits.cli.output import facts, note, print_json, shell, skipped_json, skipped_text
from kinbits.cli.source import Source, columns_of
from kinbits.errors import UsageError

_PANEL = "Cluster"

ClusterOption = Annotated[
    str | None,
    typer.Option(
        metavar="local|auto|ADDRESS",
        help="Encode by workers of Ray: of a cluster started for this run, of the one that this machine belongs "
        "to, or of the one at ADDRESS. OUT is then a folder or URI.",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
BlockRowsOption = Annotated[
    int | None,
    typer.Option(help="Items of a block, which becomes a file. Default: 8192.", rich_help_panel=_PANEL),
]
WorkersOption = Annotated[
    int | None, typer.Option(help="Number of workers. Default: as many as fit.", rich_help_panel=_PANEL)
]
CpusOption = Annotated[
    float | None,
    typer.Option("--cpus-per-worker", metavar="X", help="Default: those of the smallest node.", rich_help_panel=_PANEL),
]
GpusOption = Annotated[
    float | None, typer.Option("--gpus-per-worker", metavar="X", help="Default: 0.", rich_help_panel=_PANEL)
]


def check_cluster_options(cluster: str | None, output: str, options: dict[str, Any]) -> None:
    """Refuse what only a cluster takes, without one.

    Raises:
        UsageError: If something was given that needs a cluster.
    """
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]
    if cluster is None and given:
        raise UsageError(f"{given[0]} is for a cluster; give --cluster too, or leave it out")
    if cluster is None and "://" in output:
        raise UsageError(f"{output} is written by a cluster; give --cluster local, or the path of a file")


def encode_on_cluster(
    model: Any, data: str, output: str, cluster: str, modality: Any, as_json: bool, columns: Any, options: Any
) -> None:
    """Encode a collection on a cluster, and print what was written."""
    from kinbits.model import HashModel
    from kinbits.scale import encode, is_sharded

    given = {name: value for name, value in options.items() if value is not None}
    source: Any = data
    if is_sharded(data):
        given |= _shard_columns(columns)
    else:
        source = Source(data, **columns).open("database")  # first, so that a misspelt name is told at once
    loaded = HashModel.from_pretrained(model)
    try:
        with redirect_stdout(sys.stderr):  # Ray tells there which node has died
            written = encode(loaded, source, output, cluster=cluster, modality=modality, progress=True, **given)
    except KeyboardInterrupt:
        note("the same command continues where it stopped")
        raise
    if written.resumed:
        note(f"continued after {written.resumed:,} of {written.blocks:,} blocks")
    if written.retried:
        note(f"{written.retried:,} attempts failed, and were repeated")
    if as_json:
        low = {} if written.low_quality is None else {"low_quality": written.low_quality}
        counts = {name: getattr(written, name) for name in ("rows", "bits", "blocks", "resumed", "retried")}
        print_json({"codes": output, **counts, **low, "skipped": skipped_json(written.skipped)})
        return
    total = written.rows + len(written.skipped)
    index = shell("kinbits", "index", "create", f"{output.rstrip('/')}.index", output)
    facts(
        {
            "codes": f"{output} ({written.blocks:,} files)",
            "rows": f"{written.rows:,} of {written.bits} bits",
            "skipped": skipped_text(written.skipped),
            "low quality": low_quality_text(written.low_quality, total),
            "next": None if "://" in output else index,
        }
    )


def _shard_columns(columns: dict[str, Any]) -> dict[str, Any]:
    """Return the options of columns that workers understand.

    Raises:
        UsageError: If another one was given.
    """
    given = {name: value for name, value in columns_of(columns).items() if value}
    for name in ("no_labels", "frames", "include_hidden"):
        if name in given:
            raise UsageError(
                f"--{name.replace('_', '-')} is for data that are opened here, not by workers; leave it out"
            )
    return given
