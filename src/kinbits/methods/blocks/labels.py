"""Labels and texts of rows: which rows have one, and which pairs share one."""

from __future__ import annotations

from torch import Tensor


def similar(a: Tensor, b: Tensor) -> Tensor:
    """Tell which pairs share a label.

    Args:
        a: int64 ``(n,)`` or multi-hot ``(n, C)``.
        b: The same form, ``(m,)`` or ``(m, C)``.

    Returns:
        float 0/1 ``(n, m)``; an unlabelled row shares with none, not even with itself.
    """
    if a.ndim == 1:
        return ((a[:, None] == b[None, :]) & (a >= 0)[:, None]).float()
    return (a.float() @ b.float().T > 0).float()


def labelled(labels: Tensor) -> Tensor:
    """Tell which rows have a label, bool ``(n,)``; the labels are int64 ``(n,)`` or multi-hot ``(n, C)``."""
    return labels >= 0 if labels.ndim == 1 else (labels > 0).any(1)


def shared_labels(labels: Tensor) -> Tensor:
    """Return how many labels rows share, float ``(b, b)``, of int64 ``(b,)`` or multi-hot ``(b, C)``."""
    if labels.ndim == 1:
        return (labels[:, None] == labels[None, :]).float()
    sets = (labels > 0).float()
    return sets @ sets.T


def has_text(captions: Tensor) -> Tensor:
    """Tell which rows of text features ``(b, t)`` have a text at all, bool ``(b,)``."""
    return (captions != 0).any(1)
