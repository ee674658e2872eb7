"""Copies of networks whose weights are an exponential moving average (EMA) of the network's weights."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

N = TypeVar("N", bound=nn.Module)


def frozen_copy(network: N) -> N:
    """Return a copy without gradients, in evaluation mode: the features of a row do not depend on its batch."""
    return copy.deepcopy(network).requires_grad_(False).eval()


def ema_copy(network: N) -> N:
    """Return a copy without gradients, for `update_ema`.

    The copy normalises by the statistics of the batch, as the network in training does, so that both differ by their
    weights alone. Dropout and stochastic depth are off.
    """
    twin = frozen_copy(network)
    for module in twin.modules():
        if isinstance(module, _BatchNorm):
            module.train()
    return twin


@torch.no_grad()
def update_ema(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Update the copy's parameters: w' <- decay w' + (1 - decay) w. Buffers are copied.

    Args:
        average: The copy, with weights w'.
        network: The network, with weights w.
        decay: From 0 to 1.
    """
    for old, new in zip(average.parameters(), network.parameters(), strict=True):
        old.lerp_(new, 1 - decay)
    for kept, current in zip(average.buffers(), network.buffers(), strict=True):
        kept.copy_(current)
