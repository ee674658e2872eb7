"""Slowly moving copies of networks: what the past of the weights says about features and codes."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

N = TypeVar("N", bound=nn.Module)


def unchanged_copy(network: N) -> N:
    """Return a copy that no gradient reaches, in evaluation mode: a row's features do not depend on its batch."""
    return copy.deepcopy(network).requires_grad_(False).eval()


def slow_copy(network: N) -> N:
    """Return a copy that no gradient reaches, to be moved by `follow`.

    It normalises by the statistics of the batch, as the network in training does, so that both differ by their
    weights alone; what draws at random (dropout, stochastic depth) is switched off.
    """
    twin = unchanged_copy(network)
    for module in twin.modules():
        if isinstance(module, _BatchNorm):
            module.train()
    return twin


@torch.no_grad()
def follow(twin: nn.Module, network: nn.Module, momentum: float) -> None:
    """Move the copy's parameters: w' <- momentum w' + (1 - momentum) w; buffers are taken over as they are."""
    for old, new in zip(twin.parameters(), network.parameters(), strict=True):
        old.lerp_(new, 1 - momentum)
    for kept, current in zip(twin.buffers(), network.buffers(), strict=True):
        kept.copy_(current)
