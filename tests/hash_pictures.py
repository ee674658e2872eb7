"""Pictures with edges, by seed."""

import numpy as np
from PIL import Image


def picture(seed=0, size=(160, 120)):
    """Coloured areas with smooth edges: PDQ rates it above 50."""
    small = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def flat():
    """One colour: PDQ rates it 0."""
    return Image.new("RGB", (64, 48), (200, 10, 10))


def photos(folder, number=4, *, flats=1):
    """Write a folder of pictures, and flat ones."""
    folder.mkdir()
    for seed in range(number):
        picture(seed).save(folder / f"{seed}.png")
    for one in range(flats):
        flat().save(folder / f"flat-{one}.png")
    return folder
