"""Operating points in the metrics of a model, by the protocol that they were measured on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kinbits.errors import UsageError
from kinbits.metrics import parse_target

OPERATING_POINTS = "operating_points"
"""The key in the metrics of a protocol; its value maps a target to the fields of a `kinbits.metrics.OperatingPoint`."""

Metrics = Mapping[str, Mapping[str, Any]]


def with_measured(known: Metrics, protocol: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics of a model with newer ones of a protocol; others of the same protocol stay."""
    before = known.get(protocol, {})
    points = {**before.get(OPERATING_POINTS, {}), **values.get(OPERATING_POINTS, {})}
    return {**known, protocol: {**before, **values, **({OPERATING_POINTS: points} if points else {})}}


def stored_points(metrics: Metrics) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield protocol, target and fields of every operating point."""
    for protocol, values in metrics.items():
        points = values.get(OPERATING_POINTS)
        for target, point in points.items() if isinstance(points, Mapping) else ():
            if isinstance(point, Mapping):
                yield protocol, target, point


def stored_radius(metrics: Metrics, target: str, protocol: str | None) -> int:
    """Return the radius of an operating point.

    Args:
        metrics: Of a model.
        target: E.g. ``"precision=0.95"``.
        protocol: The one it was measured on; None where there is only one.

    Raises:
        UsageError: If there is none, no radius reaches the target, or those of several protocols differ.
    """
    name = str(parse_target(target))
    known = [(p, t, point) for p, t, point in stored_points(metrics) if protocol in (None, p)]
    radii = {p: point.get("radius") for p, t, point in known if t == name}
    if not radii:
        others = ", ".join(f"{t} on {p}" for p, t, _ in known) or "none"
        raise UsageError(
            f"this model has no operating point {name}{f' on {protocol}' if protocol else ''}; it has: {others}. "
            f"Evaluate it at {name} first, and record the report"
        )
    if len(set(radii.values())) > 1:
        radii_by_protocol = ", ".join(f"{radius} on {p}" for p, radius in radii.items())
        raise UsageError(f"the radius for {name} depends on the protocol: {radii_by_protocol}; name the protocol")
    (radius,) = set(radii.values())
    if not isinstance(radius, int):
        raise UsageError(f"no radius reaches {name} on {', '.join(radii)}; choose a lower target, or a better model")
    return radius
