"""All trained state of a run as nested tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from kinbits.methods import Method
from kinbits.training.training_set import TrainingSet


def weights_of(method: Method, train: TrainingSet) -> dict[str, Any]:
    """Return the state of method, trained backbone and its slow copy, by reference."""
    return {
        "method": method.state_dict(),
        "backbone": train.backbone.state_dict() if train.backbone else None,
        "ema_backbone": train.ema_backbone.state_dict() if train.ema_backbone else None,
    }


def load_weights(method: Method, train: TrainingSet, weights: Mapping[str, Any]) -> None:
    """Put state back that `weights_of` returned."""
    method.load_state_dict(weights["method"])
    if train.backbone is not None and weights["backbone"] is not None:
        train.backbone.load_state_dict(weights["backbone"])
    if train.ema_backbone is not None:
        train.ema_backbone.load_state_dict(weights["ema_backbone"])


def copied(state: Any) -> Any:
    """Copy nested state, so that further training leaves it as it is."""
    if isinstance(state, Tensor):
        return state.detach().cpu().clone()
    if isinstance(state, Mapping):
        return {key: copied(value) for key, value in state.items()}
    return state
