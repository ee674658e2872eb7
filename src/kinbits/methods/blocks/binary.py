"""Binary codes in the forward pass, with a straight-through gradient."""

from __future__ import annotations

import torch
from torch import Tensor


def signs(values: Tensor) -> Tensor:
    """Return -1 and +1, float of the values' shape; the sign of 0 is +1, as in a head's codes."""
    return torch.where(values >= 0, 1.0, -1.0)


def straight_through(values: Tensor, codes: Tensor) -> Tensor:
    """Return the codes, float of the shape of values; their gradient is passed to the values unchanged."""
    return values + (codes - values).detach()


def quantization_error(values: Tensor, power: float) -> Tensor:
    """Return mean | |v| - 1 |^power, the distance of values from their signs; 0 for codes."""
    return (values.abs() - 1).abs().pow(power).mean()
