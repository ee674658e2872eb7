"""Labels and texts of rows: which rows have one, and which pairs share one."""

from __future__ import annotations

from torch import Tensor


def similar(a: Tensor, b: Tensor) -> Tensor:
    """Return which pairs share a label.

    Args:
        a: int64 ``(n,)`` or multi-hot ``(n, C)``.
        b: Labels in the same form, ``(m,)`` or ``(m, C)``.

    Returns:
        float 0/1 ``(n, m)``; 0 for unlabelled rows, also with themselves.
    """
    if a.ndim == 1:
        return ((a[:, None] == b[None, :]) & (a >= 0)[:, None]).float()
    return (a.float() @ b.float().T > 0).float()


def labelled(labels: Tensor) -> Tensor:
    """Return which rows have a label, bool ``(n,)``, of labels int64 ``(n,)`` or multi-hot ``(n, C)``."""
    return labels >= 0 if labels.ndim == 1 else (labels > 0).any(1)


def shared_labels(labels: Tensor) -> Tensor:
    """Return the number of shared labels, float ``(b, b)``, of labels int64 ``(b,)`` or multi-hot ``(b, C)``."""
    if labels.ndim == 1:
        return (labels[:, None] == labels[None, :]).float()
    sets = (labels > 0).float()
    return sets @ sets.T


def has_text(texts: Tensor) -> Tensor:
    """Return which rows have a text, bool ``(b,)``: a vector of zeros in text features ``(b, t)`` means none."""
    return (texts != 0).any(1)
