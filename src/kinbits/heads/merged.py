"""A head whose neurons have been merged: more neurons inside than bits outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from kinbits.errors import UsageError
from kinbits.heads.base import Head, build_head, register_head


@register_head("merged")
class Merged(Head):
    """Combines the K_0 outputs of another head by a fixed matrix ``merge`` ``(K_0, K_t)`` to K_t logits.

    While it is trained, K_t may still be greater than ``bits``; a fresh one passes on the first ``bits`` neurons.

    Args:
        features: Length of one feature vector.
        bits: Code length K in the end.
        inner: What `Head.config` of the other head returned.
    """

    merge: Tensor

    def __init__(self, features: int, bits: int, inner: Mapping[str, Any]) -> None:
        super().__init__(features, bits, inner=dict(inner))
        built = build_head(inner)
        if built.features != features or built.bits < bits:
            raise UsageError(f"a head of {built.features} features and {built.bits} bits cannot be merged to {bits}")
        self.layers: Head = built
        self.register_buffer("merge", torch.eye(built.bits, bits))

    @property
    def width(self) -> int:
        """Number of logits K_t at present."""
        return int(self.merge.shape[1])

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits, float ``(n, K_t)``."""
        neurons: Tensor = self.layers(self.standard(features))
        logits = neurons @ self.merge
        return logits - self.threshold if self.width == self.bits else logits

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Take the number of merged neurons from the saved matrix."""
        saved = state.get(prefix + "merge")
        if saved is not None and saved.ndim == 2:
            self.merge = self.merge.new_zeros(len(self.merge), saved.shape[1])
        super()._load_from_state_dict(state, prefix, *rest)
