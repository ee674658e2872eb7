"""How well one image lies on another: edited copies do, other images do not."""

import numpy as np
import pytest
from gradients import picture, scene
from PIL import Image, ImageDraw, ImageOps

from kinbits.data import edit_image
from kinbits.dedupe.similarity import read_details, similarity

EDITS = ["jpeg 30", "resize 0.5", "crop 0.4", "mirror", "flip", "rotate 25", "rotate 90", "gamma 1.7", "grey"]
EDITS += ["caption 0.15", "border 0.08", "emoji 0.35", "screenshot"]


def between(one, other):
    return similarity(read_details(one), read_details(other))


@pytest.mark.parametrize("edit", EDITS)
def test_copies_are_similar(edit):
    found = [between(scene(seed), edit_image(scene(seed), edit, seed=seed)) for seed in range(3)]
    assert np.mean(found) > 0.5
    assert min(found) > 0.4


def test_an_image_is_itself_and_no_other():
    assert between(scene(1), scene(1)) > 0.95
    assert max(between(scene(seed), scene(seed + 100)) for seed in range(20)) < 0.2


def test_the_same_object_on_another_ground_is_no_copy():
    one, other = (picture(seed, 192) for seed in (1, 2))
    part = scene(3, 96)
    for ground in (one, other):
        ground.paste(part, (48, 48))
    assert between(one, other) < between(one, edit_image(one, "jpeg 30"))


@pytest.mark.parametrize("size", [(240, 180), (180, 240)])
def test_a_stretched_image_is_a_copy(size):
    assert between(scene(1), scene(1).resize(size)) > 0.6
    assert between(scene(1).resize(size), scene(1)) > 0.6


def chart(seed):
    """Return a chart with axes and a grid, and with a line that differs."""
    image, rng = Image.new("RGB", (480, 360), "white"), np.random.default_rng(seed)
    draw = ImageDraw.Draw(image)
    draw.rectangle((50, 20, 460, 320), outline="black")
    for step in range(8):
        draw.line((50 + 51 * step, 20, 50 + 51 * step, 320), fill="#ccc")
        draw.line((50, 320 - 40 * step, 460, 320 - 40 * step), fill="#ccc")
        draw.text((40 + 51 * step, 326), str(2000 + step), fill="black")
    values = np.cumsum(rng.normal(0, 25, 40))
    heights = (170 - (values - values.mean())).clip(22, 318)
    draw.line([(50 + 10.2 * step, height) for step, height in enumerate(heights.tolist())], fill="red", width=3)
    return image


def test_two_charts_of_one_template_are_no_copies():
    charts = [chart(seed) for seed in range(6)]
    others = [between(charts[row], charts[row - 1]) for row in range(6)]
    copies = [between(one, edit_image(one, edit, seed=1)) for one in charts for edit in ("jpeg 75", "crop 0.7")]
    assert max(others) < 0.4 < min(copies)


def test_details_of_a_mirrored_image_need_no_second_look():
    image = scene(5)
    ours, theirs = read_details(image).mirrored, read_details(ImageOps.mirror(image))
    assert (ours.grey == theirs.grey).mean() > 0.95
    apart = np.linalg.norm(ours.at[:, None] - theirs.at[None], axis=2)
    cosines = [
        np.dot(ours.descriptors[row].astype(float), theirs.descriptors[near].astype(float)) / 255**2
        for row, near in enumerate(apart.argmin(1))
        if apart[row, near] < 1
    ]
    assert len(cosines) > 0.7 * len(theirs.at)
    assert np.median(cosines) > 0.97


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (2000, 3), (64, 64)])
def test_plain_and_tiny_images_are_like_nothing(size):
    assert between(Image.new("RGB", size, (9, 9, 9)), Image.new("RGB", size, (9, 9, 9))) == 0
    assert between(Image.new("RGB", size), scene(1)) == 0


def test_the_same_pair_always_has_the_same_similarity():
    pairs = [
        (read_details(scene(seed)), read_details(edit_image(scene(seed), "three", seed=seed))) for seed in range(5)
    ]
    assert [similarity(*pair) for pair in pairs] == [similarity(*pair) for pair in pairs]
