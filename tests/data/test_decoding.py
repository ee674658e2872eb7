import os
import resource
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image
from tiny import encoded, picture

from kinbits.data import BadImage, decode, decoding
from kinbits.data.decoding import MAX_PIXELS


def pixels(source):
    image = decode(source)
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def grey_ramp(dtype, top):
    return np.linspace(0, top, 256).reshape(16, 16).astype(dtype)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "TGA"])
def test_lossless_formats_keep_every_pixel(kind):
    assert (pixels(encoded(picture(), kind)) == np.asarray(picture())).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_turns_the_picture_upright(orientation):
    upright = picture(size=(16, 8))
    inverse = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's Transpose that undoes the orientation
    stored = upright if orientation == 1 else upright.transpose(inverse[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert (pixels(encoded(stored, "PNG", exif=exif)) == np.asarray(upright)).all()


def test_damaged_exif_does_not_cost_the_picture():
    data = encoded(picture(), "JPEG", exif=b"Exif\0\0" + b"\xff" * 40)
    assert decode(data).size == (12, 8)


def test_palette_without_transparency():
    palette = picture().quantize(16)
    assert (pixels(encoded(palette)) == np.asarray(palette.convert("RGB"))).all()


def test_transparent_palette_entry_becomes_white():
    image = Image.new("P", (4, 4), 0)
    image.putpalette([10, 20, 30, 200, 0, 0])
    image.putpixel((0, 0), 1)
    got = pixels(encoded(image, "PNG", transparency=0))
    assert got[0, 0].tolist() == [200, 0, 0]
    assert (got[1:] == 255).all()


def test_palette_with_partial_transparency_is_blended():
    image = Image.new("P", (2, 2), 0)
    image.putpalette([0, 0, 0])
    assert abs(pixels(encoded(image, "PNG", transparency=bytes([128]))) - 127).max() <= 1


def test_cmyk_jpeg_looks_like_its_rgb():
    flat = Image.new("RGB", (16, 16), (200, 40, 90))
    got = pixels(encoded(flat.convert("CMYK"), "JPEG", quality=95))
    assert np.abs(got - [200, 40, 90]).max() <= 12


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_is_laid_on_white(mode):
    image = Image.new(mode, (2, 1), (0, 255) if mode == "LA" else (0, 0, 0, 255))
    image.putpixel((1, 0), (0, 0) if mode == "LA" else (0, 0, 0, 0))
    got = pixels(encoded(image))
    assert got[0, 0].tolist() == [0, 0, 0]
    assert got[0, 1].tolist() == [255, 255, 255]


def test_rgb_png_with_a_transparent_colour():
    image = Image.new("RGB", (2, 1), (1, 2, 3))
    image.putpixel((1, 0), (9, 9, 9))
    got = pixels(encoded(image, "PNG", transparency=(1, 2, 3)))
    assert got[0].tolist() == [[255] * 3, [9] * 3]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_not_clipped(kind):
    got = pixels(encoded(Image.fromarray(grey_ramp(np.uint16, 65535)), kind))
    assert np.abs(got[:, :, 0] - grey_ramp(np.uint8, 255)).max() <= 1
    assert len(np.unique(got)) > 200


def test_1_bit():
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    assert pixels(encoded(image))[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.0, 255.0), (-40.0, 3000.0)])
def test_float_tiff_spans_the_whole_range(low, high):
    array = np.linspace(low, high, 256).reshape(16, 16).astype(np.float32)
    got = pixels(encoded(Image.fromarray(array), "TIFF"))
    assert np.abs(got[:, :, 0] - grey_ramp(np.uint8, 255)).max() <= 1


@pytest.mark.parametrize("top", [255, 65535, 10**6])
def test_integer_image_is_scaled_by_the_range_that_holds_it(top):
    got = pixels(Image.fromarray(grey_ramp(np.int32, top)))
    assert np.abs(got[:, :, 0] - grey_ramp(np.uint8, 255)).max() <= 1


def test_not_a_number_does_not_spoil_the_other_pixels():
    array = np.array([[0.0, 1.0], [np.nan, np.inf]])
    assert pixels(array)[0, :, 0].tolist() == [0, 255]
    with pytest.raises(BadImage, match="finite"):
        decode(np.full((2, 2), np.nan))


def test_lab_tiff_is_converted():
    white = Image.merge("LAB", [Image.new("L", (2, 2), v) for v in (255, 128, 128)])  # neutral is 128
    assert pixels(encoded(white, "TIFF")).min() > 245


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame_of_an_animation(kind):
    frames = [Image.new("RGB", (6, 4), colour) for colour in ((250, 0, 0), (0, 250, 0))]
    extra = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **extra)
    assert pixels(data)[0, 0].tolist() == [250, 0, 0]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_truncated_files_are_refused_with_a_reason(kind, share):
    data = encoded(picture(size=(64, 64)), kind)
    with pytest.raises(BadImage) as caught:
        decode(data[: int(len(data) * share)])
    assert caught.value.reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "empty"), (b"hello, no image", "not an image"), (b"\x89PNG\r\n\x1a\n", "image")],
)
def test_what_is_no_image_says_so(data, reason):
    with pytest.raises(BadImage, match=reason):
        decode(data)


def mode_or_reason(data):
    try:
        return decode(data).mode
    except BadImage as error:
        return error.reason


def test_damaged_bytes_never_raise_anything_else():
    rng = np.random.default_rng(3)
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"):
        data = np.frombuffer(encoded(picture(size=(32, 32)), kind), np.uint8)
        for _ in range(60):
            damaged = data.copy()
            damaged[rng.integers(0, len(data), 8)] = rng.integers(0, 256, 8)
            assert mode_or_reason(damaged.tobytes())


def bomb(width, height):
    """A PNG whose header promises width x height pixels; the data are a few bytes."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(16384, 8193), (20000, 20000), (2**20, 2**20)])
def test_decompression_bombs_are_refused_from_the_header(size):
    assert size[0] * size[1] > MAX_PIXELS
    with pytest.raises(BadImage, match="decompression bomb"):
        decode(bomb(*size))


def test_bombs_are_refused_when_pillows_own_guard_is_off(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(BadImage, match="decompression bomb"):
        decode(bomb(20000, 20000))


def test_large_photos_below_the_limit_raise_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(BadImage, match="truncated"):  # the header passed; this file has no pixels behind it
            decode(bomb(11648, 8736))


def test_postscript_is_never_run():
    with pytest.raises(BadImage, match="not an image"):
        decode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")


def test_paths_and_missing_files(tmp_path):
    picture().save(tmp_path / "a.png")
    assert decode(tmp_path / "a.png").size == decode(str(tmp_path / "a.png")).size == (12, 8)
    with pytest.raises(BadImage, match="missing"):
        decode(tmp_path / "b.png")
    with pytest.raises(BadImage, match="cannot be read"):
        decode(tmp_path)


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 1), (5, 6, 3), (5, 6, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.bool_, np.float32])
def test_arrays(shape, dtype):
    image = decode(np.ones(shape, dtype))
    assert (image.size, image.mode) == ((6, 5), "RGB")


def test_unusable_arrays_say_what_is_allowed():
    with pytest.raises(BadImage, match=r"\(h, w, 3\)"):
        decode(np.zeros((2, 3, 4, 5), np.uint8))
    with pytest.raises(BadImage, match="no pixels"):
        decode(np.zeros((0, 3), np.uint8))
    with pytest.raises(BadImage, match="dtype"):
        decode(np.zeros((2, 2), complex))


def test_decoding_in_threads_gives_the_same_pixels():
    data = [encoded(picture(seed)) for seed in range(8)]
    wrong = []

    def work():
        for _ in range(20):
            wrong.extend(s for s, d in enumerate(data) if (pixels(d) != np.asarray(picture(s))).any())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("mode", ["F", "I", "I;16", "RGBA", "LA", "P"])
def test_conversion_by_blocks_gives_the_pixels_of_conversion_at_once(mode, monkeypatch):
    rng = np.random.default_rng(1)
    array = rng.integers(0, 300, (37, 23)).astype(
        {"F": np.float32, "I": np.int32, "I;16": np.uint16}.get(mode, np.uint8)
    )
    image = Image.fromarray(array)
    if mode == "P":
        image = picture().quantize(9)
        image.info["transparency"] = 2
    elif mode in ("RGBA", "LA"):
        image = Image.fromarray(rng.integers(0, 256, (37, 23, 4), np.uint8)).convert(mode)
    at_once = pixels(image.copy())
    monkeypatch.setattr(decoding, "_BLOCK", 50)
    assert (pixels(image.copy()) == at_once).all()
    if mode in ("F", "I", "I;16"):
        assert (pixels(array) == at_once).all()


def test_the_range_of_numbers_is_that_of_the_whole_image(monkeypatch):
    monkeypatch.setattr(decoding, "_BLOCK", 1)
    array = np.array([[0.0, 0.0], [0.5, np.nan], [1000.0, -1000.0], [np.inf, 0.0]], np.float32)
    assert pixels(array)[:, :, 0].tolist() == [[128, 128], [128, 0], [255, 0], [0, 128]]
    huge = np.array([[-1.7e308], [0], [1.7e308]])
    assert pixels(huge)[:, 0, 0].tolist() == [0, 128, 255]


def peak_growth(path):
    """Return by how many bytes the largest memory of a process grows when it decodes a file."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            decode(path)
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            os.write(writes, str(grown * 1024).encode())
        finally:
            os._exit(0)
    os.close(writes)
    with open(reads, "rb") as pipe:
        grown = int(pipe.read())
    os.waitpid(child, 0)
    return grown


@pytest.mark.parametrize("mode", ["F", "I", "I;16", "RGBA", "LA", "CMYK"])
def test_conversion_takes_little_more_memory_than_both_images(tmp_path, mode):
    side = 3000
    kind, extra = ("PNG", {}) if mode in ("RGBA", "LA") else ("TIFF", {"compression": "tiff_adobe_deflate"})
    Image.new(mode, (side, side)).save(tmp_path / "bomb", kind, **extra)
    assert (tmp_path / "bomb").stat().st_size < 100_000
    blocks = 60 * 2**20  # bytes; before, some modes took 28 bytes a pixel instead of 8
    assert peak_growth(tmp_path / "bomb") < 8 * side**2 + blocks


@pytest.mark.parametrize("kind", ["WEBP", "JPEG2000"])
def test_formats_whose_decoders_take_more_memory_have_half_the_limit(kind, monkeypatch):
    data = encoded(picture(size=(16, 16)), kind)
    monkeypatch.setattr(decoding, "MAX_PIXELS", 16 * 16 * 2)
    assert decode(data).size == (16, 16)
    monkeypatch.setattr(decoding, "MAX_PIXELS", 16 * 16 * 2 - 2)
    with pytest.raises(BadImage, match="more than the limit of 255"):
        decode(data)


def test_a_png_that_hides_a_gigabyte_in_its_texts_is_refused():
    body = b"a\0\0" + zlib.compress(bytes(2**26), 9)
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    plain = encoded(picture())
    with pytest.raises(BadImage, match="too large"):
        decode(plain[:33] + chunk + plain[33:])


def test_a_file_is_read_to_its_size_at_opening_and_a_large_one_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(picture()))
    monkeypatch.setattr(decoding, "MAX_FILE_BYTES", path.stat().st_size)
    assert decode(path).size == (12, 8)
    monkeypatch.setattr(decoding, "MAX_FILE_BYTES", path.stat().st_size - 1)
    with pytest.raises(BadImage, match="larger than the limit"):
        decode(path)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="Linux only")
def test_a_file_without_a_size_is_empty():
    with pytest.raises(BadImage, match="empty"):
        decode("/proc/self/status")


def test_a_pipe_is_no_image(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(BadImage, match="not a regular file"):
        decode(tmp_path / "pipe.png")
