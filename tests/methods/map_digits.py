"""Digits through a small convolutional network whose last feature map is the features."""

import numpy as np
import torch
from digits import SPACE, Pixels
from torch import nn

from kinbits.methods import Spec, build_method
from kinbits.training import PixelSet, TrainingSettings, train


class MapNetwork(nn.Module):
    """8 x 8 pixels to a map of 32 x 4 x 4, flattened to a vector."""

    shape = (32, 4, 4)

    def __init__(self, images):
        super().__init__()
        self.mean, self.deviation = float(images.mean()), float(images.std())
        self.layers = nn.Sequential(
            *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
        )

    def forward(self, pixels):
        gray = pixels[:, :1] if pixels.ndim == 4 else pixels.view(-1, 1, 8, 8)
        return self.layers((gray - self.mean) / self.deviation).flatten(1)


def learn_maps(name, bits, images, labels, *, epochs, batch_size=None, seed=0, **params):
    """Train a method that reads maps, together with the network; return both."""
    torch.manual_seed(seed)
    network = MapNetwork(images)
    spec = Spec(bits, int(np.prod(network.shape)), len(images), SPACE, seed=seed, map_shape=network.shape)
    method = build_method(name, spec, **params)
    settings = TrainingSettings(
        epochs=epochs, batch_size=batch_size, backbone_lr=1e-3, seed=seed, progress=False, accelerator="cpu"
    )
    train(method, PixelSet(Pixels(images), network, labels=labels), settings)
    return method, network.eval()
