"""kinbits index delete and update: items go, or get other metadata."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinbits._util import read_regular
from kinbits.cli.index_options import IndexFolder, WaitOption, WhereOption, index, opened_index
from kinbits.cli.output import JsonFlag, facts, print_json
from kinbits.errors import DataError, UsageError

if TYPE_CHECKING:
    from kinbits.index import Index

_FIRST = 5  # ids that a dry run names


@index.command()
def delete(
    folder: IndexFolder,
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids as `kinbits search` shows them.")] = None,
    where: WhereOption = None,
    ids_file: Annotated[
        str | None, typer.Option("--ids", metavar="FILE", help="A file with one id a line; - for standard input.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would go, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before items that meet a filter go.")] = False,
    wait: WaitOption = 0.0,
    as_json: JsonFlag = False,
) -> None:
    """Remove items by their ids or by a filter: all of them, or nothing.

    kinbits index delete INDEX 17 18

    kinbits index delete INDEX --where 'label=cat and year<2020' --dry-run

    kinbits index delete INDEX --ids gone.txt
    """
    if [bool(ids), where is not None, ids_file is not None].count(True) != 1:
        raise UsageError("give ids, --where FILTER or --ids FILE; one of the three")
    opened = opened_index(folder, wait=wait)
    wanted = None if where is not None else as_ids(opened, ids or _lines(str(ids_file)))
    number, first = _meeting(opened, where) if wanted is None else _named(opened, wanted)
    if dry_run:
        _show_dry_run(folder, number, first[:_FIRST], len(opened), as_json)
        return
    if wanted is not None:
        opened.delete(wanted)
    elif number:
        _confirm(number, len(opened), yes)
        opened.delete(where=where)
    gone = 0 if opened.last_change is None else opened.last_change.deleted
    if as_json:
        print_json({"index": folder, "deleted": gone, "items": len(opened)})
    else:
        facts({"index": folder, "deleted": f"{gone:,}", "items": f"{len(opened):,}"})


@index.command()
def update(
    folder: IndexFolder,
    table: Annotated[
        Path, typer.Argument(metavar="TABLE", help=".csv, .tsv, .parquet or .jsonl: a column of ids, and others.")
    ],
    id_column: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Column of ids; id if not given.", show_default=False),
    ] = None,
    wait: WaitOption = 0.0,
    as_json: JsonFlag = False,
) -> None:
    """Change metadata of items by their ids, without their images: all of them, or nothing.

    Columns of the table are changed or added, other columns stay as they are.
    An empty cell removes the value.
    """
    from kinbits.data import read_metadata

    opened = opened_index(folder, wait=wait)
    types = opened.info().get("column_types", {})
    ids, columns = read_metadata(table, id_column, [name for name, kind in types.items() if kind == "text"])
    opened.update(as_ids(opened, ids, str(table)), columns)
    names = ", ".join(columns)
    if as_json:
        print_json({"index": folder, "updated": len(ids), "columns": list(columns), "items": len(opened)})
    else:
        facts({"index": folder, "updated": f"{len(ids):,}", "columns": names, "items": f"{len(opened):,}"})


def as_ids(opened: Index, texts: Sequence[str], source: str = "") -> list[Any]:
    """Read ids as the index has them: whole numbers, or text as it stands.

    Raises:
        UsageError: The index has numbers, and a text is none in its usual spelling.
    """
    if opened.info()["ids"] != "int":
        return list(texts)
    wrong = next((text for text in texts if not re.fullmatch(r"0|-?[1-9][0-9]{0,18}", text)), None)
    if wrong is not None:
        where = f"{source}: " if source else ""
        raise UsageError(f"{where}this index has whole numbers as ids, '{wrong}' is none; write e.g. 17")
    return [int(text) for text in texts]


def _lines(name: str) -> list[str]:
    """Read ids from a file or from standard input, one a line as it stands; empty lines do not count."""
    try:
        raw = sys.stdin.buffer.read() if name == "-" else read_regular(os.path.expanduser(name))
        lines = [line.removesuffix("\r") for line in raw.decode("utf-8-sig").split("\n")]
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is no UTF-8 text (byte {error.start}); write one id a line") from None
    except OSError as error:
        raise DataError(f"{name} cannot be read ({error.strerror}); give a file with one id a line") from None
    ids = [line for line in lines if line]
    if not ids:
        raise DataError(f"{name} holds no id; write one a line")
    return ids


def _named(opened: Index, wanted: list[Any]) -> tuple[int, list[Any]]:
    """Count items named by id; an id that the index does not have is refused as the deletion itself would."""
    return opened.count(ids=wanted), list(dict.fromkeys(wanted))


def _meeting(opened: Index, where: Sequence[str] | None) -> tuple[int, list[Any]]:
    """Count what meets a filter, and name the first of it."""
    return opened.count(where=where), opened.ids(where, limit=_FIRST).tolist()


def _show_dry_run(folder: Path, number: int, first: list[Any], items: int, as_json: bool) -> None:
    if as_json:
        print_json({"index": folder, "would delete": number, "first": first, "items": items})
        return
    more = ", ..." if number > len(first) else ""
    facts(
        {"index": folder, "would delete": f"{number:,} of {items:,}", "among them": ", ".join(map(str, first)) + more}
    )


def _confirm(number: int, items: int, yes: bool) -> None:
    """Ask a person; where none can answer, only ``--yes`` lets items go."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{number:,} of {items:,} items meet the filter; give --yes to delete them, or --dry-run")
    typer.confirm(f"Delete {number:,} of {items:,} items?", abort=True, err=True)
