"""Files of phones, cameras and printers: HEIC, AVIF, RAW, CMYK, 16 bits, profiles, EXIF orientation."""

import io
import struct
import subprocess
import sys
import threading
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, features
from raw_files import dng
from tiny import encoded, picture

from kinbits.data import BadImage, decode, decoding, heif, open_dataset, raw

pillow_heif = pytest.importorskip("pillow_heif")
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")


def quarters(size=(64, 48)):
    """An image whose quarters are red, green, blue and white, so that each turn of it differs."""
    width, height = size
    image = Image.new("RGB", size, (230, 230, 230))
    image.paste((220, 20, 20), (0, 0, width // 2, height // 2))
    image.paste((20, 200, 20), (width // 2, 0, width, height // 2))
    image.paste((20, 20, 220), (0, height // 2, width // 2, height))
    return image


def corners(image):
    width, height = image.size
    return [image.getpixel((x * (width - 1), y * (height - 1))) for y in (0, 1) for x in (0, 1)]


def assert_alike(image, wanted, most=40):
    assert image.mode == "RGB"
    assert image.size == wanted.size
    assert np.abs(np.array(corners(image)) - np.array(corners(wanted))).max() <= most


def heic(*images, **options):
    made = pillow_heif.from_pillow(images[0])
    for image in images[1:]:
        made.add_from_pillow(image)
    buffer = io.BytesIO()
    made.save(buffer, quality=90, **options)
    return buffer.getvalue()


def stored_turned(image, orientation):
    """The pixels that a file with this EXIF orientation holds of an upright image."""
    inverse = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's Transpose that undoes the orientation
    return image if orientation == 1 else image.transpose(inverse[orientation])


def with_orientation(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("name", ["photo.heic", "photo.jpg"])
def test_heic_is_read_whatever_its_name_is(tmp_path, name):
    (tmp_path / name).write_bytes(heic(quarters()))
    assert_alike(decode(tmp_path / name), quarters())
    assert_alike(decode(heic(quarters())), quarters())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_heic_is_turned_once(orientation):
    data = heic(stored_turned(quarters(), orientation), exif=with_orientation(orientation).tobytes())
    assert_alike(decode(data), quarters())


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "WEBP", "PNG", pytest.param("AVIF", marks=needs_avif)])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_other_formats_are_turned_once(kind, orientation):
    data = encoded(stored_turned(quarters(), orientation), kind, exif=with_orientation(orientation))
    assert_alike(decode(data), quarters())


def test_transparent_heic_is_laid_on_white():
    image = quarters().convert("RGBA")
    image.putalpha(0)
    assert min(map(min, corners(decode(heic(image))))) > 240


def test_heic_of_ten_bits_is_scaled_to_eight():
    ramp = np.tile(np.linspace(0, 65535, 64).astype(np.uint16)[None, :, None], (48, 1, 3))
    made = pillow_heif.from_bytes("RGB;16", (64, 48), ramp.tobytes())
    buffer = io.BytesIO()
    made.save(buffer, quality=-1, chroma=444)
    got = np.asarray(decode(buffer.getvalue()))[0, :, 0].astype(int)
    assert np.abs(got - np.linspace(0, 255, 64)).max() <= 4


def test_heic_with_too_many_pixels_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(BadImage, match="decompression bomb"):
        decode(heic(quarters()))


def test_heic_without_the_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    heif._reader.cache_clear()
    try:
        with pytest.raises(BadImage, match=r"pip install 'kinbits\[heif\]'"):
            decode(heic(quarters()))
    finally:
        heif._reader.cache_clear()


def test_nothing_is_registered_with_pillow_and_nothing_is_imported_before_it_is_needed(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(picture()))
    (tmp_path / "b.heic").write_bytes(heic(quarters()))
    code = """
        import sys
        from PIL import Image
        from kinbits.data import decode, open_dataset
        decode("a.png"), len(open_dataset("."))
        assert not {"pillow_heif", "rawpy"} & set(sys.modules)
        decode("b.heic")
        assert "pillow_heif" in sys.modules and "HEIF" not in Image.OPEN
    """
    lines = "\n".join(line.strip() for line in code.splitlines())
    done = subprocess.run([sys.executable, "-c", lines], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_heic_is_decoded_in_threads_that_start_at_once():
    heif._reader.cache_clear()
    images = [quarters().rotate(90 * n, expand=True) for n in range(4)]
    data, found = [heic(image) for image in images], []
    barrier = threading.Barrier(4)

    def work(number):
        barrier.wait()
        found.extend((n % 4, decode(data[n % 4])) for n in range(number, number + 8))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 32
    for number, image in found:
        assert_alike(image, images[number])


@needs_avif
def test_avif_is_read_by_pillow():
    assert_alike(decode(encoded(quarters(), "AVIF", quality=90)), quarters())


def jpeg(image):
    return encoded(image, "JPEG", quality=95)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_preview_of_a_raw_file_is_turned(tmp_path, orientation):
    pytest.importorskip("rawpy")
    stored = stored_turned(quarters((600, 400)), orientation)
    (tmp_path / "a.dng").write_bytes(dng((640, 480), preview=jpeg(stored), orientation=orientation))
    assert_alike(decode(tmp_path / "a.dng"), quarters((600, 400)))
    assert_alike(decode((tmp_path / "a.dng").read_bytes()), quarters((600, 400)))


@pytest.mark.parametrize(("orientation", "size"), [(1, (160, 144)), (6, (144, 160))])
def test_a_raw_file_without_a_preview_is_developed_at_half_its_size(orientation, size):
    pytest.importorskip("rawpy")
    image = decode(dng((320, 288), orientation=orientation))
    red, green, blue = image.getpixel((50, 50))
    assert image.size == size
    assert red > blue > green  # the camera's matrix is neutral: 0.8, 0.4 and 0.2, of which LibRaw makes these


def test_a_raw_file_of_a_sensor_without_colours_is_grey():
    pytest.importorskip("rawpy")
    image = decode(dng(grey=True, colour=(0.5, 0.5, 0.5)))
    assert image.mode == "RGB"
    assert len(set(image.getpixel((50, 50)))) == 1


def test_a_preview_that_is_much_too_small_is_not_used():
    pytest.importorskip("rawpy")
    assert decode(dng((640, 576), preview=jpeg(quarters((160, 120))))).size == (320, 288)


def test_damaged_and_large_raw_files_are_refused(tmp_path, monkeypatch):
    pytest.importorskip("rawpy")
    (tmp_path / "a.dng").write_bytes(dng()[:1000])
    with pytest.raises(BadImage):
        decode(tmp_path / "a.dng")
    monkeypatch.setattr(decoding, "MAX_PIXELS", 1000)
    with pytest.raises(BadImage, match="more than the limit"):
        decode(dng())


def test_raw_without_the_package_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    monkeypatch.setattr(decoding, "has_raw", lambda: False)
    (tmp_path / "a.dng").write_bytes(dng())
    with pytest.raises(BadImage, match=r"pip install 'kinbits\[raw\]'"):
        decode(tmp_path / "a.dng")
    assert raw.MISSING.endswith("'kinbits[raw]'")


def without_adobe_marker(data):
    """The same JPEG without its APP14 marker, as some scanners write CMYK."""
    start = data.index(b"\xff\xee")
    return data[:start] + data[start + 2 + int.from_bytes(data[start + 2 : start + 4], "big") :]


def test_cmyk_jpeg_of_adobe_is_inverted_and_read_so():
    flat = quarters().convert("CMYK")
    data = encoded(flat, "JPEG", quality=95)
    assert b"Adobe" in data  # Pillow writes inverted CMYK with this marker, as Photoshop does
    assert_alike(decode(data), quarters(), most=20)


def test_cmyk_jpeg_without_the_marker_and_cmyk_tiff():
    flat = quarters().convert("CMYK")
    assert_alike(decode(encoded(flat, "TIFF")), quarters(), most=2)
    assert_alike(decode(encoded(flat, "TIFF", compression="tiff_lzw")), quarters(), most=2)
    assert decode(without_adobe_marker(encoded(flat, "JPEG", quality=95))).mode == "RGB"


def png16(pixels):
    """A PNG of 16 bits: uint16 (h, w), (h, w, 2), (h, w, 3) or (h, w, 4); Pillow writes grey ones only."""
    height, width = pixels.shape[:2]
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[1 if pixels.ndim == 2 else pixels.shape[2]]

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff16(pixels, order="<"):
    """An uncompressed TIFF of 16 bits: uint16 (h, w) or (h, w, 3)."""
    height, width = pixels.shape[:2]
    samples = 1 if pixels.ndim == 2 else 3
    body = pixels.astype(f"{order}u2").tobytes()
    bits = 8 + len(body)
    tags = [
        (256, 3, 1, width),
        (257, 3, 1, height),
        (258, 3, samples, 16 if samples == 1 else bits),
        (259, 3, 1, 1),
        (262, 3, 1, 1 if samples == 1 else 2),
        (273, 4, 1, 8),
        (277, 3, 1, samples),
        (278, 3, 1, height),
        (279, 4, 1, len(body)),
    ]
    extra = struct.pack(f"{order}3H", 16, 16, 16)

    def value(kind, count, number):
        short = kind == 3 and count == 1
        return struct.pack(f"{order}HH", number, 0) if short else struct.pack(f"{order}I", number)

    table = b"".join(struct.pack(f"{order}HHI", tag, kind, n) + value(kind, n, number) for tag, kind, n, number in tags)
    start = bits + len(extra)
    head = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, start)
    return head + body + extra + struct.pack(f"{order}H", len(tags)) + table + b"\0" * 4


RAMP = np.linspace(0, 65535, 256).reshape(16, 16).astype(np.uint16)
GREY = np.rint(RAMP / 257).astype(int)
COLOUR = np.stack([RAMP, RAMP[::-1], RAMP.T], axis=2)


@pytest.mark.parametrize("data", [png16(RAMP), tiff16(RAMP), tiff16(RAMP, ">")], ids=["png", "tiff", "tiff-big"])
def test_grey_of_16_bits(data):
    assert np.abs(np.asarray(decode(data)).astype(int) - GREY[:, :, None]).max() <= 1


@pytest.mark.parametrize("data", [png16(COLOUR), tiff16(COLOUR), tiff16(COLOUR, ">")], ids=["png", "tiff", "tiff-big"])
def test_colour_of_16_bits(data):
    wanted = np.stack([GREY, GREY[::-1], GREY.T], axis=2)
    assert np.abs(np.asarray(decode(data)).astype(int) - wanted).max() <= 1


@pytest.mark.parametrize("channels", [2, 4])
def test_16_bits_with_transparency(channels):
    pixels = np.zeros((4, 4, channels), np.uint16)
    pixels[:, :2, -1] = 65535  # the left half is black, the right half cannot be seen
    got = np.asarray(decode(png16(pixels)))
    assert got[:, :2].max() == 0
    assert got[:, 2:].min() == 255


@pytest.mark.parametrize("kind", ["GIF", "PNG"])
def test_a_palette_with_transparency_is_laid_on_white(kind):
    image = Image.new("P", (8, 8), 0)
    image.putpalette([250, 10, 10, 10, 10, 250])
    image.paste(1, (0, 0, 4, 8))
    got = np.asarray(decode(encoded(image, kind, transparency=0))).astype(int)
    assert np.abs(got[:, 4:] - 255).max() <= 2
    assert np.abs(got[:, :4] - [10, 10, 250]).max() <= 12


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", pytest.param("AVIF", marks=needs_avif), "HEIC"])
@pytest.mark.parametrize("profile", ["sRGB", "LAB", "damaged"])
def test_a_profile_changes_no_pixel_and_a_damaged_one_costs_no_picture(kind, profile):
    data = (
        b"no profile" if profile == "damaged" else ImageCms.ImageCmsProfile(ImageCms.createProfile(profile)).tobytes()
    )
    image = quarters()
    if kind == "HEIC":
        image.info["icc_profile"] = data
        got = decode(heic(image))
    else:
        got = decode(encoded(image, kind, icc_profile=data))
    assert_alike(got, quarters())


@pytest.mark.parametrize(("name", "extra"), [("a.heic", "heif"), ("a.nef", "raw")])
def test_a_missing_package_is_named_when_the_folder_is_opened(tmp_path, monkeypatch, name, extra):
    for file in ("b.png", name):
        (tmp_path / file).write_bytes(encoded(picture(), "PNG"))
    monkeypatch.setattr(heif, "has_heif", lambda: False)
    monkeypatch.setattr(raw, "has_raw", lambda: False)
    for source in (tmp_path, [tmp_path / "b.png", tmp_path / name]):
        data = open_dataset(source)
        assert len(data) == 1
        assert f"kinbits[{extra}]" in data.skipped[0].reason
