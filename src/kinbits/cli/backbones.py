"""kinbits backbones: the networks that turn images and texts into features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kinbits.cli.app import app
from kinbits.cli.output import JsonFlag, console, print_json, table

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
def backbones(as_json: JsonFlag = False) -> None:
    """List the backbones: networks that turn images and texts into features."""
    from kinbits.backbones import describe_backbone, list_backbones

    found = [_facts(describe_backbone(name)) for name in list_backbones()]
    if as_json:
        print_json(found)
        return
    columns = ("name", "reads", "size", "features", "pretrained", "licence")
    own = [one for one in found if not one["name"].endswith(":")]
    console().print(table(columns, ([_cell(one[column]) for column in columns] for one in own)))
    for one in found:
        if one["name"].endswith(":"):
            print(_FAMILIES.get(one["name"], f"{one['name']}NAME reads {one['reads']} data"))


def _facts(backbone: BackboneInfo) -> dict[str, Any]:
    offer = backbone.offer
    return {
        "name": backbone.name,
        "reads": backbone.reads,
        "size": offer.size,
        "features": offer.feature_dim,
        "pretrained": offer.pretrained,
        "licence": offer.licence,
    }


def _cell(value: Any) -> str:
    return "-" if value is None else {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
