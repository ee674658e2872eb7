"""How one run goes, apart from the method's own recipe."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from kinbits._util import check_types
from kinbits.data import check_augmentation
from kinbits.errors import UsageError
from kinbits.methods import Recipe, get_method, list_methods

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


@dataclass(frozen=True)
class Training:
    """One run's settings.

    Attributes:
        epochs: As the seven below: overrides the method's recipe, see `Recipe`; None keeps it.
        batch_size: Rows per step over all devices.
        lr: Learning rate of the method.
        backbone_lr: Learning rate of a fine-tuned backbone.
        weight_decay: As the optimizer defines it.
        optimizer: ``"adam"``, ``"adamw"`` or ``"sgd"``.
        schedule: ``"constant"``, ``"step"`` or ``"cosine"``.
        clip: Largest gradient norm.
        seed: Seed of everything random.
        validation: Share of the training rows that is held out to choose the best epoch, 0 to 0.5.
        patience: Stop after this many epochs without a better validation score; None never stops early.
        precision: Arithmetic of the forward pass.
        devices: Number of processes or GPUs.
        accelerator: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        pretrain: Method that trains the backbone, or the head before a frozen one, without labels beforehand.
        pretrain_epochs: Length of that stage; None takes the recipe of its method.
        augmentation: Random changes to the images when the backbone is fine-tuned: ``"weak"`` moves and mirrors
            them, ``"crops"`` does not mirror.
        view_augmentation: Random changes that make the views of methods that learn from two: ``"two_view"`` also
            mirrors and recolours, ``"crops"`` does not, for images where that would change what they mean.
        checkpoints: Folder that keeps the last finished epoch, or None.
        resume: Go on from the last finished epoch in ``checkpoints``, with the same settings; only devices and
            accelerator may have changed.
        progress: Show progress on standard error.
    """

    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    backbone_lr: float | None = None
    weight_decay: float | None = None
    optimizer: Literal["adam", "adamw", "sgd"] | None = None
    schedule: Literal["constant", "step", "cosine"] | None = None
    clip: float | None = None
    seed: int = 0
    validation: float = 0.0
    patience: int | None = None
    precision: Precision = "32-true"
    devices: int = 1
    accelerator: str = "auto"
    pretrain: str | None = None
    pretrain_epochs: int | None = None
    augmentation: str = "weak"
    view_augmentation: str = "two_view"
    checkpoints: Path | None = None
    resume: bool = False
    progress: bool = True

    def __post_init__(self) -> None:
        check_types(self)
        positive = ("epochs", "batch_size", "lr", "backbone_lr", "clip", "patience", "devices", "pretrain_epochs")
        for name in positive:
            value = getattr(self, name)
            if value is not None and not (value > 0 or (name == "epochs" and value == 0)):
                raise UsageError(f"{name} is {value}; it must be positive")
        if self.batch_size == 1:
            raise UsageError("batch_size is 1; losses compare images, so give 2 or more, 64 to 128 are usual")
        if self.pretrain is not None and not get_method(self.pretrain).can_pretrain:
            others = ", ".join(name for name in list_methods() if get_method(name).can_pretrain)
            raise UsageError(f"method '{self.pretrain}' cannot pre-train for others; use one that can: {others}")
        if self.pretrain_epochs is not None and self.pretrain is None:
            raise UsageError("pretrain_epochs needs pretrain, the method to pre-train with, such as barlow-twins")
        for name in (self.augmentation, self.view_augmentation):
            check_augmentation(name)
        if not 0 <= self.validation <= 0.5:
            raise UsageError(f"validation is {self.validation}; it is a share of the training rows from 0 to 0.5")
        if self.patience is not None and not self.validation:
            raise UsageError("patience needs a validation part: set validation to a share such as 0.1")
        if self.resume and self.checkpoints is None:
            raise UsageError("resume needs the folder of checkpoints to go on from")

    def recipe(self, default: Recipe) -> Recipe:
        """Return the method's recipe with what this run overrides."""
        given: dict[str, Any] = {f.name: value for f in fields(Recipe) if (value := getattr(self, f.name)) is not None}
        if default.epochs == 0:
            given.pop("epochs", None)
        return replace(default, **given)
