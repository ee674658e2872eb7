"""kinbits protocols: published splits and relevance rules."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinbits.cli.app import app
from kinbits.cli.output import JsonFlag, console, print_json, show, table
from kinbits.cli.source import Source

if TYPE_CHECKING:
    from kinbits.data import Protocol, Splits


@app.command()
def protocols(
    name: Annotated[
        str | None,
        typer.Argument(help="One protocol: its card, and its data opened and checked.", show_default=False),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """List all protocols, or show the card of one.

    A protocol is a split, a relevance rule and a metric. Its card states
    sizes, cut-off, ties, checksum, source and the files it needs. If the
    files are on this machine, they are opened and checked against the card.
    """
    from kinbits.data import find_protocol, list_protocols, load_protocol

    if name is None:
        _list(as_json)
        return
    definition = find_protocol(name) if name in list_protocols() else None
    missing = _missing(definition)
    splits = None if missing else Source(name).splits(seed=0) if definition is None else load_protocol(name)
    if as_json:
        print_json(_facts(definition, missing, splits))
        return
    if definition is not None:
        show(definition.card() + "\n")
    show(f"not ready: {missing}" if splits is None else splits.describe())


def _list(as_json: bool) -> None:
    from kinbits.data import find_protocol, list_protocols

    found = {name: (find_protocol(name), _missing(find_protocol(name))) for name in list_protocols()}
    if as_json:
        print_json({name: _facts(definition, missing, None) for name, (definition, missing) in found.items()})
        return
    published = {name: one for name, one in found.items() if one[0].required_files is not None}
    rows = [[name, "no" if missing else "yes", own.summary] for name, (own, missing) in published.items()]
    console().print(table(["protocol", "ready", "split"], rows))
    absent = [row[0] for row in rows if row[1] == "no"]
    if absent:
        print(f"{len(absent)} of {len(rows)} are not ready; e.g. `kinbits protocols {absent[0]}` says what is missing.")
    print("`kinbits protocols NAME` shows a protocol's card and checks its data.")
    print("`folder:PATH` splits any labelled collection, `lists:PATH` takes the parts from list files.")


def _missing(definition: Protocol | None) -> str:
    """Say what a protocol lacks on this machine; empty when it is ready, or where the user named the source."""
    if definition is None:
        return ""
    if definition.required_files is not None:
        return definition.required_files.missing()
    return f"it needs your own data; `kinbits protocols {definition.name}:PATH` checks them"


def _facts(definition: Protocol | None, missing: str, splits: Splits | None) -> dict[str, Any]:
    """Return the definition as JSON types; of opened data, with the checksum of exactly these."""
    own = splits.protocol if splits is not None else definition
    assert own is not None
    facts = {**asdict(own), "cutoff": own.cutoff, "ready": not missing, "missing": missing}
    if splits is not None:
        facts |= {"unlabelled": splits.unlabelled, "notes": splits.notes, "left_out": len(splits.skipped)}
    return facts
