"""kinbits dedupe review, decide, apply and undo: from a report of duplicates to files moved aside, and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinbits.cli.dedupe_group import dedupe
from kinbits.cli.messages import warn
from kinbits.cli.output import JsonFlag, bytes_text, note, print_json, shell, show
from kinbits.errors import DataError

if TYPE_CHECKING:
    from kinbits.dedupe import RefusedFile

PAGE, DECISIONS = "review.html", "decisions.json"

ReportFolder = Annotated[
    Path, typer.Argument(metavar="REPORT", help="Folder of a report of duplicates.", show_default=False)
]
RootOption = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="The folder of the images, if it was moved.", show_default=False),
]
DryRunFlag = Annotated[bool, typer.Option("--dry-run", help="Check everything, change nothing.")]


@dedupe.command()
def review(
    folder: ReportFolder,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE.html", help="The page. Default: REPORT/review.html.", show_default=False
        ),
    ] = None,
    root: RootOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Write a page on which you choose what to keep and what to remove.

    The page shows a thumbnail of each file, works with the keyboard, and
    needs no network. It writes decisions.json, for `kinbits dedupe apply`.
    """
    from kinbits.dedupe import DedupeReport, write_review

    found = DedupeReport.open(folder)
    then = f"Carry it out: kinbits dedupe apply {DECISIONS} --move-to FOLDER"
    pages = write_review(found, output or folder / PAGE, root=root, then=then, progress=True)
    if as_json:
        print_json({"pages": [str(page) for page in pages]})
        return
    for page in pages:
        show(f"{page} ({bytes_text(page.stat().st_size)})")
    note("open it in a browser, and save your decisions; then")
    note(shell("kinbits", "dedupe", "apply", DECISIONS, "--move-to", "removed"))


@dedupe.command()
def decide(
    folder: ReportFolder,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE.json", help="Default: REPORT/decisions.json.", show_default=False),
    ] = None,
    kinds: Annotated[
        str, typer.Option(metavar="KINDS", help="Kinds of groups, with commas: bytes,pixels,copies,bursts,similar.")
    ] = "bytes",
    root: RootOption = None,
) -> None:
    """Keep the best file of each group and remove the others, without a review.

    The best has most pixels, then the largest file, then the oldest. This
    writes decisions.json; `kinbits dedupe apply` carries it out.
    """
    from kinbits.dedupe import DedupeReport
    from kinbits.dedupe import decide as decide_groups

    chosen: list[Any] = [kind.strip() for kind in kinds.split(",") if kind.strip()]
    made = decide_groups(DedupeReport.open(folder), chosen, root=root, progress=True)
    target = made.save(output or folder / DECISIONS)
    show(made)
    if made.unusable:
        count = len(made.unusable)
        what = f"{count:,} file{'' if count == 1 else 's'} changed since the search, or cannot be read"
        warn(f"{what}: left undecided; search again to decide on {'it' if count == 1 else 'them'}")
    note(shell("kinbits", "dedupe", "apply", target, "--move-to", "removed"))


@dedupe.command()
def apply(
    decisions: Annotated[
        Path,
        typer.Argument(
            metavar="DECISIONS",
            help="File that the review page wrote, or its folder.",
            show_default=False,
        ),
    ],
    move_to: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Move removed files here, with their folders.", show_default=False),
    ] = None,
    link: Annotated[
        bool, typer.Option("--link", help="Replace them by hard links to the kept file, if the bytes are equal.")
    ] = False,
    undo_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Default: in the folder of --move-to, or next to DECISIONS.",
            show_default=False,
        ),
    ] = None,
    dry_run: DryRunFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Move removed files aside, or replace them by links; nothing is deleted.

    Files that changed since the review are left as they are, and at least one
    file of each group stays. `kinbits dedupe undo` puts everything back. After
    a crash, the same command finishes.
    """
    from kinbits.dedupe import apply_decisions

    decisions = decisions / DECISIONS if decisions.is_dir() else decisions
    done = apply_decisions(decisions, move_to=move_to, link=link, undo=undo_file, dry_run=dry_run, progress=True)
    if as_json:
        print_json(done.to_dict())
    else:
        show(done)
        if not dry_run and (done.done or done.earlier):
            note(shell("kinbits", "dedupe", "undo", done.undo))
    _end(done.refused)


@dedupe.command()
def undo(
    file: Annotated[
        Path, typer.Argument(metavar="UNDO", help="Undo file that `kinbits dedupe apply` wrote.", show_default=False)
    ],
    dry_run: DryRunFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Put everything back that `kinbits dedupe apply` moved or linked.

    No file is overwritten. What cannot be put back is named, with the reason.
    """
    from kinbits.dedupe import undo_decisions

    done = undo_decisions(file, dry_run=dry_run, progress=True)
    if as_json:
        print_json(done.to_dict())
    else:
        show(done)
    _end(done.refused)


def _end(refused: Sequence[RefusedFile]) -> None:
    """End with the code of wrong data if a file was refused, so that a script notices."""
    if refused:
        raise typer.Exit(DataError.exit_code)
