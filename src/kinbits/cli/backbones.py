"""kinbits backbones: the networks that turn images and texts into features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinbits.cli.app import app
from kinbits.cli.output import JsonFlag, console, facts, print_json, table

if TYPE_CHECKING:
    from kinbits.backbones import BackboneInfo

_FAMILIES = {
    "map:": "map:NAME is the last feature map of the image backbone NAME, for methods that read feature maps",
    "hf:": "hf:NAME takes an image model of the Hugging Face hub or a local folder",
    "timm:": "timm:NAME takes a model of timm (pip install 'kinbits[timm]')",
    "hf-text:": "hf-text:NAME takes a text model of the hub or a local folder",
    "hf-joint-text:": "hf-joint-text:NAME takes the text half of a CLIP or SigLIP model",
}


@app.command()
def backbones(
    name: Annotated[str | None, typer.Argument(help="One backbone in full, with its licence.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the backbones, the networks that turn images and texts into features, or show one with its licence."""
    from kinbits.backbones import describe_backbone, list_backbones

    if name is not None:
        _show_one(_facts(describe_backbone(name)), as_json)
        return
    found = [_facts(describe_backbone(name)) for name in list_backbones()]
    if as_json:
        print_json(found)
        return
    columns = ("name", "reads", "size", "features", "pretrained", "licence")
    own = [one for one in found if not one["name"].endswith(":")]
    console().print(table(columns, ([_cell(one[column]) for column in columns] for one in own)))
    for one in found:
        if one["name"].endswith(":"):
            print(_family(one))
    print("`kinbits backbones NAME` shows one in full, with the licence of its weights.")


def _show_one(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    family = ":" in found["name"]
    shown = {key: None if value is None else _cell(value) for key, value in found.items()}
    facts({**shown, "licence": shown["licence"] or "that of the model that you name" * family})
    if family:
        print(_family(found))
    if found["sha256"] is not None:
        print("The weights are compared with this checksum whenever they are loaded.")


def _family(found: dict[str, Any]) -> str:
    prefix = found["name"].partition(":")[0] + ":"
    return _FAMILIES.get(prefix, f"{prefix}NAME reads {found['reads']} data")


def _facts(backbone: BackboneInfo) -> dict[str, Any]:
    offer = backbone.offer
    return {
        "name": backbone.name,
        "reads": backbone.reads,
        "size": offer.size,
        "features": offer.feature_dim,
        "pretrained": offer.pretrained,
        "licence": offer.licence,
        "package": offer.package,
        "sha256": offer.sha256,
    }


def _cell(value: Any) -> str:
    return "-" if value is None else {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
