"""The classifier that a published backbone was trained with: from its features to probabilities of classes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinbits.backbones.base import Backbone
from kinbits.backbones.efficientnet import EfficientNetLite, published_once
from kinbits.backbones.feature_map import FeatureMap

_LAYER = "_fc."


class Classifier(NamedTuple):
    """The last layer of a network for ImageNet's 1,000 classes.

    Attributes:
        weight: float32 ``(classes, d)``.
        bias: float32 ``(classes,)``.
        map_shape: ``(d, h, w)`` if the features are flattened maps, which are averaged first; else None.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    map_shape: tuple[int, int, int] | None = None

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities of all classes, float32 ``(n, classes)``, of features ``(n, d)``."""
        if self.map_shape is not None:
            features = features.reshape(-1, *self.map_shape).mean(axis=(2, 3), dtype=np.float32)
        logits = features @ self.weight.T + self.bias
        found = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(found / found.sum(1, keepdims=True), np.float32)


def classifier_of(backbone: Backbone) -> Classifier | None:
    """Return the classifier of a backbone: an EfficientNet-Lite with its published weights, in all its layers.

    A fine-tuned backbone has none, since its features are no longer those that the classifier reads.
    """
    network = backbone.pooled
    if not isinstance(network, EfficientNetLite) or not network.is_published():
        return None
    published = published_once(type(network))
    weight, bias = (published[_LAYER + name].numpy() for name in ("weight", "bias"))
    return Classifier(weight, bias, backbone.map_shape if isinstance(backbone, FeatureMap) else None)
