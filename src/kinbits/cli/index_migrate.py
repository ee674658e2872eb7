"""kinbits index migrate: another model takes the place of the one that an index has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinbits.cli.index_options import IndexFolder, WaitOption, index, require_index
from kinbits.cli.models import MODEL_HELP
from kinbits.cli.output import JsonFlag, facts, note, print_json, shell, show, skipped_text
from kinbits.cli.source import COLUMNS, DATA_HELP, ModalityOption, Source
from kinbits.errors import UsageError

if TYPE_CHECKING:
    from kinbits.index import Comparison, MigrationReport


@index.command()
@COLUMNS.add_after("modality")
def migrate(
    folder: IndexFolder,
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help=f"The new model. {MODEL_HELP}", show_default=False),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help=f"Where items are read from. {DATA_HELP} Default: the image files that the index knows.",
            show_default=False,
        ),
    ] = None,
    modality: ModalityOption = "image",
    no_swap: Annotated[
        bool, typer.Option("--no-swap", help="Encode and compare only; the next run goes on from there.")
    ] = False,
    drop_unreadable: Annotated[
        bool, typer.Option("--drop-unreadable", help="Leave out items that cannot be read, instead of stopping.")
    ] = False,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Put the index as it was before in its place again.")
    ] = False,
    discard: Annotated[
        bool, typer.Option("--discard", help="Give up an unfinished migration, or the way back from a finished one.")
    ] = False,
    wait: WaitOption = 0.0,
    as_json: JsonFlag = False,
    **columns: Any,
) -> None:
    """Encode all items of an index with a new model, while the old index answers.

    The new index grows beside INDEX; a run that was stopped goes on where it was.
    Both are compared by their answers to some items, and INDEX gets the new
    contents in one step. Ids and metadata stay. The old index stays beside it too.

    kinbits index migrate INDEX --model NEW

    kinbits index migrate INDEX --rollback
    """
    from kinbits.index import discard_migration, migrate, roll_back

    require_index(folder)
    if rollback + discard > 1 or (discard and model is not None) or not (rollback or discard or model):
        raise UsageError("give the new model, --model NEW; or --rollback; or --discard")
    if discard:
        gone = discard_migration(folder)
        if as_json:
            print_json({"index": folder, "discarded": gone})
        else:
            show(f"{folder}: {gone} is removed; the index stays as it is")
        return
    source = None if data is None else Source(data, **columns)
    how: dict[str, Any] = {"modality": modality, "drop_unreadable": drop_unreadable, "wait": wait, "progress": True}
    named = None if source is None else source.open("database")
    if rollback:
        report = roll_back(folder, named, model=model, **how)
    else:
        label = columns["label_column"]
        report = migrate(folder, model, named, label=label, swap=not no_swap, **how)
    if as_json:
        print_json(report.to_dict())
    else:
        _show(folder, report, rollback)


def _show(folder: Path, report: MigrationReport, rolled_back: bool) -> None:
    compared = report.comparison
    back = shell("kinbits", "index", "migrate", folder, "--rollback")
    again = f"the same command without --no-swap puts it in its place; until then it is {report.after}"
    facts(
        {
            "index": folder,
            "model": f"{report.model or 'not saved'}, {report.bits} bits",
            "items": f"{report.items:,}",
            "encoded": f"{report.encoded:,} in {report.seconds:.1f} s",
            "left out": skipped_text(report.left_out),
            **({} if compared is None else _compared(compared)),
            "in its place": ("yes, as before" if rolled_back else "yes") if report.swapped else "not yet",
            "undo": back if report.swapped and not rolled_back else None,
            "next": None if report.swapped else again,
        }
    )
    if compared is not None and compared.label is not None:
        note("precision and mAP are of items of the index, which a model may have been trained on")


def _compared(found: Comparison) -> dict[str, str | None]:
    by = f"by {found.label}, {found.queries:,} items as queries"
    pairs = {f"precision@{found.k}": found.precision, "map@all": found.map}
    return {
        f"same among first {found.k}": None if found.overlap is None else f"{found.overlap:.0%}",
        **{
            name: None if pair is None else f"{pair[0]:.3f} before, {pair[1]:.3f} after; {by}"
            for name, pair in pairs.items()
        },
    }
