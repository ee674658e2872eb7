"""What an item is."""

from typing import Literal

Modality = Literal["image", "text", "vector"]
