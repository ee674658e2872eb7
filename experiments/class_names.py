"""Embed class names with the text backbone: ``experiments/cifar10-names.npy``, float32 ``(10, 384)``, for shrewd."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import kinbits
from kinbits.backbones import fast_forward, load_backbone


def main() -> None:
    """Write one row per class of CIFAR-10, in the order of its labels."""
    space = kinbits.load_protocol("cifar10-1k-5k-54k").label_space
    embed = fast_forward(load_backbone("minilm"))
    np.save(Path(__file__).with_name("cifar10-names.npy"), embed([f"a photo of a {name}" for name in space.names]))


if __name__ == "__main__":
    main()
