"""Directions of a search: images or texts are searched with, and images or texts are searched."""

from __future__ import annotations

from typing import NamedTuple

from kinbits._util import Modality


class Direction(NamedTuple):
    """One direction of a search; prints as ``image to text``.

    Attributes:
        query: What is searched with.
        items: What is searched in.
    """

    query: Modality
    items: Modality

    def __str__(self) -> str:
        return f"{self.query} to {self.items}"


IMAGE_TO_IMAGE = Direction("image", "image")
CROSS_MODAL = (Direction("image", "text"), Direction("text", "image"))
DIRECTIONS = (IMAGE_TO_IMAGE, *CROSS_MODAL, Direction("text", "text"))
