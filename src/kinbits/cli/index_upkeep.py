"""kinbits index info, verify, compact, optimize and pairs: what an index holds, and its upkeep."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from kinbits._util import printable
from kinbits.cli.index_options import IndexFolder, WaitOption, WhereOption, index, opened_index
from kinbits.cli.output import JsonFlag, bytes_text, facts, json_text, print_json, show


@index.command()
def info(folder: IndexFolder, as_json: JsonFlag = False) -> None:
    """Show what an index holds."""
    from kinbits.hamming import BITS, describe_kind

    found = opened_index(folder).info()
    size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    found |= {"bytes": size}
    if as_json:
        print_json(found)
        return
    codes = describe_kind(found["bits"], found.get("words", BITS))
    facts(
        {
            "index": folder,
            "items": f"{found['items']:,} {codes}, ids are {found['ids'] or 'not given yet'}",
            "columns": ", ".join(found["columns"]) or "none",
            "on disk": f"{bytes_text(size)}; segments: {found['segments']}, deleted items: {found['deleted']:,}",
            "vectors": _kept(found.get("keep")),
            "search tables": f"{found['tables']} of {found['segments']} segments",
            "model": found["model"] or "not known",
            "made with": found["fingerprint"],
        }
    )


def _kept(keep: dict[str, Any] | None) -> str:
    return "none" if keep is None else f"{keep['precision']}, {keep['dims']} dimensions, compared by {keep['metric']}"


@index.command()
def verify(folder: IndexFolder, as_json: JsonFlag = False) -> None:
    """Read everything and compare it with its checksums."""
    opened = opened_index(folder)
    opened.verify()
    if as_json:
        print_json({"index": folder, "items": len(opened), "ok": True})
    else:
        show(f"{folder}: {len(opened):,} items, all checksums agree")


@index.command()
def compact(folder: IndexFolder, wait: WaitOption = 0.0, as_json: JsonFlag = False) -> None:
    """Rewrite an index as one segment, without what was deleted."""
    opened = opened_index(folder, wait=wait).compact()
    if as_json:
        print_json(opened.info())
    else:
        show(f"{folder}: {len(opened):,} items in {opened.info()['segments']} segment")


@index.command()
def optimize(folder: IndexFolder, wait: WaitOption = 0.0, as_json: JsonFlag = False) -> None:
    """Build search tables, with which large indexes are searched many times faster."""
    opened = opened_index(folder, wait=wait).optimize()
    if as_json:
        print_json(opened.info())
    else:
        facts({"index": folder, "how a search for 10 goes": str(opened.explain(k=10))})


@index.command()
def pairs(
    folder: IndexFolder,
    radius: Annotated[
        int, typer.Option("--radius", "-r", min=0, help="Largest distance in bits; 0 finds equal codes.")
    ] = 0,
    where: WhereOption = None,
    as_json: JsonFlag = False,
) -> None:
    """List all pairs of items within a radius, such as near duplicates: one line each, or one JSON object.

    A line holds two ids and their distance, with tabs between them.
    """
    for chunk in opened_index(folder).pairs(radius, where or None):
        for first, second, distance in zip(*(part.tolist() for part in chunk), strict=True):
            if as_json:
                print(json_text({"first": first, "second": second, "distance": distance}))
            else:
                print(printable(first), printable(second), distance, sep="\t")
