"""Modality of an item."""

from typing import Literal

Modality = Literal["image", "text", "vector"]
