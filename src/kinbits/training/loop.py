"""The training loop: one for all methods."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kinbits.errors import DataError, UsageError
from kinbits.methods import Batch, Method, Recipe
from kinbits.training.checkpoint import Checkpoints
from kinbits.training.defending import defending_of
from kinbits.training.history import History, epochs_text
from kinbits.training.progress import Progress
from kinbits.training.settings import TrainingSettings
from kinbits.training.torchrun import from_first
from kinbits.training.training_set import TrainingSet
from kinbits.training.validation import Validation
from kinbits.training.weights import copied, load_weights, weights_of

OPTIMIZERS: dict[str, Any] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": lambda groups, **options: torch.optim.SGD(groups, momentum=0.9, **options),
}
# Settings of where a run takes place, not of what comes out: they may change when it is resumed.
CIRCUMSTANCES = ("devices", "accelerator", "checkpoints", "resume", "progress")


class Stepper:
    """One optimizer as a method sees it (`kinbits.methods.Optimizer`)."""

    def __init__(self, fabric: Any, optimizer: torch.optim.Optimizer, clip: float | None) -> None:
        self.fabric, self.clip = fabric, clip
        self.optimizer = fabric.setup_optimizers(optimizer)

    def minimise(self, loss: Tensor) -> None:
        """Clear gradients, go backward, clip, step."""
        self.optimizer.zero_grad()
        self.fabric.backward(loss)
        if self.clip is not None:
            owned = [p for group in self.optimizer.param_groups for p in group["params"]]
            self.fabric.clip_gradients(nn.ParameterList(owned), self.optimizer, max_norm=self.clip)
        self.optimizer.step()


class TrainingLoop:
    """The state of one training run on one process.

    Args:
        fabric: A `lightning_fabric.Fabric`, launched.
        method: What is trained.
        train: The training rows.
        validation_set: Held-out rows that choose the best epoch, or None.
        settings: How to train.
    """

    def __init__(
        self,
        fabric: Any,
        method: Method,
        train: TrainingSet,
        validation_set: TrainingSet | None,
        settings: TrainingSettings,
    ) -> None:
        self.fabric, self.method, self.settings = fabric, method, settings
        self.train = train
        self.recipe: Recipe = settings.recipe(method.recipe, len(train))
        self.best: dict[str, Any] | None = None
        self.method.to(fabric.device)
        train.setup(fabric, method, self.recipe.epochs)
        if validation_set is not None:
            validation_set.setup(fabric)
        self.validation = None if validation_set is None else Validation(method, validation_set)
        self.history = History(validation=None if self.validation is None else self.validation.describe())
        self.optimizers = self._optimizers() if self.recipe.epochs else []
        self.defending = defending_of(settings, method, train, self.recipe.epochs)
        self.checkpoints = Checkpoints(settings.checkpoints)

    def run(self) -> History:
        """Train from the first epoch, or from the last checkpoint, to the end."""
        state = self._saved()
        if state is not None:
            self._restore(state)
        else:
            self._prepare()
            self._share_weights()
            self._save()
        with Progress(self.method.name, self.recipe.epochs, self._shows_progress()) as progress:
            for epoch in range(len(self.history.epochs), self.recipe.epochs):
                if self._out_of_patience():
                    self.history.stopped_early = True
                    break
                record = self._epoch(epoch, progress)
                self.history.epochs.append(record)
                self._keep_best(epoch, record)
                self._save()
            progress.summary = self._summary()
        if self.best is not None:
            load_weights(self.method, self.train, self.best)
        self._share_weights()
        return self.history

    def _saved(self) -> dict[str, Any] | None:
        """Return the state of the last checkpoint, which only the first process reads."""
        if not self.settings.resume:
            return None
        found = None
        if self.fabric.is_global_zero:
            found = self.checkpoints.load(self._identity(), self.fabric.device)
        shared: dict[str, Any] | None = self._shared(found)
        return shared

    def _shared(self, value: Any) -> Any:
        return value if self.fabric.world_size == 1 else from_first(value, self.fabric.device)

    def _share_weights(self) -> None:
        """Give all processes the first one's weights: equal up to rounding, which differs between machines."""
        if self.fabric.world_size > 1:
            load_weights(self.method, self.train, self._shared(weights_of(self.method, self.train)))

    def _prepare(self) -> None:
        self._reseed(-1)
        if self.train.frozen:
            for modality, head in self.method.towers().items():
                head.standardise(self.train.chunks(modality))
        self.method.prepare(self.train)

    def _identity(self) -> dict[str, Any]:
        """Describe what must be equal for a checkpoint to continue this run."""
        apart = (*CIRCUMSTANCES, *vars(self.recipe))
        return {
            **{name: value for name, value in vars(self.settings).items() if name not in apart},
            "defence_params": dict(self.settings.defence_params) or None,  # older checkpoints know of none
            "method": self.method.name,
            **{f"params.{name}": value for name, value in self.method.params.items()},
            **{f"recipe.{name}": value for name, value in vars(self.recipe).items()},
            "bits": self.method.spec.bits,
            "rows": len(self.train),
            "finetune": not self.train.frozen,
            "data": self.train.key,
        }

    def _save(self) -> None:
        if not self.fabric.is_global_zero:
            return
        self.checkpoints.save(
            {
                "identity": self._identity(),
                "weights": weights_of(self.method, self.train),
                "optimizers": [stepper.optimizer.state_dict() for stepper in self.optimizers],
                "epochs": self.history.epochs,
                "best_epoch": self.history.best_epoch,
                "best": self.best,
                "defending": None if self.defending is None else self.defending.state(),
            }
        )

    def _restore(self, state: Mapping[str, Any]) -> None:
        load_weights(self.method, self.train, state["weights"])
        for stepper, saved in zip(self.optimizers, state["optimizers"], strict=True):
            stepper.optimizer.load_state_dict(saved)
        self.history.epochs, self.history.best_epoch = state["epochs"], state["best_epoch"]
        self.best = state["best"]
        if self.defending is not None:
            self.defending.restore(state["defending"])

    def _epoch(self, epoch: int, progress: Progress) -> dict[str, float]:
        rows = self._rows(epoch)
        self._set_rates(epoch)
        self.method.train()
        if self.train.backbone is not None:
            self.train.backbone.train()
        self.method.start_epoch(epoch, self.train)
        if self.defending is not None:
            self.defending.start_epoch(epoch)
        meter: dict[str, Tensor] = {}
        steps = 0
        for batch in self._batches(epoch, rows):
            with self.fabric.autocast():
                terms = self._step(epoch, steps, batch)
            self.train.after_step()
            for name, term in terms.items():
                meter[name] = meter.get(name, 0) + term.detach().float()
            steps += 1
            progress.advance(steps * self.recipe.batch_size / max(rows.size, 1))
        self.train.share_statistics()
        self.method.end_epoch(epoch, self.train)
        record = {name: float(total) / max(steps, 1) for name, total in meter.items()}
        record["loss"] = sum(record.values())
        if not math.isfinite(record["loss"]):
            raise DataError(
                f"the loss is {record['loss']} in epoch {epoch + 1}; lower lr, or limit the gradients' norm by the "
                f"setting clip, e.g. 1.0"
            )
        if self.validation is not None and self.method.codes_ready:
            record["validation"] = self.validation.score()
        progress.epoch(record)
        self._share_weights()
        shared: dict[str, float] = self._shared(record)
        return shared

    def _step(self, epoch: int, step: int, batch: Batch) -> Mapping[str, Tensor]:
        if self.defending is None:
            return self.method.step(batch, self.optimizers)
        return self.defending.step(batch, self.optimizers, epoch, [self.settings.seed, epoch + 1, 4, step])

    def _batches(self, epoch: int, rows: np.ndarray) -> Iterable[Any]:
        return self.train.batches(rows, self.recipe.batch_size, [self.settings.seed, epoch + 1])

    def _rows(self, epoch: int) -> np.ndarray:
        """Return this epoch's rows or groups in their order; the same after a resume: the seed knows the epoch."""
        self._reseed(epoch)
        chosen = self.method.epoch_rows(epoch, self.train)
        if chosen is not None:  # by features, perhaps, whose rounding differs between machines
            chosen = self._shared(chosen.cpu())
        rows = np.arange(len(self.train)) if chosen is None else chosen.cpu().numpy()
        if rows.ndim > 2:
            raise UsageError(f"epoch_rows of method '{self.method.name}' gave shape {rows.shape}; give (m,) or (m, g)")
        rows = self.train.draw_rows(rows, [self.settings.seed, epoch + 1, 3])
        return np.random.default_rng([self.settings.seed, epoch + 1, 1]).permutation(rows)

    def _reseed(self, epoch: int) -> None:
        torch.manual_seed(int(np.random.SeedSequence([self.settings.seed, epoch + 1]).generate_state(1)[0]))
        self.train.reseed([self.settings.seed, epoch + 1, 2])

    def _optimizers(self) -> list[Stepper]:
        steppers, recipe = [], self.recipe
        for number, owned in enumerate(self.method.parameter_lists()):
            groups: list[dict[str, Any]] = [{"params": owned, "lr": recipe.lr, "base": recipe.lr}]
            if number == 0 and self.train.backbone is not None:
                trained = [p for p in self.train.backbone.parameters() if p.requires_grad]
                groups.append({"params": trained, "lr": recipe.backbone_lr, "base": recipe.backbone_lr})
                if recipe.backbone_weight_decay is not None:
                    groups[1]["weight_decay"] = recipe.backbone_weight_decay
            make = OPTIMIZERS[recipe.optimizer]
            optimizer = make(groups, lr=recipe.lr, weight_decay=recipe.weight_decay)
            steppers.append(Stepper(self.fabric, optimizer, self.recipe.clip))
        return steppers

    def _set_rates(self, epoch: int) -> None:
        factor = rate_factor(self.recipe, epoch)
        for stepper in self.optimizers:
            for group in stepper.optimizer.param_groups:
                group["lr"] = group["base"] * factor

    def _keep_best(self, epoch: int, record: Mapping[str, float]) -> None:
        best = self.history.best_epoch
        if "validation" not in record or (self.defending is not None and epoch < self.defending.first):
            self.history.best_epoch = epoch  # weights that are not defended yet are never kept
        elif self.best is None or record["validation"] > self.history.epochs[best]["validation"]:
            self.history.best_epoch = epoch
            self.best = copied(weights_of(self.method, self.train))

    def _out_of_patience(self) -> bool:
        waited = len(self.history.epochs) - 1 - self.history.best_epoch
        return self.settings.patience is not None and waited >= self.settings.patience

    def _summary(self) -> str:
        record = self.history.record()
        if record["validation"] is None:
            return f"{record['epochs']} epochs, loss {record['loss'] or 0:.4f}"
        return f"{epochs_text(record)}, validation {record['validation']['map@all']:.4f}"

    def _shows_progress(self) -> bool:
        return bool(self.settings.progress and self.fabric.is_global_zero)


def rate_factor(recipe: Recipe, epoch: int) -> float:
    """Return what the learning rates are multiplied with in an epoch."""
    if recipe.schedule == "step":
        return 0.1 if epoch >= 0.8 * recipe.epochs else 1.0
    if recipe.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * epoch / recipe.epochs))
    return 1.0
