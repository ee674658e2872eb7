"""A head with merged neurons: more neurons than bits."""

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

    During training, K_t can be greater than ``bits``. A new head returns the first ``bits`` neurons.

    Args:
        features: Length of one feature vector.
        bits: Final code length K.
        inner: `Head.config` of the other head.
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
        """Current number of logits K_t."""
        return int(self.merge.shape[1])

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits, float ``(n, K_t)``."""
        neurons: Tensor = self.layers(self.standard(features))
        logits = neurons @ self.merge
        return logits - self.threshold if self.width == self.bits else logits

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Read the number of merged neurons from the saved matrix."""
        saved = state.get(prefix + "merge")
        if saved is not None and saved.ndim == 2:
            self.merge = self.merge.new_zeros(len(self.merge), saved.shape[1])
        super()._load_from_state_dict(state, prefix, *rest)
