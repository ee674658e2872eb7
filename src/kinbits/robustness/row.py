"""A row of a robustness report: one kind of change, and what it does to the search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from kinbits.evaluation import Example, Neighbour

TEXTS = ("group", "name")  # fields that are no numbers
Group = Literal["clean", "edit", "attack", "curve", "bound"]


@dataclass(frozen=True)
class ChangedExample:
    """The query that lost most by a change, before and after.

    Attributes:
        before: The clean query and its nearest items.
        after: The changed query and its nearest items.
        difference: The change at the input size of the model, on grey, as a data URI.
        factor: How many times the change is amplified there.
    """

    before: Example
    after: Example
    difference: str
    factor: float


@dataclass(frozen=True)
class RobustnessRow:
    """What one kind of change does to the search.

    Attributes:
        group: ``"clean"``, ``"edit"``, ``"attack"``, ``"curve"`` (an attack at another budget) or ``"bound"``, which
            has codes and no images.
        name: Name of the edit, attack or bound.
        map: Mean average precision of all queries by their own labels, over the whole clean database.
        target_map: The same by target labels, of the queries that have one; None without labels.
        map_5000: As ``map``, over the first 5,000 items of each search: `map@5000` of `kinbits.metrics.parse_metric`.
        target_map_5000: As ``target_map``, over the first 5,000 items.
        transfer_map: As ``map``, of the same images on the second model; None without one.
        linf: Largest change of a pixel, of values in [0, 1] at the model's input size; None where nothing is attacked.
        rmse: Root of the mean squared change.
        ssim: Mean structural similarity; 1 is no change.
        seconds: Time of the attack, an image.
        epsilon: Budget of the attack; None for none.
        precisions: Average precision of each query, whose mean is ``map``; None for a query without a relevant item.
        example: The query that lost most; None where there are no changed images.
    """

    group: Group
    name: str
    map: float
    target_map: float | None = None
    map_5000: float | None = None
    target_map_5000: float | None = None
    transfer_map: float | None = None
    linf: float | None = None
    rmse: float | None = None
    ssim: float | None = None
    seconds: float | None = None
    epsilon: float | None = None
    precisions: Sequence[float | None] = field(default=(), repr=False)
    example: ChangedExample | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as JSON types, without those of each query and without the example."""
        return {name: value for name, value in vars(self).items() if name not in ("precisions", "example")}


def row_from_dict(values: Mapping[str, Any]) -> RobustnessRow:
    """Return the row that `dataclasses.asdict` made values of.

    Raises:
        KeyError, TypeError, ValueError: If a value is missing, unknown or of another kind.
    """
    row, shown = RobustnessRow(**values), values["example"]
    numbers = [*values["precisions"], *(value for name, value in row.to_dict().items() if name not in TEXTS)]
    known = row.group in get_args(Group) and isinstance(row.name, str) and isinstance(row.map, float)
    if not known or not all(value is None or isinstance(value, (int, float)) for value in numbers):
        raise ValueError(f"'{row.name}' is no row")
    row = replace(row, precisions=tuple(row.precisions))
    if shown is None:
        return row
    sides = {side: _example(shown[side]) for side in ("before", "after")}
    made = ChangedExample(**{**shown, **sides})
    pictures = [made.difference, made.before.picture, made.after.picture]
    pictures += [hit.picture for side in (made.before, made.after) for hit in side.neighbours]
    if not all(picture is None or picture.startswith("data:image/") for picture in pictures):
        raise ValueError("a picture is not in the file itself")
    if not isinstance(made.factor, (int, float)):
        raise ValueError(f"{made.factor!r} is no factor")
    return replace(row, example=made)


def _example(values: Mapping[str, Any]) -> Example:
    return Example(**{**values, "neighbours": tuple(Neighbour(**hit) for hit in values["neighbours"])})
