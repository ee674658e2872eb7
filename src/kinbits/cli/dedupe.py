"""kinbits dedupe: duplicates of a folder of images, or of an index."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from kinbits.cli.dedupe_group import dedupe
from kinbits.cli.flags import Flags
from kinbits.cli.output import JsonFlag, console, facts, note, print_json, shell
from kinbits.dedupe import COPY_MODEL, DedupeSettings
from kinbits.errors import UsageError

FLAGS = Flags(DedupeSettings, but=())
NONE = "none"


@dedupe.command()
@FLAGS.add_after("model")
def find(
    source: Annotated[
        Path, typer.Argument(metavar="FOLDER|INDEX", help="Folder of images, or an index.", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="REPORT",
            help="Folder for the report, and for what was read: a second search reads new and changed files only.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="Folder or name of a model; none finds equal files and pixels only.")
    ] = COPY_MODEL,
    bank: Annotated[
        list[str] | None,
        typer.Option(
            metavar="INDEX[=BITS]",
            help="Index of known images to compare with, and its radius (repeatable).",
            show_default=False,
        ),
    ] = None,
    shown: Annotated[int, typer.Option("-n", min=1, help="Maximum number of groups of each kind to print.")] = 20,
    as_json: JsonFlag = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of text: a line for each image.")] = False,
    **options: Any,
) -> None:
    """Find duplicates: equal files, copies, bursts, and similar images.

    Example: kinbits dedupe photos -o photos-duplicates

    Copies are resized, recompressed, cropped or otherwise edited. Pairs of
    near codes are looked at: how well one image lies on the other decides.
    The least similarity of copies, 0.4 to 0.6, is found on the collection
    itself, by the false pairs to expect (--tolerance). The share of copies
    that is found is measured with edits of the collection's images. Nothing
    is moved or deleted; `kinbits dedupe review` goes on from there.
    """
    from kinbits.dedupe import find_duplicates

    if as_json and as_csv:
        raise UsageError("give --json or --csv, not both")
    report = find_duplicates(
        source,
        model=None if model == NONE else model,
        folder=output,
        banks=[_bank(text) for text in bank or []],
        progress=True,
        **FLAGS.read(options),
    )
    files = report.save(output) if output is not None else []
    if as_json:
        print_json(report.to_dict())
        return
    if as_csv:
        print(report.to_csv(), end="")
        return
    console().print(report.table(shown))
    if output is not None:
        facts({"written": "\n".join(map(str, files))})
        if report.groups:
            note(shell("kinbits", "dedupe", "review", output))


def _bank(text: str) -> Path | tuple[Path, int]:
    name, equals, bits = text.rpartition("=")
    if equals and bits.isdecimal() and bits.isascii():
        return Path(name).expanduser(), int(bits)
    return Path(text).expanduser()


from kinbits.cli import dedupe_apply as dedupe_apply  # noqa: E402 - its commands come after the first one
