"""What a training run recorded, as numbers and in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class History:
    """What a run recorded.

    Attributes:
        epochs: One dict per epoch: mean of each loss term, ``loss`` their sum, ``validation`` where there is one.
        best_epoch: Place in ``epochs`` of the epoch whose weights were kept; -1 without epochs.
        stopped_early: Whether patience ran out.
        validation: How epochs were scored: number of held-out ``rows``, and ``relevance``, which is ``labels`` or
            ``neighbours``. None if nothing was held out.
    """

    epochs: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = -1
    stopped_early: bool = False
    validation: dict[str, Any] | None = None

    def record(self) -> dict[str, Any]:
        """Return what the training record of a model says; people count epochs from 1."""
        best = self.epochs[self.best_epoch] if self.epochs else {}
        score = {"map@all": best["validation"]} if "validation" in best else None
        return {
            "epochs": len(self.epochs),
            "best_epoch": self.best_epoch + 1 if self.epochs else None,
            "stopped_early": self.stopped_early,
            "loss": best.get("loss"),
            "validation": None if score is None or self.validation is None else {**score, **self.validation},
            "history": self.epochs,
        }


def epochs_text(record: Mapping[str, Any]) -> str | None:
    """Return in words how many epochs a model was trained, and which one was kept if they were scored; None without.

    Args:
        record: What `History.record` returned, such as `HashModel.training`.

    Example:
        >>> epochs_text({"epochs": 8, "best_epoch": 5, "loss": 0.09, "validation": {"map@all": 0.99}})
        'best epoch 5 of 8, loss 0.0900'
    """
    made = record.get("epochs")
    if not made:
        return None
    kept = f"best epoch {record['best_epoch']} of {made}" if record.get("validation") else str(made)
    early = ", stopped early" if record.get("stopped_early") else ""
    loss = f", loss {record['loss']:.4f}" if "loss" in record else ""
    return f"{kept}{early}{loss}"


def validation_text(record: Mapping[str, Any], unit: str = "images") -> str | None:
    """Return the score of the epoch that was kept, and what it means; None if nothing was scored.

    Args:
        record: What `History.record` returned, such as `HashModel.training`.
        unit: What was held out.

    Example:
        >>> validation_text({"validation": {"map@all": 0.99, "rows": 72, "relevance": "labels"}})
        '0.9900 (mAP of 72 held-out images among themselves, by labels)'
    """
    found = record.get("validation")
    if found is None:
        return None
    by = "labels" if found["relevance"] == "labels" else "their ten nearest"
    return f"{found['map@all']:.4f} (mAP of {found['rows']:,} held-out {unit} among themselves, by {by})"


def defence_text(record: Mapping[str, Any]) -> str | None:
    """Return the defence of a model in words; None without one.

    Args:
        record: The training record, such as `HashModel.training`.

    Example:
        >>> defence_text({"defence": {"name": "saat", "params": {"steps": 7, "epsilon": 0.03137}}})
        '`saat` (steps=7, epsilon=0.0314)'
    """
    found = record.get("defence")
    if found is None:
        return None
    params = ", ".join(f"{k}={f'{v:.3g}' if isinstance(v, float) else v}" for k, v in found["params"].items())
    return f"`{found['name']}` ({params})"
