"""How one run goes, apart from the method's own recipe."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from kinbits._util import Range, check_options
from kinbits.errors import UsageError

if TYPE_CHECKING:
    from kinbits.methods import Recipe

_POSITIVE = Range(0, without_least=True)


@dataclass(frozen=True)
class TrainingSettings:
    """One run's settings.

    Attributes:
        epochs: Epochs. Default: the method's.
        batch_size: Images per step. Default: the method's.
        lr: Learning rate. Default: the method's.
        backbone_lr: Learning rate of a trained backbone. Default: the method's.
        weight_decay: Weight decay. Default: the method's.
        backbone_weight_decay: Weight decay of a trained backbone. Default: the method's.
        optimizer: Optimizer. Default: the method's.
        schedule: Schedule of the rate. Default: the method's.
        clip: Maximum gradient norm. Default: the method's.
        seed: Seed of all random choices.
        validation: Share of images held out to choose the best epoch.
        patience: Epochs without a better score before training stops. Default: no limit.
        pretrain: Method to pretrain with, without labels: barlow-twins. Default: none.
        pretrain_epochs: Pretraining epochs. Default: its own.
        defence: Trains on attacks too: saat, cgat or atrdh. Default: none.
        defence_params: Parameters of the defence. Default: its own.
        augmentation: Changes to images: weak, crops, edits or none.
        view_augmentation: Changes that make views: two_view, crops or edits.
        precision: Arithmetic.
        devices: GPUs, or processes.
        accelerator: Device.
        checkpoints: Folder that keeps the last finished epoch. Default: none.
        resume: Continue from the last finished epoch in ``checkpoints``. Only devices and accelerator may differ.
        progress: Show progress on standard error.
    """

    epochs: Annotated[int | None, Range(0)] = None
    batch_size: Annotated[int | None, Range(2)] = None
    lr: Annotated[float | None, _POSITIVE] = None
    backbone_lr: Annotated[float | None, _POSITIVE] = None
    weight_decay: Annotated[float | None, Range(0)] = None
    backbone_weight_decay: Annotated[float | None, Range(0)] = None
    optimizer: Literal["adam", "adamw", "sgd"] | None = None
    schedule: Literal["constant", "step", "cosine"] | None = None
    clip: Annotated[float | None, _POSITIVE] = None
    seed: Annotated[int, Range(0, 2**32 - 1)] = 0
    validation: Annotated[float, Range(0, 0.5)] = 0
    patience: Annotated[int | None, Range(1)] = None
    pretrain: str | None = None
    pretrain_epochs: Annotated[int | None, Range(1)] = None
    defence: str | None = None
    defence_params: Mapping[str, Any] = field(default_factory=dict)
    augmentation: str = "weak"
    view_augmentation: str = "two_view"
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    devices: Annotated[int, Range(1)] = 1
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    checkpoints: Path | None = None
    resume: bool = False
    progress: bool = True

    def __post_init__(self) -> None:
        check_options(self)
        _check_names(self)
        if self.pretrain_epochs is not None and self.pretrain is None:
            raise UsageError("pretrain_epochs needs pretrain, the method to pre-train with, such as barlow-twins")
        if self.defence is None and self.defence_params:
            raise UsageError("defence_params are of a defence: give one, such as saat")
        if self.defence is not None and self.devices > 1:
            raise UsageError("a defence trains in one process; leave devices out")
        if self.patience is not None and not self.validation:
            raise UsageError("patience needs a validation part: set validation to a share such as 0.1")
        if self.resume and self.checkpoints is None:
            raise UsageError("resume needs the folder of checkpoints to go on from")

    def recipe(self, default: "Recipe", rows: int | None = None) -> "Recipe":
        """Return the method's recipe with what this run overrides, and the epochs for a training set of so many rows.

        Epochs that are given are taken as they are.
        """
        given = {f.name: value for f in fields(default) if (value := getattr(self, f.name, None)) is not None}
        if default.epochs == 0:
            given.pop("epochs", None)
        if "epochs" in given:
            given["min_steps"] = 0
        found = replace(default, **given)
        return found if rows is None else replace(found, epochs=found.epochs_for(rows))


def _check_names(settings: TrainingSettings) -> None:
    """Refuse unknown names and parameters; what knows them is loaded here, since the settings must load fast."""
    from kinbits.data import check_augmentation
    from kinbits.methods import describe_method, list_methods

    if settings.pretrain is not None and not describe_method(settings.pretrain).can_pretrain:
        others = ", ".join(name for name in list_methods() if describe_method(name).can_pretrain)
        raise UsageError(f"method '{settings.pretrain}' cannot pre-train for others; use one that can: {others}")
    if settings.defence is not None:
        from kinbits.defences import build_defence

        build_defence(settings.defence, **settings.defence_params)
    for name in (settings.augmentation, settings.view_augmentation):
        check_augmentation(name)
