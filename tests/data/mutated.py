"""Damaged image files, drawn by seed: flips, truncations, splices and edits of headers, in every format we can write.

As a script, it decodes the files of some seeds and prints a line before and after each:

    python mutated.py FIRST STOP STEP SECONDS BYTES
"""

import faulthandler
import io
import re
import resource
import struct
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, features

from kinbits.data import BadImage, decode
from kinbits.data.frames import frame_numbers

_EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_HEADER = 96
_TIFFS = (None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "tiff_deflate", "zstd", "lzma", "webp")


def peak_bytes():
    """Return the largest resident memory of this program; the one of getrusage may be that of its parent."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:  # not Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


def _photo(mode="RGB", size=(40, 28), seed=0):
    rng = np.random.default_rng(seed)
    ramp = np.add.outer(np.arange(size[1]) * 3, np.arange(size[0]) * 4)[:, :, None] + [0, 60, 120]
    pixels = np.clip(ramp + rng.integers(-8, 9, ramp.shape), 0, 255).astype(np.uint8)
    if mode == "I;16":
        return Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257)
    return Image.fromarray(pixels).convert(mode)


def _saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@cache
def whole_files():
    """Return name -> bytes of undamaged files: every format and mode that Pillow writes here, HEIC, AVIF and DNG."""
    Image.init()
    found = {}
    for kind in sorted(set(Image.SAVE) - {"HEIF", "PDF", "EPS", "PALM"}):
        for mode in ("RGB", "L", "P", "RGBA", "LA", "CMYK", "1", "I;16"):
            try:
                found[f"{kind} {mode}"] = _saved(_photo(mode), kind)
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                continue  # the format has no such mode, or needs a handler of others
    found |= _variants() | _animations() | _heifs() | _raws()
    return {name: data for name, data in found.items() if data}


def _variants():
    exif = Image.Exif()
    exif[0x0112] = 6
    found = {
        "JPEG progressive": _saved(_photo(), "JPEG", progressive=True, exif=exif),
        "PNG interlaced profile": _saved(_photo(), "PNG", icc_profile=b"no profile", exif=exif),
        "WEBP lossless": _saved(_photo("RGBA"), "WEBP", lossless=True),
        "PDF": _saved(_photo(), "PDF"),
    }
    for compression in _TIFFS:
        try:
            found[f"TIFF {compression}"] = _saved(_photo(), "TIFF", compression=compression, exif=exif)
        except (OSError, KeyError, RuntimeError, ValueError):
            continue
    found["TIFF group4"] = _saved(_photo("1"), "TIFF", compression="group4")
    return found


def _animations():
    frames = [_photo(seed=seed) for seed in range(3)]
    kinds = [kind for kind in ("GIF", "PNG", "WEBP", "TIFF", "MPO", "AVIF") if kind in Image.SAVE_ALL]
    return {
        f"{kind} frames": _saved(frames[0], kind, save_all=True, append_images=frames[1:])
        for kind in kinds
        if kind != "AVIF" or features.check("avif")
    }


def _heifs():
    try:
        import pillow_heif
    except ImportError:
        return {}
    found = {}
    for name, images in {
        "one": [_photo(size=(64, 48))],
        "alpha": [_photo("RGBA", (64, 48))],
        "grey": [_photo("L", (64, 48))],
        "burst": [_photo(size=(64, 48), seed=seed) for seed in range(3)],
    }.items():
        made = pillow_heif.from_pillow(images[0])
        for image in images[1:]:
            made.add_from_pillow(image)
        buffer = io.BytesIO()
        made.save(buffer, quality=60)
        found[f"HEIC {name}"] = buffer.getvalue()
    return found


def _raws():
    from raw_files import dng

    return {"DNG": dng(), "DNG preview": dng(preview=_saved(_photo(size=(300, 280)), "JPEG", quality=30))}


def mutated(seed):
    """Return the damaged file of a seed, and what it was made from."""
    rng = np.random.default_rng([7, seed])
    names = list(whole_files())
    name = names[seed % len(names)]
    data = bytearray(whole_files()[name])
    for _ in range(int(rng.integers(1, 4))):
        damage = _DAMAGES[int(rng.integers(len(_DAMAGES)))]
        data = damage(data, rng) if data else data
    return name, bytes(data)


def _flip(data, rng):
    for place in rng.integers(0, len(data), int(rng.integers(1, 17))):
        data[place] = int(rng.integers(256))
    return data


def _truncate(data, rng):
    return data[: int(rng.integers(len(data)))]


def _splice(data, rng):
    others = list(whole_files().values())
    other = others[int(rng.integers(len(others)))]
    return data[: int(rng.integers(len(data)))] + other[int(rng.integers(len(other))) :]


def _edit_header(data, rng):
    """Write an extreme number of 1, 2 or 4 bytes near the start, where sizes and counts are."""
    value, form = int(rng.choice(_EXTREMES)), "BHI"[int(rng.integers(3))]
    packed = struct.pack("<>"[int(rng.integers(2))] + form, value & (2 ** (8 * struct.calcsize(form)) - 1))
    place = int(rng.integers(min(len(data), _HEADER)))
    data[place : place + len(packed)] = packed
    return data


def _repeat(data, rng):
    first, last = sorted(rng.integers(0, len(data), 2).tolist())
    return data[:last] + data[first:last] * int(rng.integers(1, 4)) + data[last:]


def _drop(data, rng):
    first, last = sorted(rng.integers(0, len(data), 2).tolist())
    return data[:first] + data[last:]


_DAMAGES = (_flip, _flip, _truncate, _splice, _edit_header, _edit_header, _edit_header, _repeat, _drop)


def outcome(data, path):
    """Decode a file as a collection would, by its first frame and by frames; returns what became of it."""
    path.write_bytes(data)
    numbers = frame_numbers(path)
    found = [_decoded(path, None)]
    if len(numbers) > 1:
        found.append(_decoded(path, numbers[min(len(numbers), 9) - 1]))
    return "read" if found[0] == "read" else "refused"


def _decoded(path, frame):
    try:
        image = decode(path, frame=frame)
    except BadImage as error:
        reason = error.reason
    else:
        assert image.mode == "RGB"
        assert min(image.size) > 0
        image.getpixel((0, 0))
        return "read"
    assert reason
    assert "\n" not in reason
    return "refused"


def main(first, stop, step, seconds, most):
    whole_files()
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(first, stop, step):
            name, data = mutated(seed)
            print("start", seed, name, flush=True)
            faulthandler.dump_traceback_later(seconds, exit=True)
            began = time.process_time()
            ended = outcome(data, Path(folder, "file"))
            faulthandler.cancel_dump_traceback_later()
            peak = peak_bytes()
            print("end", seed, ended, f"{time.process_time() - began:.3f}", peak, flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
