"""One modality's path through a model: backbone, then hash head."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from kinbits._util import one_line
from kinbits.backbones import Backbone, Concepts, classifier_of
from kinbits.data import require_finite
from kinbits.errors import PlatformError, UsageError
from kinbits.hamming import kind_name
from kinbits.heads import Head, ScaledHead

Output = Literal["codes", "bits", "logits", "tables", "features", "quality", "concepts"]
_ROWS = 4096  # that pass the head together


class Tower(nn.Module):
    """A backbone and the hash head behind it, as one network.

    Called with pixels, it returns logits, float32 ``(n, bits)``; their signs are the bits that `HashModel.encode`
    gives. Gradients reach the pixels, for attacks and for explanations. The weights are frozen.

    Args:
        backbone: Turns pixels, tokens or vectors into features.
        head: Turns features into logits.

    Attributes:
        backbone: As given.
        head: As given.

    Example:
        >>> from kinbits.backbones import load_backbone
        >>> from kinbits.heads import build_head
        >>> head = build_head({"name": "linear", "features": 384, "bits": 16})
        >>> Tower(load_backbone("convnet-small"), head)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 16])
    """

    def __init__(self, backbone: Backbone, head: Head) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        self.eval().requires_grad_(False)

    def forward(self, inputs: Tensor | Mapping[str, Tensor]) -> Tensor:
        """Return logits, float32 ``(n, bits)``.

        Args:
            inputs: Pixels ``(n, 3, s, s)``, float in [0, 1] or uint8 in [0, 255], for a backbone of images; vectors
                ``(n, d)``; or the tokens that ``backbone.tokenize(texts)`` returns.
        """
        if isinstance(inputs, Mapping):
            features = self.backbone(**inputs)
        else:
            features = self.backbone(inputs if inputs.is_floating_point() else inputs.float() / 255)
        logits: Tensor = self.head(features if self.backbone.modality == "vector" else _rounded(features))
        return logits

    def as_read(self, features: np.ndarray) -> np.ndarray:
        """Return features ``(n, d)`` as the head reads them, float32.

        Those of images and texts are rounded to float16, as the cache keeps them; vectors are not.
        """
        with np.errstate(over="ignore"):  # infinity is refused later, with its row
            if self.backbone.modality == "vector":
                return np.array(features, np.float32, order="C")  # a copy: PyTorch takes no mapped file
            return np.asarray(features).astype(np.float16).astype(np.float32)

    def compute(self, features: np.ndarray, output: Output = "codes") -> np.ndarray:
        """Return what the head makes of features ``(n, d)``.

        Args:
            features: As the backbone returns them.
            output: ``"codes"`` uint8 ``(n, ceil(bits / 8))``, ``"bits"`` bool ``(n, bits)``, ``"logits"`` float32
                ``(n, bits)``, ``"tables"`` float32 ``(n, 2 ceil(bits / 8), 16)``, the logits as look-up tables
                (`kinbits.hamming.sign_tables`), ``"features"``, which are returned as the head reads them,
                ``"quality"`` int64 ``(n,)`` from 0 to 100, or ``"concepts"``, the likeliest classes of ImageNet, uint8
                ``(n, 39)`` (`kinbits.backbones.Concepts`). A head of product or scaled codes gives its vectors as
                logits, tables of its own, and no bits.

        Raises:
            UsageError: If the backbone knows no quality, or no concepts.
            DataError: If a row is not finite in float32, or, for features of images and texts, in float16.
        """
        if output == "features":
            return self.as_read(features)
        if output == "concepts":
            return self._concepts(features)
        if output == "quality":
            return self.backbone.quality(self.as_read(features))
        networks: dict[str, Callable[[Tensor], np.ndarray]] = {
            "codes": self.head.codes,
            "bits": lambda rows: self.head.encode(rows).cpu().numpy(),
            "logits": lambda rows: self.head(rows).float().cpu().numpy(),
            "tables": self.head.tables,
        }
        with torch.no_grad():
            return np.concatenate([networks[output](rows) for rows in self._rows(features)])

    @property
    def gives_concepts(self) -> bool:
        """Whether the backbone is a published classifier of ImageNet, so that `compute` returns concepts."""
        return classifier_of(self.backbone) is not None

    def _concepts(self, features: np.ndarray) -> np.ndarray:
        classifier, made = classifier_of(self.backbone), Concepts()
        if classifier is None:
            raise UsageError(
                f"backbone '{self.backbone.name}' gives no concepts: those are classes of an EfficientNet-Lite as it "
                "was published, not fine-tuned"
            )
        parts = [np.zeros((0, made.width), np.uint8)]
        for rows in self._rows(features):
            parts.append(made.pack(classifier.probabilities(rows.cpu().numpy())))
        return np.concatenate(parts)

    @torch.no_grad()
    def bound_tables(self, features: np.ndarray) -> np.ndarray:
        """Return tables of features ``(n, d)`` for lower bounds of distances, float32 ``(n, parts, 16)``.

        Raises:
            UsageError: If the head makes no scaled codes.
        """
        if not isinstance(self.head, ScaledHead):
            raise UsageError(f"{kind_name(self.head.words)} have no bound of their distances; scaled codes do (rabitq)")
        return np.concatenate([self.head.bound_tables(self.head(rows)) for rows in self._rows(features)])

    @torch.no_grad()
    def code_tables(self, codes: np.ndarray) -> np.ndarray:
        """Return the look-up tables of packed codes as queries, float32 ``(n, parts, entries)``."""
        return self.head.code_tables(codes)

    def _rows(self, features: np.ndarray) -> Iterator[Tensor]:
        """Yield features as the head reads them, float32 ``(c, d)`` on its device, a chunk at a time."""
        for start in range(0, max(len(features), 1), _ROWS):
            rows = self.as_read(features[start : start + _ROWS])
            require_finite(rows, start)
            yield torch.from_numpy(rows).to(self.head.threshold.device)


def _rounded(features: Tensor) -> Tensor:
    """Round features as the cache keeps them, float16; gradients pass unchanged, as their own would underflow there."""
    return features + (features.half().float() - features).detach()


def check_device(device: str | torch.device) -> None:
    """Refuse a device before any weight is moved.

    Raises:
        UsageError: If PyTorch knows no such device.
        PlatformError: If this machine does not have it.
    """
    try:
        torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise UsageError(f"device is {device!r} ({one_line(error)}); give e.g. 'cpu' or 'cuda'") from None
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # PyTorch without CUDA asserts
        raise PlatformError(f"device {device} cannot be used here ({one_line(error)}); use 'cpu'") from None
