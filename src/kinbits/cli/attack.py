"""kinbits attack: how well a model's codes hold when images change."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinbits._util import locked_output, parse_float
from kinbits.cli.app import group
from kinbits.cli.output import JsonFlag, console, facts, note, print_json
from kinbits.cli.plain_help import GroupOfOne
from kinbits.cli.source import IMAGE_COLUMNS, Source, writable_folder
from kinbits.cli.values import named_values, parameters_of
from kinbits.errors import UsageError

if TYPE_CHECKING:
    from kinbits.robustness import RobustnessReport

NONE = "none"
attack = group("attack", "Measure how well codes hold when images change.", GroupOfOne)


@attack.command()
@IMAGE_COLUMNS.add_after("seed")
def report(
    model: Annotated[Path, typer.Argument(help="Folder of a model.", show_default=False)],
    protocol: Annotated[
        str,
        typer.Argument(help="A name of `kinbits protocols`, or data, which a seed splits.", show_default=False),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="REPORT",
            help="Folder for report.html and report.json, and for finished rows.",
            show_default=False,
        ),
    ],
    attacks: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Attacks, or folders of trained ones, with commas between; or `none`. Default: noise,pgd.",
            show_default=False,
        ),
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(
            metavar="K=V", help="Parameter of all attacks that have it, or of one: dhta.steps=9 (repeatable)."
        ),
    ] = None,
    targeted: Annotated[
        bool, typer.Option("--targeted", help="Add attacks towards the label of other images: p2p and dhta.")
    ] = False,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="LABEL",
            help="One target label for all queries. Default: one is drawn for each.",
            show_default=False,
        ),
    ] = None,
    epsilon: Annotated[
        str, typer.Option(metavar="SHARE", help="Largest change of a pixel, as a share of its range.")
    ] = "8/255",
    queries: Annotated[int, typer.Option(min=1, help="Maximum number of queries, drawn by seed.")] = 200,
    edits: Annotated[bool, typer.Option("--edits/--no-edits", help="Measure everyday edits too.")] = True,
    transfer: Annotated[
        Path | None,
        typer.Option(metavar="MODEL", help="A second model, which is given the same images.", show_default=False),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a report.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split, and of everything random.")] = 0,
    as_json: JsonFlag = False,
    **columns: Any,
) -> None:
    """Measure how well a model's codes hold when images change.

    This is for measuring and hardening your own system. Queries are edited
    as people and programs do it every day (recompressed, cropped, captioned),
    and attacked by someone who has the model. The changed images are searched
    in the clean database, and the report shows mAP before and after. It says
    nothing about whom an image is from: codes are no proof of identity.
    `kinbits attack fit` trains an attack that learns, such as pros-gan, and
    `kinbits attack compare` shows two reports side by side.
    """
    from kinbits.data import EDITS
    from kinbits.model import HashModel
    from kinbits.robustness import ATTACKS, measure_robustness, with_targeted

    budget, names = _share(epsilon), ATTACKS if attacks is None else _names(attacks)
    params = _params(param or [], with_targeted(names, targeted or target is not None))
    writable_folder(output)
    loaded = HashModel.from_pretrained(model)
    second = None if transfer is None else HashModel.from_pretrained(transfer)
    splits = Source(protocol, **columns).splits(seed)
    try:
        found = measure_robustness(
            loaded,
            splits,
            edits=EDITS if edits else (),
            attacks=names,
            params=params,
            targeted=targeted,
            target=target,
            epsilon=budget,
            queries=queries,
            transfer_to=second,
            folder=output,
            resume=resume,
            force=force,
            seed=seed,
            tell=note,
            progress=True,
        )
    except KeyboardInterrupt:
        note("the same command with --resume goes on from the last finished row")
        raise
    _show(found, output, as_json)


@attack.command()
@IMAGE_COLUMNS.add_after("seed")
def fit(
    model: Annotated[Path, typer.Argument(help="Folder of the attacked model.", show_default=False)],
    protocol: Annotated[
        str,
        typer.Argument(help="A name of `kinbits protocols`, or data, which a seed splits.", show_default=False),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="ATTACK", help="Folder of the attack.", show_default=False)
    ],
    attack: Annotated[str, typer.Option(metavar="NAME", help="Attack that learns: pros-gan or tha.")] = "pros-gan",
    param: Annotated[
        list[str] | None,
        typer.Option(metavar="K=V", help="Parameters of the attack (repeatable). Default: its own."),
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="Maximum number of training images, drawn by seed.")] = 5000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split, and of everything random.")] = 0,
    **columns: Any,
) -> None:
    """Train an attack that learns, on the training part of the data.

    Give its folder to `kinbits attack MODEL DATA --attacks FOLDER`.
    """
    from kinbits.attacks import check_attack_folder, get_attack
    from kinbits.model import HashModel
    from kinbits.robustness import fit_attack

    params = parameters_of(get_attack(attack), named_values(param or []))
    with locked_output(output, "output folder"):
        check_attack_folder(output)
        splits = Source(protocol, **columns).splits(seed)
        made = fit_attack(
            HashModel.from_pretrained(model), splits, attack, params=params, images=images, seed=seed, progress=True
        )
        made.save(output)
    facts({"attack": attack, "trained on": f"{made.facts['images']:,} images", "written": str(output)})


@attack.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="REPORT_A", help="Folder of a report.", show_default=False)],
    second: Annotated[Path, typer.Argument(metavar="REPORT_B", help="Folder of another.", show_default=False)],
    as_json: JsonFlag = False,
) -> None:
    """Show the rows that two reports have side by side, and their differences.

    For example those of a model and of the same model with a defence. Where
    both have the same queries, differences are tested in pairs.
    """
    from kinbits.robustness import RobustnessReport

    found = RobustnessReport.open(first).compare(RobustnessReport.open(second))
    if as_json:
        print_json(found.to_dict())
    else:
        console().print(found.table())


def _names(text: str | None) -> list[str]:
    """Split the names of attacks."""
    found = [name.strip() for name in (text or NONE).split(",")]
    if "" in found or (NONE in found and len(found) > 1):
        raise UsageError(f"--attacks is '{text}'; give names with single commas between, or none")
    return [name for name in found if name != NONE]


def _params(texts: list[str], names: Sequence[Any]) -> dict[str, Any]:
    """Read parameters of the attacks of a report by the types that the attacks declare."""
    from kinbits.attacks import get_attack, list_attacks
    from kinbits.robustness import attacks_with

    known, found = [str(name) for name in names if str(name) in list_attacks()], dict[str, Any]()
    for key, text in named_values(texts).items():
        name = key.rpartition(".")[2]
        found[key] = parameters_of(get_attack(attacks_with(key, known)[0]), {name: text})[name]
    return found


def _share(text: str) -> float:
    """Read a budget, such as 8/255 or 0.03."""
    above, slash, below = text.partition("/")
    try:
        value = parse_float(above) / (parse_float(below) if slash else 1.0)
    except (ValueError, ZeroDivisionError):
        value = -1.0
    if not 0 <= value <= 1:
        raise UsageError(f"--epsilon is '{text}'; give a share of a pixel's range from 0 to 1, e.g. 8/255 or 0.03")
    return value


def _show(report: RobustnessReport, output: Path, as_json: bool) -> None:
    files = report.save(output)
    if as_json:
        print_json(report.to_dict())
        return
    console().print(report.table())
    facts({"written": "\n".join(map(str, files))})
