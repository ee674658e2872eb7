"""kinbits doctor: what this machine offers, and what is missing."""

from __future__ import annotations

from dataclasses import asdict

import typer

from kinbits.cli.app import app
from kinbits.cli.output import JsonFlag, console, print_json, table

_MARKS = {"ok": "ok", "optional": "-", "fault": "FAULT"}


@app.command()
def doctor(as_json: JsonFlag = False) -> None:
    """Check the installation, the machine and the data.

    The exit code is 5 if something that kinbits needs is missing.
    """
    from kinbits.testing import check_installation

    findings = check_installation()
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        rows = ([finding.what, _MARKS[finding.state], finding.found] for finding in findings)
        console().print(table(["", "", "found"], rows))
    if any(finding.state == "fault" for finding in findings):
        raise typer.Exit(5)
