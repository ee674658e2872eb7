"""The network through which a backbone is pre-trained."""

from __future__ import annotations

from torch import nn

from kinbits.heads import Head

WIDTH = 512


class Projector(Head):
    """Three linear layers with batch norm and ReLU between them; stands in for a hash head while a backbone learns.

    It is dropped afterwards, so no saved model holds one.

    Args:
        features: Length of one feature vector.
        width: Length of the hidden layers and of the output.
    """

    def __init__(self, features: int, width: int = WIDTH) -> None:
        super().__init__(features, width)
        hidden = (*_layer(features, width), *_layer(width, width))
        self.layers = nn.Sequential(*hidden, nn.Linear(width, width, bias=False))


def _layer(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU()]
