"""The keyword arguments of `fit` for type checkers, written by experiments/fill_options.py."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from kinbits.data import FeatureCache


class FitOptions(TypedDict, total=False):
    """Options of `fit` by name; `FitSettings` says what each does."""

    method: str | None
    bits: int | None
    params: Mapping[str, Any]
    backbone: str | None
    text_backbone: str | None
    image_size: int | None
    dims: int | None
    normalise: bool | None
    finetune: bool | None
    views: int
    cache: "FeatureCache | None"
    labels_fraction: float | None
    label_expansion: str | None
    expansion_params: Mapping[str, Any]
    pairs: Any
    min_shared: int | None
    min_overlap: float | None
    epochs: int | None
    batch_size: int | None
    lr: float | None
    backbone_lr: float | None
    weight_decay: float | None
    backbone_weight_decay: float | None
    optimizer: Literal["adam", "adamw", "sgd"] | None
    schedule: Literal["constant", "step", "cosine"] | None
    clip: float | None
    seed: int
    validation: float
    patience: int | None
    pretrain: str | None
    pretrain_epochs: int | None
    defence: str | None
    defence_params: Mapping[str, Any]
    augmentation: str
    view_augmentation: str
    precision: Literal["32-true", "bf16-mixed", "16-mixed"]
    devices: int
    accelerator: Literal["auto", "cpu", "cuda"]
    checkpoints: Path | None
    resume: bool
    progress: bool
