"""What attacks are given: numbers as tensors, and a generator for each image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from kinbits._util import check_seed, one_line, shortened
from kinbits.errors import DataError

Numbers = Tensor | ArrayLike
Generators = torch.Generator | Sequence[torch.Generator]


def as_tensor(given: Numbers, name: str) -> Tensor:
    """Return numbers as a tensor: a tensor as it is, and a copy of an array or of lists.

    Args:
        given: The numbers.
        name: What they are, for the error, e.g. ``"images"``.

    Raises:
        DataError: If they are something else.

    Example:
        >>> as_tensor([[0.5, 1]], "images").shape
        torch.Size([1, 2])
    """
    if isinstance(given, Tensor):
        return given
    try:
        array = np.array(given)
        if array.dtype.kind in "biuf":
            return torch.from_numpy(array)
    except (TypeError, ValueError):
        pass
    raise DataError(f"{name} are {shortened(one_line(repr(given)), 60)}; give a tensor or an array of numbers")


def image_generators(seed: int, rows: Sequence[int]) -> list[torch.Generator]:
    """Return a generator for each image: what it draws follows from the seed and the image's row number alone.

    Raises:
        UsageError: If the seed is negative.
        DataError: If a row number is negative or no whole number.
    """
    check_seed(seed)
    numbers = np.asarray(rows)
    if numbers.ndim != 1 or (numbers.size and (numbers.dtype.kind not in "iu" or bool((numbers < 0).any()))):
        raise DataError(f"rows are {shortened(one_line(repr(rows)), 60)}; give the row number of each image, from 0 on")
    states = [int(np.random.SeedSequence([seed, int(row)]).generate_state(1)[0]) for row in numbers]
    return [torch.Generator().manual_seed(state) for state in states]


def one_for_each(generators: Generators, count: int) -> Sequence[torch.Generator]:
    """Return a generator for each of some images; one for all draws for them one after another."""
    return [generators] * count if isinstance(generators, torch.Generator) else generators
