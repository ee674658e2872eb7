"""Connection to a Ray cluster, and how many workers it has room for."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kinbits._util import one_line, require
from kinbits.errors import PlatformError, UsageError

_ANSWERS_WITHIN = 10.0  # seconds
_STARTS = 4  # of a private cluster, since Ray gives it 30 seconds, which a busy machine may exceed
_KINDS = "'local', 'auto', or the address of the head, such as '10.0.0.1:6379'"


@dataclass(frozen=True)
class Room:
    """Workers that a cluster has room for.

    Attributes:
        workers: Their number.
        cpus: CPUs of each.
        gpus: GPUs of each.
    """

    workers: int
    cpus: float
    gpus: float


@contextmanager
def connected(cluster: str) -> Iterator[Any]:
    """Connect to a cluster, and yield the module ``ray``; a connection that is there already is used, and stays.

    Args:
        cluster: ``"local"`` starts a private cluster on this machine, and ends it with the block. ``"auto"`` is the one
            that this machine belongs to. Otherwise the address of the head.

    Raises:
        PlatformError: If Ray is not installed, or the cluster cannot be reached or refuses the token.
        UsageError: If the address is none.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would send reports
    ray = require("ray")
    if ray.is_initialized():
        yield ray
        return
    _check_address(cluster)
    try:
        _connect(ray, cluster)
    except Exception as error:  # Ray raises many kinds, also plain ones
        ray.shutdown()
        raise _not_connected(ray, cluster, error) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _connect(ray: Any, cluster: str) -> None:
    options: dict[str, Any] = {"address": cluster, "logging_level": "ERROR", "log_to_driver": False}
    if cluster != "local":
        ray.init(**options)
        return
    os.environ.setdefault("RAY_worker_niceness", "0")  # the priority of the command, not Ray's lower one
    for left in reversed(range(_STARTS)):
        try:
            ray.init(include_dashboard=False, **options)
            return
        except Exception as error:  # Ray raises a plain one
            ray.shutdown()
            if not left or "timed out during startup" not in str(error):
                raise


def _not_connected(ray: Any, cluster: str, error: Exception) -> PlatformError:
    """Build the error for a cluster that is not there, or refuses."""
    causes = f"{error} {error.__cause__}"  # Ray hides the refusal of a wrong token in the cause
    if isinstance(error, ray.exceptions.AuthenticationError) or "AuthenticationError" in causes:
        return PlatformError(
            f"the cluster at {cluster!r} refuses the token of this process, or its lack; set RAY_AUTH_MODE=token, and "
            "RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the token of the cluster"
        )
    if isinstance(error, ConnectionError):
        return PlatformError(f"no cluster was found at {cluster!r} ({one_line(error)}); give {_KINDS}")
    return PlatformError(f"the cluster at {cluster!r} cannot be used: {one_line(error)}; check that it is healthy")


def _check_address(cluster: str) -> None:
    """Refuse an address at which nothing answers, since Ray would try for minutes."""
    if cluster in ("local", "auto"):
        return
    host, colon, port = cluster.rpartition(":")
    if "://" in cluster or not colon or not port.isdigit():
        raise UsageError(f"{cluster!r} is no address of a cluster; give {_KINDS}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWERS_WITHIN).close()
    except (OSError, OverflowError) as error:
        raise PlatformError(
            f"nothing answers at {cluster} ({one_line(error)}); start the head of the cluster, or check the address"
        ) from None


def find_room(nodes: Sequence[dict[str, Any]], workers: int | None, cpus: float | None, gpus: float) -> Room:
    """Return how many workers are started, before any is.

    A worker that asks for more than a node has would wait for ever, and so would the run.

    Args:
        nodes: What ``ray.nodes()`` returns.
        workers: Number that was asked for; None takes all that fit.
        cpus: CPUs of each; None takes all CPUs of the smallest node for the workers of it.
        gpus: GPUs of each.

    Raises:
        UsageError: If no node has room for one, or the cluster has no room for so many, or if ``gpus`` is above 1 and
            no whole number.
    """
    if gpus > 1 and gpus != int(gpus):
        raise UsageError(f"{gpus:g} GPUs for each worker; above 1, Ray gives whole GPUs only: give a whole number")
    found = [one["Resources"] for one in nodes if one["Alive"]]
    usable = [one for one in found if one.get("CPU", 0) > 0 and (not gpus or one.get("GPU", 0) >= gpus)]
    if cpus is None:
        cpus = min((one["CPU"] / (one["GPU"] // gpus if gpus else 1) for one in usable), default=1.0)
    fitting = sum(_fitting(one, cpus, gpus) for one in usable)
    what = f"{cpus:g} CPUs and {gpus:g} GPUs" if gpus else f"{cpus:g} CPUs"
    if not fitting:
        known = "; ".join(f"{one.get('CPU', 0):g} CPUs, {one.get('GPU', 0):g} GPUs" for one in found[:8]) or "none"
        raise UsageError(f"a worker of {what} fits on no node of the cluster (nodes: {known}); ask for less")
    if workers is not None and workers > fitting:
        raise UsageError(f"{workers} workers of {what} do not fit: the cluster has room for {fitting}; ask for fewer")
    return Room(fitting if workers is None else workers, cpus, gpus)


def _fitting(node: dict[str, Any], cpus: float, gpus: float) -> int:
    by_cpu = int(node["CPU"] / cpus + 1e-9)
    return min(by_cpu, int(node.get("GPU", 0) / gpus + 1e-9)) if gpus else by_cpu
