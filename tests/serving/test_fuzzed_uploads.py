"""Thousands of damaged images: each upload gets an answer, and the service goes on.

``KINBITS_FUZZED_UPLOADS=10000`` sends more of them than the usual run does.
"""

import os
import struct
import zlib
from itertools import islice

import numpy as np
import pytest
from live import encoded, picture, problem

UPLOADS = int(os.environ.get("KINBITS_FUZZED_UPLOADS", "400"))
KINDS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")
SHARES = (0.3, 0.1, 0.03, 0.01)  # of a file's bytes that are changed


def fuzzed(seed=0):
    """Yield files of images, each damaged in one way: bytes changed, cut, doubled, removed, or of another kind."""
    rng = np.random.default_rng(seed)
    whole = [np.frombuffer(encoded(picture(number), kind), np.uint8) for number in range(4) for kind in KINDS]
    while True:
        file = whole[rng.integers(len(whole))].copy()
        start, stop = np.sort(rng.integers(0, len(file) + 1, 2))
        match rng.integers(6):
            case 0:  # few bytes, often of the header
                places = rng.integers(0, rng.choice([32, 128, len(file)]), rng.integers(1, 5)) % len(file)
                file[places] = rng.integers(0, 256, len(places))
            case 1:
                changed = rng.random(len(file)) < rng.choice(SHARES)
                file[changed] = rng.integers(0, 256, changed.sum())
            case 2:
                file = file[:start]
            case 3:
                file = np.concatenate([file[:stop], file[start:]])
            case 4:
                file = np.concatenate([file[:start], file[stop:]])
            case 5:
                other = whole[rng.integers(len(whole))]
                file = np.concatenate([file[:start], other[min(start, len(other)) :]])
        if len(file):
            yield file.tobytes()


@pytest.mark.slow
def test_damaged_images_are_answered_and_do_no_harm(service, http):
    good, headers = encoded(picture(3)), {"Content-Type": "image/png"}
    expected = http.post("/v1/encode", content=good, headers=headers).json()["codes"]
    statuses = {}
    for number, data in enumerate(islice(fuzzed(), UPLOADS)):
        answer = http.post("/v1/encode", content=data, headers=headers)
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
        if answer.status_code != 200:
            assert problem(answer, 422).startswith("the image"), f"upload {number}"
        if number % 50 == 49:  # still the same answers
            assert http.post("/v1/encode", content=good, headers=headers).json()["codes"] == expected
    assert set(statuses) == {200, 422}
    assert http.post("/v1/encode", content=good, headers=headers).json()["codes"] == expected
    decoders = service.service._decoders
    assert (len(decoders._workers), decoders._free.qsize()) == (1, 1)


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(*chunks, width=8, height=8):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


ZEROS = zlib.compress(bytes(100_000_000), 9)  # about 100 kB
ROWS = zlib.compress(bytes(8 * 25), 9)
BOMBS = {
    "pixels": png(chunk(b"IDAT", ZEROS)),
    "text": png(chunk(b"zTXt", b"note\0\0" + ZEROS), chunk(b"IDAT", ROWS)),
    "international text": png(chunk(b"iTXt", b"note\0\1\0\0\0" + ZEROS), chunk(b"IDAT", ROWS)),
    "colour profile": png(chunk(b"iCCP", b"note\0\0" + ZEROS), chunk(b"IDAT", ROWS)),
    "size": png(chunk(b"IDAT", ZEROS), width=2**31 - 1, height=2**31 - 1),
    "no pixels": png(chunk(b"IDAT", ROWS), width=0, height=0),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_file_that_would_become_large_is_answered_quickly(http, name):
    assert len(BOMBS[name]) < 200_000
    answer = http.post("/v1/encode", content=BOMBS[name], headers={"Content-Type": "image/png"}, timeout=5)
    assert answer.status_code in (200, 422), answer.text
    assert http.get("/healthz").status_code == 200


@pytest.mark.parametrize("text", ["[" * 150_000, '{"query":' * 20_000, '{"k":' + "9" * 150_000 + "}"])
def test_deep_and_long_json_is_refused(http, text):
    answer = http.post("/v1/search", content=text, headers={"Content-Type": "application/json"}, timeout=5)
    problem(answer, 400)


def test_a_compressed_body_is_not_unpacked(http):
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert "JSON" in problem(http.post("/v1/search", content=ZEROS, headers=headers), 400)
