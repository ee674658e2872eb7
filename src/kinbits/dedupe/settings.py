"""Options of a search for duplicates."""

from dataclasses import dataclass
from typing import Annotated

from kinbits._util import Range, check_options

COPY_MODEL = "kinbits/copy-256"
"""Model that makes the codes unless another one is given."""
TOLERANCE = 0.001
SECONDS = 3.0


@dataclass(frozen=True)
class DedupeSettings:
    """What is searched for.

    Attributes:
        tolerance: Expected false pairs of copies, as a share of the pairs reported.
        radius: Radius of copies in bits. Default: calibrated on the collection.
        similar: Radius in bits of a further search for similar images. Default: none.
        seconds: Largest time between two shots of a burst.
        sample: Number of images that are edited to measure how many copies are found; 0 for none.
        seed: Seed of the samples.

    Raises:
        UsageError: If a value has the wrong type or is out of range.
    """

    tolerance: Annotated[float, Range(0.0, 1.0, without_least=True)] = TOLERANCE
    radius: Annotated[int | None, Range(0)] = None
    similar: Annotated[int | None, Range(0)] = None
    seconds: Annotated[float, Range(0.0)] = SECONDS
    sample: Annotated[int, Range(0)] = 100
    seed: Annotated[int, Range(0)] = 0

    def __post_init__(self) -> None:
        check_options(self)
