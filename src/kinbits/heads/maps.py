"""Heads on feature maps: a gate over positions, and several attended parts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinbits.heads.base import MapHead, register_head


class SpatialGate(nn.Module):
    """Weigh the positions of a map: a = sigmoid(conv3x3([mean over channels; max over channels])), 18 weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size=3, padding=1, bias=False)
        nn.init.xavier_normal_(self.conv.weight)

    def forward(self, maps: Tensor) -> Tensor:
        """Return a in (0, 1), float ``(n, 1, h, w)``, of maps ``(n, c, h, w)``."""
        summary = torch.cat([maps.mean(1, keepdim=True), maps.amax(1, keepdim=True)], dim=1)
        return torch.sigmoid(self.conv(summary))


@register_head("spatial-attention")
class SpatialAttention(MapHead):
    """A spatial gate, a narrow residual block, the mean over positions, and one linear layer.

    The first convolution is 1x1 without bias, so the gate can be applied after it: the numbers are the same, for a
    tenth of the products.

    Args:
        features: Length ``c h w`` of one flattened map.
        bits: Code length.
        shape: ``(c, h, w)``.
        width: Channels of the residual block, and length of the vector that is hashed.
        attention: Whether there is a gate.
    """

    def __init__(self, features: int, bits: int, shape: Sequence[int], width: int = 64, attention: bool = True) -> None:
        super().__init__(features, bits, shape, width=width, attention=attention)
        self.gate = SpatialGate() if attention else None
        self.narrow = nn.Conv2d(self.shape[0], width, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        deeper = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.refine = nn.Sequential(deeper, nn.BatchNorm2d(width))
        self.hash = nn.Linear(width, bits)
        for layer in (self.narrow, deeper, self.hash):
            nn.init.xavier_normal_(layer.weight)

    def vectors(self, features: Tensor) -> Tensor:
        """Return the input of the linear layer, float ``(n, width)``."""
        maps = self.standard(features)
        narrow = self.narrow(maps)
        if self.gate is not None:
            narrow = self.gate(maps) * narrow
        narrow = self.norm(narrow)
        return F.relu(narrow + self.refine(F.relu(narrow))).mean((2, 3))

    def logits(self, vectors: Tensor) -> Tensor:
        """Return the logits ``(n, bits)`` of the result of `vectors`."""
        logits: Tensor = self.hash(vectors)
        return logits - self.threshold

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits, float ``(n, bits)``."""
        return self.logits(self.vectors(features))


@register_head("part-attention")
class PartAttention(MapHead):
    """Attended parts and the whole map, each refined and averaged, and one linear layer without bias on all of them.

    The refinements are 1x1 convolutions without bias, batch norm and ReLU; the parts share one. The weights of a part
    are applied after the convolution: the numbers are the same, and the map is read once.

    Args:
        features: Length ``c h w`` of one flattened map.
        bits: Code length.
        shape: ``(c, h, w)``.
        parts: Number M of parts.
        width: Length of the vector of a part, and of the whole.
    """

    def __init__(self, features: int, bits: int, shape: Sequence[int], parts: int = 4, width: int = 128) -> None:
        super().__init__(features, bits, shape, parts=parts, width=width)
        self.parts, self.width = parts, width
        self.attend = nn.Conv2d(self.shape[0], parts, 1)
        nn.init.normal_(
            self.attend.weight, std=0.1
        )  # with smaller weights all parts attend to all positions, and do not change
        self.local = nn.Conv2d(self.shape[0], width, 1, bias=False)
        self.local_norm = nn.BatchNorm2d(width)
        self.whole = nn.Sequential(nn.Conv2d(self.shape[0], width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.hash = nn.Linear((parts + 1) * width, bits, bias=False)

    def look(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return attention maps ``(n, M, h, w)``, part vectors ``(n, M, width)`` and whole vectors ``(n, width)``."""
        maps = self.standard(features)
        attention = torch.sigmoid(self.attend(maps))
        seen = attention[:, :, None] * self.local(maps)[:, None]
        refined = F.relu(self.local_norm(seen.flatten(0, 1))).mean((2, 3))
        return attention, refined.view(len(maps), self.parts, self.width), self.whole(maps).mean((2, 3))

    def logits(self, parts: Tensor, whole: Tensor) -> Tensor:
        """Return the logits ``(n, bits)`` of part and whole vectors."""
        logits: Tensor = self.hash(torch.cat([parts.flatten(1), whole], dim=1))
        return logits - self.threshold

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits, float ``(n, bits)``."""
        _, parts, whole = self.look(features)
        return self.logits(parts, whole)
