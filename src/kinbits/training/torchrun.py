"""Processes that torchrun started, on one machine or several, and that train one model together."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NoReturn

import torch
import torch.distributed as dist

from kinbits._util import started_by_torchrun
from kinbits.errors import DataError, PlatformError
from kinbits.training.distributed import world

PATIENCE = timedelta(days=1)  # one process may compute features for long while others wait


def join_processes() -> tuple[int, int]:
    """Join the processes that torchrun started, once; without torchrun, do nothing.

    Returns:
        The rank of this process, from 0, and the number of processes.

    Raises:
        PlatformError: If the other processes cannot be reached.
    """
    if started_by_torchrun() and not dist.is_initialized():
        with lost_process_explained():
            dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    return world()


@contextmanager
def lost_process_explained() -> Iterator[None]:
    """Raise a `PlatformError` where the connection to another process breaks."""
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if not isinstance(error, dist.DistError) and "gloo" not in text.lower():
            raise
        raise PlatformError(
            f"a process on {socket.gethostname()} lost the others: one of them has ended, and its own message says "
            f"why; start the run again, resuming from the last finished epoch"
        ) from None


def from_first(value: Any, device: torch.device) -> Any:
    """Return what the first process gives, in all processes.

    Args:
        value: Nested tensors and plain values; only that of the first process counts.
        device: Device of this process, where tensors go.
    """
    rank, size = world()
    if size == 1:
        return value
    packed = io.BytesIO()
    if rank == 0:
        torch.save(value, packed)
    sent = [packed.getvalue()]
    dist.broadcast_object_list(sent, src=0, device=device if device.type == "cuda" else None)
    return value if rank == 0 else torch.load(io.BytesIO(sent[0]), map_location=device, weights_only=True)


def check_same(values: Mapping[str, bytes]) -> None:
    """Refuse processes that were given different data or settings.

    Args:
        values: What must be equal in all processes, by its name in the error.

    Raises:
        DataError: If a process has something else than the first.
        PlatformError: If the connection to another process breaks.
    """
    if world()[1] == 1:
        return
    mine = torch.tensor([list(hashlib.sha256(value).digest()) for value in values.values()], dtype=torch.uint8)
    found = [torch.empty_like(mine) for _ in range(world()[1])]
    with lost_process_explained():
        dist.all_gather(found, mine)
    for rank, other in enumerate(found):
        names = [name for name, same in zip(values, (other == found[0]).all(1).tolist(), strict=True) if not same]
        if names:
            raise DataError(
                f"process {rank} has other {' and '.join(names)} than process 0; give all machines the same data and "
                f"the same command"
            )


def said_before(message: str) -> bool:
    """Return whether another process has asked this about the same message, so that all print it only once."""
    key = f"kinbits/{os.environ.get('TORCHELASTIC_RESTART_COUNT')}/{hashlib.sha256(message.encode()).hexdigest()}"
    try:
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        wait = timedelta(seconds=5)
        store = dist.TCPStore(address, port, is_master=False, timeout=wait)  # type: ignore[attr-defined]
        return bool(store.add(key, 1) > 1)
    except RuntimeError:  # nobody is there any more
        return False


def end_process(code: int) -> NoReturn:
    """End this process at once: an interpreter that ends while it holds connections may wait for ever."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
