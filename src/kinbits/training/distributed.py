"""Several processes, one global batch: shares go through the backbone, every process sees all features.

Each process computes the same loss on the gathered batch, so losses over pairs, batch statistics of the head,
dataset-long state and several optimizers need no change in any method. The backward pass of the gather adds
the processes' equal gradients, and the data-parallel wrapper of the backbone averages: together exactly the
gradient of one process with the global batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn


def world() -> tuple[int, int]:
    """Return this process's rank and the number of processes."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def my_share(rows: np.ndarray) -> tuple[np.ndarray, int]:
    """Return this process's contiguous part of the global batch, and its rank."""
    rank, size = world()
    return np.array_split(rows, size)[rank], rank


def gather_rows(part: Tensor, total: int) -> Tensor:
    """Join the processes' parts ``(b_r, d)`` in order to ``(total, d)``; gradients flow to every part."""
    _, size = world()
    if size == 1:
        return part
    lengths = [len(share) for share in np.array_split(np.arange(total), size)]
    padded = torch.cat([part, part.new_zeros(max(lengths) - len(part), *part.shape[1:])])
    parts = _Gather.apply(padded)  # type: ignore[no-untyped-call]
    return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])


def share_buffers(network: nn.Module) -> None:
    """Give every process the first one's buffers, such as running means, which each took of its own share."""
    if world()[1] > 1:
        for buffer in network.buffers():
            dist.broadcast(buffer, 0)


class _Gather(torch.autograd.Function):
    """All processes' tensors of one shape, stacked; backward adds the processes' gradients of the own part."""

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        """Return float ``(processes, ...)``."""
        parts = [torch.empty_like(part) for _ in range(world()[1])]
        dist.all_gather(parts, part.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Return the gradient of the own part."""
        total = gradients[0].contiguous()
        dist.all_reduce(total)
        return total[world()[0]]
