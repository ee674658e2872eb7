"""kinbits index sync: an index follows a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinbits._util import printable
from kinbits.cli.flags import Flags
from kinbits.cli.index_options import IndexFolder, ModelOption, WaitOption, index, opened_index
from kinbits.cli.output import SHOWN, JsonFlag, facts, print_json, skipped_text
from kinbits.cli.source import Source

if TYPE_CHECKING:
    from kinbits.index import SyncReport

CHANGED = 10
_OPTIONS = ("no_labels", "frames", "include_hidden")
READING = Flags(Source, but={field.name for field in fields(Source)} - {*_OPTIONS}, panel="Data")
"""How the folder is read; as when the index was created where an option is not given."""


@index.command()
@READING.add_after("model")
def sync(
    folder: IndexFolder,
    images: Annotated[
        Path | None,
        typer.Argument(
            metavar="FOLDER",
            help="Folder of images; the one that the index follows, or was created from, if not given.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and change nothing.")] = False,
    checksum: Annotated[
        bool, typer.Option("--checksum", help="Compare the contents of all files, not only their sizes and times.")
    ] = False,
    delete_many: Annotated[
        bool, typer.Option("--delete-many", help="Delete also if more than half of the items have no file any more.")
    ] = False,
    model: ModelOption = None,
    wait: WaitOption = 0.0,
    as_json: JsonFlag = False,
    **reading: Any,
) -> int:
    """Bring an index up to date with its folder: new, changed, moved and gone files.

    Only new contents are encoded. A moved file keeps its id and metadata. No file
    on disk is changed. If a run is killed, the next one completes its work.

    The folder is read as when the index was made, unless an option says otherwise.

    The exit code is 0 if nothing had to be changed, 10 if something was (or would
    be, with --dry-run), and 11 if another synchronisation is running.

    kinbits index sync INDEX

    kinbits index sync INDEX FOLDER --dry-run
    """
    opened = opened_index(folder, model, wait)
    labels = False if reading.pop("no_labels") else None
    how: dict[str, Any] = {"checksum": checksum, "delete_many": delete_many, "dry_run": dry_run}
    report = opened.sync(images, labels=labels, **reading, **how, progress=True)
    if as_json:
        print_json({"index": folder, **report.to_dict()})
    else:
        _show(folder, report)
    return CHANGED if report.changes else 0


def _show(folder: Path, report: SyncReport) -> None:
    would = "would be " if report.dry_run else ""
    moves = [f"{one.old} -> {one.new}" for one in report.moved]
    facts(
        {
            "index": folder,
            "folder": report.folder,
            f"{would}added": _named(report.added),
            f"{would}changed": _named(report.changed),
            f"{would}moved": _named(moves),
            f"{would}deleted": _named(report.deleted),
            "unchanged": f"{report.unchanged:,}",
            "encoded again": f"{report.compared:,} without a record of their file" if report.compared else None,
            "cannot be read, item kept": skipped_text(report.kept),
            "cannot be read": skipped_text(report.skipped),
            "items": f"{report.items:,}",
        }
    )


def _named(names: Sequence[str]) -> str | None:
    """List a number of names, each on a line of its own; the first ones of many."""
    if not names:
        return None
    more = [f"... and {len(names) - SHOWN:,} more"] if len(names) > SHOWN else []
    return "\n".join([f"{len(names):,}", *map(printable, names[:SHOWN]), *more])
