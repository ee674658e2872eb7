"""Everyday edits of images: what they change, what they keep, and that a seed repeats them."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from kinbits.data import EDITS, Edit, decode, draw_edits, edit_image
from kinbits.errors import DataError, UsageError

SIZE = (120, 80)
RANDOM = {"crop", "rotate", "noise", "caption", "border", "emoji", "screenshot", "two", "three"}


@pytest.fixture(scope="module")
def photo():
    """Smoothed noise with shapes, bright and dark, in colour."""
    noise = np.random.default_rng(0).integers(256, size=(SIZE[1], SIZE[0], 3), dtype=np.uint8)
    image = ImageOps.autocontrast(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(4)))
    draw = ImageDraw.Draw(image)
    draw.ellipse((10, 10, 50, 60), (200, 60, 40))
    draw.rectangle((70, 30, 110, 70), (40, 90, 180))
    draw.line((0, 70, 119, 5), (240, 240, 200), 3)
    return image


def pixels(image):
    return np.asarray(image).astype(int)


def same(one, other):
    return one.size == other.size and np.array_equal(pixels(one), pixels(other))


@pytest.mark.parametrize("edit", EDITS, ids=str)
def test_an_edit_changes_the_image_and_a_seed_repeats_it(edit, photo):
    before = pixels(photo)
    edited = edit_image(photo, edit)
    assert edited.mode == "RGB"
    assert not edited.info
    assert not same(edited, photo)
    assert np.array_equal(pixels(photo), before)
    assert same(edited, edit_image(photo, str(edit), seed=0))
    others = [edit_image(photo, edit, seed=seed) for seed in range(1, 6)]
    assert any(not same(edited, other) for other in others) == (edit.name in RANDOM)


@pytest.mark.parametrize("edit", EDITS, ids=str)
def test_the_global_generator_is_not_used(edit, photo):
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    edit_image(photo, edit)
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_the_recipe_has_each_edit_once():
    assert len(set(EDITS)) == len(EDITS) == 29
    assert sum(edit.name in RANDOM for edit in EDITS) == 12


@pytest.mark.parametrize("edit", EDITS, ids=str)
def test_an_edit_is_read_back_from_its_text(edit):
    assert Edit.from_text(str(edit)) == edit
    assert Edit.from_text(f"  {str(edit).replace(' ', '   ')} ") == edit


def test_text_keeps_all_digits():
    assert str(Edit("jpeg", 30)) == "jpeg 30"
    assert str(Edit("mirror")) == "mirror"
    third = Edit("crop", 1 / 3)
    assert Edit.from_text(str(third)) == third


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("jpg 30", "did you mean jpeg"),
        ("", "unknown edit ''; known: blur"),
        ("jpeg 0", "give a number from 1 to 100"),
        ("jpeg 101", "give a number from 1 to 100"),
        ("jpeg", "give a number from 1 to 100"),
        ("jpeg nan", "give a number from 1 to 100"),
        ("resize -1", "give a number from 0.01 to 1"),
        ("rotate inf", "give a number from 0.1 to 180"),
        ("mirror 2", "write 'mirror' alone"),
        ("jpeg high", "as in 'jpeg 30'"),
        ("crop 0.4 0.5", "as in 'jpeg 30'"),
    ],
)
def test_an_edit_that_does_not_exist_is_refused(text, message):
    with pytest.raises(UsageError, match=message) as caught:
        Edit.from_text(text)
    assert "\n" not in str(caught.value)


def test_edit_image_refuses_bad_arguments(photo):
    with pytest.raises(UsageError, match="unknown edit"):
        edit_image(photo, "sharpen 2")
    with pytest.raises(UsageError, match="seed"):
        edit_image(photo, "mirror", seed=-1)
    with pytest.raises(DataError, match="pixel"):
        edit_image(Image.new("RGB", (0, 5)), "mirror")


@pytest.mark.parametrize("codec", ["jpeg", "webp"])
def test_a_lower_quality_loses_more(codec, photo):
    errors = [np.abs(pixels(edit_image(photo, f"{codec} {q}")) - pixels(photo)).mean() for q in (95, 60, 5)]
    assert 0 < errors[0] < errors[1] < errors[2] < 30


def test_jpeg_has_the_pixels_of_a_file(photo, tmp_path):
    photo.save(tmp_path / "a.jpg", quality=30)
    assert same(edit_image(photo, "jpeg 30"), decode(tmp_path / "a.jpg"))


def test_sizes(photo):
    assert edit_image(photo, "resize 0.5").size == (60, 40)
    assert edit_image(photo, "resize 0.25").size == (30, 20)
    assert edit_image(photo, "crop 0.25").size == (60, 40)
    width, height = edit_image(photo, "crop 0.4").size
    assert width * height == pytest.approx(0.4 * 120 * 80, rel=0.02)
    assert width / height == pytest.approx(1.5, rel=0.02)
    assert edit_image(photo, "rotate 25").size == SIZE
    assert edit_image(photo, "caption 0.5").size == (120, 120)
    assert edit_image(photo, "border 0.1").size == (136, 96)
    assert edit_image(photo, "screenshot").size == (540, 1080)


def test_a_crop_is_a_part_of_the_image(photo):
    whole, part = pixels(photo), pixels(edit_image(photo, "crop 0.4", seed=3))
    height, width = part.shape[:2]
    windows = np.lib.stride_tricks.sliding_window_view(whole, (height, width, 3))[:, :, 0]
    assert (windows == part).all((2, 3, 4)).any()


def test_mirror_and_flip_are_exact_and_undo_themselves(photo):
    assert np.array_equal(pixels(edit_image(photo, "mirror")), pixels(photo)[:, ::-1])
    assert np.array_equal(pixels(edit_image(photo, "flip")), pixels(photo)[::-1])
    for name in ("mirror", "flip"):
        assert same(edit_image(edit_image(photo, name), name), photo)


def test_right_angles_are_exact(photo):
    seen = set()
    for seed in range(10):
        turned = pixels(edit_image(photo, "rotate 90", seed=seed))
        seen |= {k for k in (1, 3) if np.array_equal(turned, np.rot90(pixels(photo), k))}
    assert seen == {1, 3}
    assert np.array_equal(pixels(edit_image(photo, "rotate 180")), np.rot90(pixels(photo), 2))


def test_the_corners_of_a_rotation_are_plain(photo):
    turned = pixels(edit_image(photo, "rotate 25", seed=1))
    assert len(np.unique(turned[[0, -1], [0, -1]], axis=0)) == 1


def test_strengths_of_light_and_colour_have_a_direction(photo):
    def mean(text):
        return pixels(edit_image(photo, text)).mean()

    def spread(text):
        return pixels(edit_image(photo, text)).std()

    def colour(text):
        return np.ptp(pixels(edit_image(photo, text)), axis=2).mean()

    light = pixels(photo).mean()
    assert mean("brightness 0.6") < light < mean("brightness 1.5")
    assert mean("gamma 1.7") < light < mean("gamma 0.6")
    assert spread("contrast 0.6") < pixels(photo).std() < spread("contrast 1.6")
    assert colour("saturation 0.3") < np.ptp(pixels(photo), axis=2).mean() < colour("saturation 2")
    assert colour("grey") == 0
    assert mean("gamma 1") == light


def test_blur_smooths_and_noise_has_its_deviation(photo):
    def edges(image):
        return np.abs(np.diff(pixels(image), axis=1)).mean()

    assert edges(edit_image(photo, "blur 0.1")) < edges(edit_image(photo, "blur 0.01")) < edges(photo)
    plain = Image.new("RGB", SIZE, (128, 128, 128))
    assert pixels(edit_image(plain, "noise 15")).std() == pytest.approx(15, rel=0.05)


def test_overlays_leave_the_rest_of_the_image(photo):
    bordered = edit_image(photo, "border 0.1")
    assert same(bordered.crop((8, 8, 128, 88)), photo)
    captioned = edit_image(photo, "caption 0.25")
    places = (captioned.crop((0, top, 120, top + 80)) for top in (0, 20))
    assert any(same(place, photo) for place in places)
    changed = (pixels(edit_image(photo, "emoji 0.35")) != pixels(photo)).any(axis=2)
    assert 300 < changed.sum() < 28 * 28
    assert np.ptp(np.nonzero(changed)[0]) < 28


def test_captions_have_readable_text(photo):
    for seed in range(5):
        edited = pixels(edit_image(photo, "caption 0.25", seed=seed))
        bar = min(edited[:20], edited[-20:], key=lambda part: np.ptp(part, axis=2).sum())  # the bar has no colour
        assert bar.min() < 60
        assert bar.max() > 195
        plain = np.median(bar)
        assert 0.03 < (np.abs(bar - plain) > 100).mean() < 0.4
        assert (bar[:, [0, -1]] == plain).all()  # the text ends before the edge


def test_edits_with_one_seed_draw_independently(photo):
    assert not same(edit_image(photo, "noise 15"), edit_image(photo, "noise 15", seed=1))
    small, large = (edit_image(Image.new("RGB", SIZE, (128, 128, 128)), f"noise {x}") for x in (15, 30))
    correlation = np.corrcoef(pixels(small).ravel(), pixels(large).ravel())[0, 1]
    assert abs(correlation) < 0.1


def grey16():
    return Image.fromarray(np.linspace(0, 65535, 30 * 20).astype(np.uint16).reshape(20, 30))


def see_through():
    image = Image.new("RGBA", (30, 20), (255, 0, 0, 0))
    image.paste((0, 0, 255, 128), (5, 5, 15, 15))
    return image


def not_finite():
    return Image.fromarray(np.array([[np.nan, np.inf, -3, 9000]], np.float32))


def commented():
    image = Image.new("RGB", (30, 20), (9, 99, 200))
    image.info.update(comment="x" * 100_000, icc_profile=b"damaged", transparency=(9, 99, 200))
    return image


def upright():
    image = Image.linear_gradient("L").resize((30, 20))
    image.getexif()[0x0112] = 6
    return image


def palette():
    image = see_through().convert("RGB").quantize(4)
    image.info["transparency"] = 0
    return image


ODD = {
    "one pixel": lambda: Image.new("RGB", (1, 1), (9, 99, 200)),
    "bits": lambda: Image.new("1", (30, 20), 1),
    "grey": lambda: Image.linear_gradient("L").resize((30, 20)),
    "grey and alpha": lambda: see_through().convert("LA"),
    "premultiplied grey": lambda: see_through().convert("LA").convert("La"),
    "premultiplied": lambda: see_through().convert("RGBa"),
    "RGBA": see_through,
    "palette": palette,
    "CMYK": lambda: Image.new("CMYK", (30, 20), (200, 20, 0, 30)),
    "YCbCr": lambda: Image.new("YCbCr", (30, 20), (200, 20, 99)),
    "HSV": lambda: Image.new("HSV", (30, 20), (200, 20, 99)),
    "LAB": lambda: Image.new("LAB", (30, 20), (200, 20, 99)),
    "16 bits": grey16,
    "16 bits, big-endian": lambda: Image.frombytes("I;16B", (30, 20), bytes(range(200)) * 6),
    "integers": lambda: Image.fromarray(np.arange(600, dtype=np.int32).reshape(20, 30)),
    "signed integers": lambda: Image.fromarray(np.arange(-9, 591, dtype=np.int32).reshape(20, 30)),
    "floats": lambda: Image.linear_gradient("L").resize((30, 20)).convert("F"),
    "floats, not finite": not_finite,
    "constant": lambda: Image.new("F", (30, 20), -7),
    "large metadata": commented,
    "EXIF orientation": upright,
    "thin": lambda: Image.linear_gradient("L").resize((3, 2000)),
    "wide": lambda: Image.linear_gradient("L").resize((2000, 3)),
    "wider than WebP": lambda: Image.new("L", (20_000, 2), 99),
    "wider than JPEG": lambda: Image.new("L", (70_000, 1), 99),
}


@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
def test_every_valid_image_can_be_edited(make):
    before = make().tobytes()
    for edit in EDITS:
        for seed in (0, 1):
            image = make()
            edited = edit_image(image, edit, seed=seed)
            assert edited.mode == "RGB"
            assert min(edited.size) > 0
            assert image.tobytes() == before


@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
def test_an_image_is_converted_as_decode_does(make):
    assert np.abs(pixels(edit_image(make(), "mirror")) - pixels(ImageOps.mirror(decode(make())))).max() <= 1


@pytest.mark.parametrize("extreme", ["low", "high"])
def test_the_ends_of_each_range_work(extreme, photo):
    from kinbits.data.edits import _KINDS

    for name, kind in _KINDS.items():
        edit = Edit(name, getattr(kind, extreme))
        for image in (photo, ODD["one pixel"](), ODD["thin"]()):
            assert min(edit_image(image, edit).size) > 0


def test_torch_is_not_needed():
    code = "import sys; from kinbits.data import EDITS, edit_image; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_drawn_edits_are_few_differ_and_reach_every_kind():
    drawn = [draw_edits(np.random.default_rng(seed)) for seed in range(400)]
    assert {len(edits) for edits in drawn} == {1, 2, 3}
    assert all(len({edit.name for edit in edits}) == len(edits) for edits in drawn)
    assert {edit.name for edits in drawn for edit in edits} == {edit.name for edit in EDITS} - {"two", "three"}
    assert draw_edits(np.random.default_rng(7)) == drawn[7]


def test_the_range_of_a_drawn_edit_includes_the_standard_recipe():
    strengths = {}
    for seed in range(4000):
        for edit in draw_edits(np.random.default_rng(seed)):
            strengths.setdefault(edit.name, []).append(edit.strength)
    for edit in EDITS:
        if edit.name not in ("two", "three"):
            assert min(strengths[edit.name]) <= edit.strength <= max(strengths[edit.name])
