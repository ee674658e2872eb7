"""What a calibration found: the radius, the false pairs to expect at it, and the share of copies that it finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, repr=False)
class Calibration:
    """A radius or a similarity for a collection, with what to expect from it.

    Attributes:
        radius: The largest radius in bits at which false pairs are as rare as wanted; -1 if there is none. Where pairs
            were looked at, the radius within which all were.
        bits: Length of the codes.
        items: Number of items of the collection.
        expected_false_pairs: Pairs of different images among the pairs found, as expected in the whole collection.
        found_pairs: Pairs that count as copies; None before the search.
        tolerance: False pairs that are allowed, as a share of the pairs found.
        recall: For each edit, the share of copies that are found.
        false_pairs: Expected false pairs of the whole collection by radius, from 0 on; by 100 (1 - similarity), where
            pairs were looked at.
        background: How the distances of different images were counted or fitted, in words.
        sample: Number of images that were edited.
        pairs_sampled: Number of pairs of different images whose distance was counted.
        given: Whether the radius or the similarity was given, and not chosen.
        similarity: The least similarity of a copy; None where codes alone decide.
        looked_at: Number of pairs that were looked at.
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
    similarity: float | None = None
    looked_at: int = 0

    def __repr__(self) -> str:
        recall = f", recall {self.mean_recall:.3f} over {len(self.recall)} edits" if self.recall else ""
        least = (
            f"similarity {self.similarity:.2f}"
            if self.similarity is not None
            else f"radius {self.radius} of {self.bits} bits"
        )
        return (
            f"Calibration({least}, {self.items:,} items: {self.expected_false_pairs:.3g} false pairs expected{recall})"
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
