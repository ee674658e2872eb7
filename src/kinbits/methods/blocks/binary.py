"""Signs in the forward pass, gradients as if they were not there: what methods that train on binary codes share."""

from __future__ import annotations

import torch
from torch import Tensor


def signs(values: Tensor) -> Tensor:
    """Return -1 and +1, float of the values' shape; the sign of 0 is +1, as in a head's codes."""
    return torch.where(values >= 0, 1.0, -1.0)


def straight_through(values: Tensor, codes: Tensor) -> Tensor:
    """Return the codes, whose gradient is passed to the values as it is."""
    return values + (codes - values).detach()


def quantization_error(values: Tensor, power: float) -> Tensor:
    """Return mean | |v| - 1 |^power, how far values are from their signs; at the signs 0."""
    return (values.abs() - 1).abs().pow(power).mean()
