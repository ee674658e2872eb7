"""What a calibration found: the radius, the false pairs to expect at it, and the share of copies that it finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, repr=False)
class Calibration:
    """A radius for a collection, with what to expect from it.

    Attributes:
        radius: The largest radius in bits at which false pairs are as rare as wanted; -1 if there is none.
        bits: Length of the codes.
        items: Number of items of the collection.
        expected_false_pairs: Pairs of different images within the radius that are expected in the whole collection.
        found_pairs: Pairs within the radius that were found; None before the search.
        tolerance: False pairs that are allowed, as a share of the pairs found.
        recall: For each edit, the share of copies within the radius.
        false_pairs: Expected false pairs of the whole collection by radius, from 0 on.
        background: How the distances of different images were counted or fitted, in words.
        sample: Number of images that were edited.
        pairs_sampled: Number of pairs of different images whose distance was counted.
        given: Whether the radius was given, and not chosen.
    """

    radius: int
    bits: int
    items: int
    expected_false_pairs: float
    found_pairs: int | None = None
    tolerance: float = 0.001
    recall: Mapping[str, float] = field(default_factory=dict)
    false_pairs: tuple[float, ...] = ()
    background: str = ""
    sample: int = 0
    pairs_sampled: int = 0
    given: bool = False

    def __repr__(self) -> str:
        recall = f", recall {self.mean_recall:.3f} over {len(self.recall)} edits" if self.recall else ""
        return (
            f"Calibration(radius {self.radius} of {self.bits} bits, {self.items:,} items: "
            f"{self.expected_false_pairs:.3g} false pairs expected{recall})"
        )

    @property
    def mean_recall(self) -> float | None:
        """Mean recall over the edits; None if no image was edited."""
        return sum(self.recall.values()) / len(self.recall) if self.recall else None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON types."""
        return {**asdict(self), "recall": dict(self.recall), "false_pairs": list(self.false_pairs)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """Make one from `to_dict`."""
        return cls(**{**values, "false_pairs": tuple(values["false_pairs"])})
