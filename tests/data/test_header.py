"""What headers say: upright sizes and times."""

import io

import pytest
from PIL import ExifTags, Image

from kinbits.data import BadImage, read_header


def encoded(size, exif=None, kind="JPEG"):
    file = io.BytesIO()
    Image.new("RGB", size).save(file, kind, **({} if exif is None else {"exif": exif}))
    return file.getvalue()


def exif_of(**values):
    made = Image.Exif()
    for name, value in values.items():
        inner = name.startswith(("DateTimeO", "Subsec"))
        (made.get_ifd(ExifTags.IFD.Exif) if inner else made)[ExifTags.Base[name]] = value
    return made


def test_the_size_is_upright():
    assert read_header(encoded((40, 20))) == read_header(encoded((40, 20), kind="PNG"))
    found = read_header(encoded((40, 20), exif_of(Orientation=6)))
    assert (found.width, found.height) == (20, 40)


def test_the_time_is_read_with_its_fraction():
    found = read_header(encoded((4, 4), exif_of(DateTimeOriginal="2024:05:06 07:08:09", SubsecTimeOriginal="25")))
    assert found.taken == 1714979289.25
    assert read_header(encoded((4, 4), exif_of(DateTime="2024:05:06 07:08:09"))).taken == 1714979289.0


@pytest.mark.parametrize("text", ["0000:00:00 00:00:00", "yesterday", ""])
def test_a_camera_without_a_clock_has_no_time(text):
    assert read_header(encoded((4, 4), exif_of(DateTime=text))).taken is None


def test_what_is_no_image_is_refused():
    with pytest.raises(BadImage, match="not an image"):
        read_header(b"no image at all")
