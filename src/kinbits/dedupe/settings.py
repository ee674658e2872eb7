"""Options of a search for duplicates."""

from dataclasses import dataclass
from typing import Annotated

from kinbits._util import Range, check_options
from kinbits.errors import UsageError

COPY_MODEL = "kinbits/copy-256"
"""Model that makes the codes unless another one is given."""
TOLERANCE = 0.001
SECONDS = 3.0


@dataclass(frozen=True)
class DedupeSettings:
    """What is searched for.

    Attributes:
        tolerance: Expected false pairs of copies, as a share of the pairs reported.
        radius: Radius of copies in bits, within which codes alone decide. Default: pairs of near codes are looked at.
        codes_only: Let the codes alone decide, and look at no images.
        similarity: Least similarity of the images of two copies. Default: 0.4 to 0.6, by calibration.
        similar: Radius in bits of a further search for similar images. Default: none.
        seconds: Largest time between two shots of a burst.
        sample: Number of images that are edited to measure how many copies are found; 0 for none.
        seed: Seed of the samples.

    Raises:
        UsageError: If a value has the wrong type or is out of range.
    """

    tolerance: Annotated[float, Range(0.0, 1.0, without_least=True)] = TOLERANCE
    radius: Annotated[int | None, Range(0)] = None
    codes_only: bool = False
    similarity: Annotated[float | None, Range(0.0, 1.0)] = None
    similar: Annotated[int | None, Range(0)] = None
    seconds: Annotated[float, Range(0.0)] = SECONDS
    sample: Annotated[int, Range(0)] = 50
    seed: Annotated[int, Range(0)] = 0

    def __post_init__(self) -> None:
        check_options(self)
        if self.similarity is not None and (self.radius is not None or self.codes_only):
            raise UsageError("a similarity needs images that are looked at; give neither a radius nor codes_only")
