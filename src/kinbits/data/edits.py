"""Everyday edits of images: what people and programs do to a picture before it turns up again as a copy."""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.WebPImagePlugin import WebPImageFile

from kinbits._util import check_at_least, parse_float
from kinbits.data.decoding import decode
from kinbits.errors import UsageError, unknown_name

LANCZOS, BICUBIC, GaussianBlur = Image.Resampling.LANCZOS, Image.Resampling.BICUBIC, ImageFilter.GaussianBlur
BLACK, WHITE, GREY = (0, 0, 0), (255, 255, 255), (128, 128, 128)
CODECS = {"JPEG": (JpegImageFile, 65_500), "WEBP": (WebPImageFile, 16_383)}  # with the longest side that they accept
CAPTIONS = ("Best day of the year", "Look what I found!", "Monday again ...", "SALE: 20 % OFF", "When you see it")


@dataclass(frozen=True)
class Edit:
    """One edit of an image.

    ====================  ======================================================================
    name                  strength
    ====================  ======================================================================
    jpeg, webp            quality, rounded to an integer
    resize                new width and height as a share of the old
    crop                  share of the area that is kept, at a random place
    mirror, flip, grey    none; mirror swaps left and right, flip top and bottom
    rotate                angle in degrees, to a random side: exact at 90 and 180; others keep the
                          size, and fill the corners with black, white or a random colour
    brightness, contrast  factor; below 1 is darker, or has less contrast
    saturation            factor; below 1 is greyer
    gamma                 exponent of the values in [0, 1]; above 1 is darker
    blur                  sigma of the Gaussian as a share of the shorter side
    noise                 standard deviation of Gaussian noise, in levels of 0..255
    caption               height of a bar with text, above or below, as a share of the height
    border                width of the border as a share of the shorter side
    emoji                 diameter of a face at a random place, as a share of the shorter side
    screenshot            none; the image on the screen of a phone, 540 x 1080 pixels
    two, three            none; two or three edits of different names, drawn from `EDITS`
    ====================  ======================================================================

    Attributes:
        name: Name of the edit.
        strength: Its strength, as in the table; 0 for edits without one.

    Raises:
        UsageError: If the name is unknown, or the strength is outside the range of the edit.

    Example:
        >>> str(Edit("jpeg", 30)), str(Edit("mirror")), Edit.from_text("crop 0.4")
        ('jpeg 30', 'mirror', Edit(name='crop', strength=0.4))
    """

    name: str
    strength: float = 0.0

    def __post_init__(self) -> None:
        if self.name not in _KINDS:
            raise unknown_name("edit", self.name, _KINDS)
        low, high = _KINDS[self.name].low, _KINDS[self.name].high
        if not low <= self.strength <= high:
            remedy = f"give a number from {low:g} to {high:g}" if high else f"write '{self.name}' alone"
            raise UsageError(f"the edit '{self.name}' cannot have strength {self.strength:g}; {remedy}")

    def __str__(self) -> str:
        return f"{self.name} {float(self.strength)}".removesuffix(".0") if self.strength else self.name

    @classmethod
    def from_text(cls, text: str) -> Edit:
        """Parse the text of an edit: its name, and its strength if it has one.

        Args:
            text: For example ``"jpeg 30"`` or ``"mirror"``.

        Raises:
            UsageError: If the name is unknown, or the strength is not a number in the range of the edit.
        """
        name, strength = [*text.split(maxsplit=1), "", ""][:2]
        try:
            number = parse_float(strength or "0")
        except ValueError:
            raise UsageError(f"'{text}' is not an edit; write a name and one number, as in 'jpeg 30'") from None
        return cls(name, number)


def edit_image(image: Image.Image, edit: Edit | str, *, seed: int = 0) -> Image.Image:
    """Return an edited copy of an image.

    The image is first converted to 8-bit RGB as `decode` does: upright, on white where it is transparent, with 16-bit
    and float greys scaled. The result is the same for the same edit and seed.

    Args:
        image: An image of any mode and size; it is not changed.
        edit: The edit, or its text such as ``"crop 0.4"``.
        seed: Seed of the random draws, 0 or more. Edits with the same seed draw independently.

    Returns:
        A new RGB image without metadata. Its size can differ from the size of the input.

    Raises:
        UsageError: If the edit is unknown, its strength is out of range, or the seed is negative.
        DataError: If the image has no pixels.

    Example:
        >>> photo = Image.new("L", (40, 20))
        >>> edit_image(photo, "resize 0.5").size, edit_image(photo, "jpeg 30").mode
        ((20, 10), 'RGB')
    """
    edit = Edit.from_text(edit) if isinstance(edit, str) else edit
    check_at_least(0, seed=seed)
    rng = np.random.default_rng([seed, zlib.crc32(str(edit).encode())])
    rgb = decode(image).copy()
    rgb.info.clear()  # the encoders would write some of it
    edited = _apply(edit, rgb, rng)
    edited.info.clear()
    return edited


def draw_edits(rng: np.random.Generator) -> tuple[Edit, ...]:
    """Draw one to three edits of different names with random strengths, for training and for calibration.

    Half of the draws have one edit, 30 % two and 20 % three. Strengths are log-uniform in a range of each name that
    includes the strengths of `EDITS`. A quarter of the rotations are by 90 or 180 degrees.

    Args:
        rng: Source of the random numbers.
    """
    names = rng.choice(sorted(_DRAWN), rng.choice((1, 2, 3), p=(0.5, 0.3, 0.2)), replace=False)
    return tuple(_draw(str(name), rng) for name in names)


def _draw(name: str, rng: np.random.Generator) -> Edit:
    if name == "rotate" and rng.random() < 0.25:
        return Edit(name, float(rng.choice((90, 180))))
    low, high = _DRAWN[name] or (0.0, 0.0)
    return Edit(name, float(np.exp(rng.uniform(np.log(low), np.log(high)))) if high else 0.0)


@dataclass(frozen=True)
class _Kind:
    """The function of an edit, and the range of its strength; without a range it has no strength."""

    apply: Callable[[Image.Image, float, np.random.Generator], Image.Image]
    low: float = 0.0
    high: float = 0.0


def _apply(edit: Edit, image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return _KINDS[edit.name].apply(image, edit.strength, rng)


def _through(codec: str, image: Image.Image, quality: float) -> Image.Image:
    """Encode and decode; an image beyond the limit of the format is scaled down to it."""
    reader, side = CODECS[codec]
    image.thumbnail((side, side))
    file = io.BytesIO()
    image.save(file, codec, quality=round(quality))
    file.seek(0)
    return reader(file).convert("RGB")  # not Image.open, which limits the number of pixels


def _crop(image: Image.Image, area: float, rng: np.random.Generator) -> Image.Image:
    width, height = _times(image.size, math.sqrt(area))
    left, top = rng.integers((image.width - width + 1, image.height - height + 1)).tolist()
    return image.crop((left, top, left + width, top + height))


def _rotate(image: Image.Image, degrees: float, rng: np.random.Generator) -> Image.Image:
    degrees *= rng.choice((-1, 1))
    return image.rotate(degrees, BICUBIC, expand=degrees % 90 == 0, fillcolor=_plain(rng))


def _gamma(image: Image.Image, exponent: float, _: np.random.Generator) -> Image.Image:
    return image.point([round(255 * (level / 255) ** exponent) for level in range(256)] * 3)


def _noise(image: Image.Image, deviation: float, rng: np.random.Generator) -> Image.Image:
    noise = deviation * rng.standard_normal((image.height, image.width, 3), np.float32)
    return Image.fromarray(np.clip(np.rint(np.asarray(image) + noise), 0, 255).astype(np.uint8))


def _caption(image: Image.Image, share: float, rng: np.random.Generator) -> Image.Image:
    bar = max(1, round(share * image.height))
    paper, ink = (BLACK, WHITE) if rng.random() < 0.5 else (WHITE, BLACK)
    above = rng.random() < 0.5
    sheet = Image.new("RGB", (image.width, image.height + bar), paper)
    sheet.paste(image, (0, bar if above else 0))
    text = str(rng.choice(CAPTIONS))
    size = min(0.7 * bar, 0.92 * image.width / ImageFont.load_default(100).getlength(text) * 100)
    middle = (image.width / 2, bar / 2 if above else image.height + bar / 2)
    ImageDraw.Draw(sheet).text(middle, text, ink, ImageFont.load_default(max(1, size)), anchor="mm")
    return sheet


def _border(image: Image.Image, share: float, rng: np.random.Generator) -> Image.Image:
    return ImageOps.expand(image, max(1, round(share * min(image.size))), _plain(rng))


def _emoji(image: Image.Image, share: float, rng: np.random.Generator) -> Image.Image:
    face = Image.new("RGBA", (256, 256))
    draw, brown = ImageDraw.Draw(face), (92, 54, 10)
    draw.ellipse((4, 4, 251, 251), (255, 204, 51), brown, 8)
    draw.ellipse((72, 70, 104, 122), brown)
    draw.ellipse((152, 70, 184, 122), brown)
    draw.chord((56, 76, 200, 212), 10, 170, brown)
    side = max(1, round(share * min(image.size)))
    face = face.rotate(rng.uniform(-30, 30), BICUBIC).resize((side, side), LANCZOS)
    left, top = rng.integers((image.width - side + 1, image.height - side + 1)).tolist()
    image.paste(face, (left, top), face)
    return image


def _screenshot(image: Image.Image, _: float, rng: np.random.Generator) -> Image.Image:
    paper, ink = ((18, 18, 20), WHITE) if rng.random() < 0.5 else (WHITE, BLACK)
    width, height = 540, 1080
    screen = Image.new("RGB", (width, height), paper)
    draw = ImageDraw.Draw(screen)
    draw.text((32, 24), f"{rng.integers(24)}:{rng.integers(60):02}", ink, ImageFont.load_default(24), anchor="lm")
    for bar in range(4):  # the signal
        draw.rectangle((400 + 10 * bar, 28 - 5 * bar, 406 + 10 * bar, 33), ink)
    draw.rounded_rectangle((456, 14, 500, 34), 5, ink)  # the battery
    draw.ellipse((24, 64, 72, 112), GREY)  # the sender: a picture and a name
    draw.rounded_rectangle((88, 80, 88 + int(rng.integers(100, 300)), 96), 8, GREY)
    draw.rounded_rectangle((width // 3, height - 16, 2 * width // 3, height - 10), 3, ink)
    margin, top, bottom = int(rng.integers(30)), 128, height - 40
    scale = min((width - 2 * margin) / image.width, (bottom - top) / image.height)
    image = image.resize(_times(image.size, scale), LANCZOS)
    screen.paste(image, ((width - image.width) // 2, int(rng.integers(top, bottom - image.height + 1))))
    return screen


def _several(image: Image.Image, count: int, rng: np.random.Generator) -> Image.Image:
    """Apply edits of the standard recipe with different names."""
    names = sorted({edit.name for edit in EDITS} - {"two", "three"})
    for name in rng.choice(names, count, replace=False):
        choices = [edit for edit in EDITS if edit.name == name]
        image = _apply(choices[rng.integers(len(choices))], image, rng)
    return image


def _plain(rng: np.random.Generator) -> tuple[int, int, int]:
    """Draw black, white or a random colour."""
    red, green, blue = rng.integers(256, size=3).tolist()
    return (BLACK, WHITE, (red, green, blue))[rng.integers(3)]


def _times(size: tuple[int, int], factor: float) -> tuple[int, int]:
    """Scale a size to whole pixels, at least one."""
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


_KINDS = {
    "jpeg": _Kind(lambda image, quality, _: _through("JPEG", image, quality), 1, 100),
    "webp": _Kind(lambda image, quality, _: _through("WEBP", image, quality), 1, 100),
    "resize": _Kind(lambda image, scale, _: image.resize(_times(image.size, scale), LANCZOS), 0.01, 1),
    "crop": _Kind(_crop, 0.01, 1),
    "mirror": _Kind(lambda image, *_: ImageOps.mirror(image)),
    "flip": _Kind(lambda image, *_: ImageOps.flip(image)),
    "rotate": _Kind(_rotate, 0.1, 180),
    "brightness": _Kind(lambda image, factor, _: ImageEnhance.Brightness(image).enhance(factor), 0.05, 20),
    "contrast": _Kind(lambda image, factor, _: ImageEnhance.Contrast(image).enhance(factor), 0.05, 20),
    "gamma": _Kind(_gamma, 0.05, 20),
    "saturation": _Kind(lambda image, factor, _: ImageEnhance.Color(image).enhance(factor), 0.05, 20),
    "grey": _Kind(lambda image, *_: ImageOps.grayscale(image).convert("RGB")),
    "blur": _Kind(lambda image, share, _: image.filter(GaussianBlur(share * min(image.size))), 0.001, 1),
    "noise": _Kind(_noise, 0.1, 255),
    "caption": _Kind(_caption, 0.01, 1),
    "border": _Kind(_border, 0.01, 1),
    "emoji": _Kind(_emoji, 0.01, 1),
    "screenshot": _Kind(_screenshot),
    "two": _Kind(lambda image, _, rng: _several(image, 2, rng)),
    "three": _Kind(lambda image, _, rng: _several(image, 3, rng)),
}
_DRAWN: dict[str, tuple[float, float] | None] = {
    "jpeg": (15, 90),
    "webp": (15, 90),
    "resize": (0.15, 0.9),
    "crop": (0.3, 0.95),
    "mirror": None,
    "flip": None,
    "rotate": (1, 45),
    "brightness": (0.45, 1.9),
    "contrast": (0.45, 1.9),
    "gamma": (0.45, 2.1),
    "saturation": (0.05, 2.5),
    "grey": None,
    "blur": (0.003, 0.03),
    "noise": (4, 25),
    "caption": (0.06, 0.25),
    "border": (0.02, 0.15),
    "emoji": (0.15, 0.5),
    "screenshot": None,
}
# fmt: off
EDITS = tuple(map(Edit.from_text, (
    "jpeg 75", "jpeg 30", "webp 50", "resize 0.5", "resize 0.25", "crop 0.7", "crop 0.4", "mirror", "flip",
    "rotate 5", "rotate 25", "rotate 90", "brightness 0.6", "brightness 1.5", "contrast 0.6", "contrast 1.6",
    "gamma 0.6", "gamma 1.7", "saturation 0.3", "saturation 2", "grey", "blur 0.01", "noise 15",
    "caption 0.15", "border 0.08", "emoji 0.35", "screenshot", "two", "three",
)))
# fmt: on
"""The standard recipe for copies: each edit alone, then two and three of them combined."""
