"""kinbits backbones: what turns images and texts into features."""

from __future__ import annotations

from typing import Any

from kinbits.cli.app import app
from kinbits.cli.output import JsonFlag, console, print_json, table

_FAMILIES = {
    "map:": "map:NAME is the last feature map of the image backbone NAME, for methods that look at places",
    "hf:": "hf:NAME takes an image model of the Hugging Face hub or a local folder",
    "timm:": "timm:NAME takes a model of timm (an optional package)",
    "hf-text:": "hf-text:NAME takes a text model of the hub or a local folder",
}


@app.command()
def backbones(as_json: JsonFlag = False) -> None:
    """List what turns images and texts into features."""
    from kinbits.backbones import list_backbones

    found = [_facts(name) for name in list_backbones()]
    if as_json:
        print_json(found)
        return
    columns = ("name", "reads", "size", "features", "pretrained", "licence")
    own = [one for one in found if not one["name"].endswith(":")]
    console().print(table(columns, ([_cell(one[column]) for column in columns] for one in own)))
    for one in found:
        if one["name"].endswith(":"):
            print(_FAMILIES.get(one["name"], f"{one['name']}NAME reads {one['reads']} data"))


def _facts(name: str) -> dict[str, Any]:
    """Describe a backbone; what only its weights know is None where a name or width must be given first."""
    from kinbits.backbones import backbone_class, load_backbone
    from kinbits.errors import KinbitsError

    told: dict[str, Any] = {"name": name, "reads": backbone_class(name).modality}
    told |= dict.fromkeys(("size", "features", "pretrained", "licence"))
    if name.endswith(":"):
        return told
    if told["reads"] == "vector":
        return told | {"licence": "the data's own"}
    try:
        loaded = load_backbone(name)
    except KinbitsError as error:
        return told | {"licence": str(error)}
    size = loaded.preprocessing.size if loaded.preprocessing is not None else None
    return told | {
        "size": size,
        "features": loaded.feature_dim,
        "pretrained": loaded.pretrained,
        "licence": loaded.licence,
    }


def _cell(value: Any) -> Any:
    return (
        {None: "-", True: "yes", False: "no"}.get(value, value)
        if not isinstance(value, int) or isinstance(value, bool)
        else str(value)
    )
