"""Texts that are missing: a vector of zeros stands for none."""

from __future__ import annotations

from torch import Tensor


def has_text(captions: Tensor) -> Tensor:
    """Tell which rows of text features ``(b, t)`` have a text at all, bool ``(b,)``."""
    return (captions != 0).any(1)
