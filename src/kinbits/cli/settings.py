"""All that `kinbits fit` can be told, by flags or by an experiment file; the flags win."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_type_hints

from kinbits.cli.values import parse, read_yaml
from kinbits.errors import UsageError, unknown_name

# not an option of kinbits.fit, but of the command
_MAPPINGS = ("param", "expansion_param")
_COLUMNS = ("image_column", "label_column", "text_column", "id_column", "no_labels")
_OF_THE_COMMAND = ("data", "output", *_COLUMNS, "pairs", "min_shared", "min_overlap", *_MAPPINGS)


@dataclass
class Settings:
    """One field per option; None leaves the default to `kinbits.fit`."""

    data: str | None = None
    output: Path | None = None
    method: str | None = None
    bits: int | None = None
    backbone: str | None = None
    image_size: int | None = None
    text_backbone: str | None = None
    finetune: bool | None = None
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    backbone_lr: float | None = None
    weight_decay: float | None = None
    optimizer: Literal["adam", "adamw", "sgd"] | None = None
    schedule: Literal["constant", "step", "cosine"] | None = None
    clip: float | None = None
    seed: int | None = None
    validation: float | None = None
    patience: int | None = None
    pretrain: str | None = None
    pretrain_epochs: int | None = None
    augmentation: str | None = None
    view_augmentation: str | None = None
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] | None = None
    devices: int | None = None
    image_column: str | None = None
    label_column: str | None = None
    text_column: str | None = None
    id_column: str | None = None
    no_labels: bool | None = None
    pairs: list[str] | None = None
    min_shared: int | None = None
    min_overlap: float | None = None
    param: Mapping[str, str] | None = None
    labels_fraction: float | None = None
    label_expansion: str | None = None
    expansion_param: Mapping[str, str] | None = None

    def over(self, base: Settings) -> Settings:
        """Return the base with what is set here in its place."""
        merged = {f.name: _first(getattr(self, f.name), getattr(base, f.name)) for f in fields(self)}
        for name in _MAPPINGS:
            merged[name] = {**(getattr(base, name) or {}), **(getattr(self, name) or {})}
        return Settings(**merged)

    def options(self) -> dict[str, Any]:
        """Return what goes to `kinbits.fit`, without parameters of the method."""
        names = (f.name for f in fields(self) if f.name not in _OF_THE_COMMAND)
        return {name: value for name in names if (value := getattr(self, name)) is not None}


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def from_file(path: Path) -> Settings:
    """Read an experiment file: the options' names without dashes in front; mappings of parameters.

    Raises:
        UsageError: A key is unknown, or a value of the wrong type.
    """
    hints = get_type_hints(Settings)
    given: dict[str, Any] = {}
    for key, value in read_yaml(path).items():
        name = key.replace("-", "_")
        if name not in hints:
            raise unknown_name(f"key in {path}", key, [known.replace("_", "-") for known in hints])
        if name == "pairs":
            given[name] = [str(one) for one in value] if isinstance(value, list) else [str(value)]
        else:
            given[name] = _mapping(path, key, value) if name in _MAPPINGS else _value(path, key, value, hints[name])
    return Settings(**given)


def _value(path: Path, key: str, value: Any, hint: Any) -> Any:
    if isinstance(value, (dict, list)):
        raise UsageError(f"{path}: {key} is a {type(value).__name__}; give one value")
    return parse(str(value), hint, f"{path}: {key}")


def _mapping(path: Path, key: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise UsageError(f"{path}: {key} is '{value}'; write `{key}:` and below it one indented `name: value` a line")
    return {str(name): str(setting) for name, setting in value.items()}
