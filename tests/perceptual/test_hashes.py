"""Perceptual hashes equal those of the libraries that others compute them with, bit for bit, and need no torch."""

import subprocess
import sys
import textwrap

import imagehash
import numpy as np
import pdqhash
import pytest
from hash_pictures import flat, picture
from PIL import Image

from kinbits import DataError, HashModel, hamming
from kinbits.perceptual import HASHES, hash_of_fingerprint, pdq, phash

KNOWN = "b415a4b580d535f60ff5c4944fdc6cdc4ff8eeaccec8dcac79489b85e8281150"
SIZES = [(160, 120), (33, 257), (8, 8), (1, 1), (640, 480)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_phash_is_that_of_imagehash(size, mode):
    for seed in range(20):
        image = picture(seed, size).convert(mode)
        assert hamming.to_hex(phash(image)[None]) == [str(imagehash.phash(image))]


@pytest.mark.parametrize("grey", [0, 1, 77, 255])
def test_phash_of_one_grey_is_that_of_imagehash(grey):
    image = Image.new("RGB", (50, 40), (grey,) * 3)  # all frequencies but the first are 0: rounding must be the same
    assert hamming.to_hex(phash(image)[None]) == [str(imagehash.phash(image))]


@pytest.mark.parametrize("size", SIZES)
def test_pdq_is_that_of_pdqhash(size):
    for seed in range(5):
        image = picture(seed, size)
        bits, quality = pdqhash.compute(np.asarray(image))
        code, rated = pdq(image)
        assert (hamming.unpack(code[None], 256)[0] == bits).all()
        assert rated == quality


def test_pdq_of_a_known_image():
    """The hash of this image by `threatexchange hash photo`."""
    y, x = np.mgrid[:100, :150]
    image = np.stack([(3 * x + 2 * y) % 256, (x * y) % 256, (5 * y) % 256], axis=2).astype(np.uint8)
    code, quality = pdq(image)
    assert (hamming.to_hex(code[None])[0], quality) == (KNOWN, 100)


def test_quality_tells_edges_from_flat_areas():
    assert pdq(picture())[1] >= 50
    assert pdq(flat())[1] == 0


def test_pdq_reads_the_image_at_its_own_size():
    image = picture(size=(600, 400))
    small = image.resize((64, 64))
    assert (pdq(image)[0] == hamming.pack(np.asarray(pdqhash.compute(np.asarray(image))[0], bool)[None])[0]).all()
    assert 0 < hamming.paired_distances(pdq(image)[0][None], pdq(small)[0][None])[0] <= 31


def test_the_orientation_of_a_photo_is_applied(tmp_path):
    turned = picture().transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    for hashed in (phash, lambda image: pdq(image)[0]):
        assert (hashed(tmp_path / "turned.png") == hashed(picture())).all()


def test_what_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "no.png").write_bytes(b"no image")
    for hashed in (pdq, phash):
        with pytest.raises(DataError, match="not an image"):
            hashed(tmp_path / "no.png")


@pytest.mark.parametrize("name", HASHES)
def test_the_stated_fingerprint_is_that_of_the_model(name):
    """An index of hashes finds its model by it, so it must never change."""
    model = HashModel.from_pretrained(name)
    assert model.fingerprint == HASHES[name].fingerprint
    assert hash_of_fingerprint(model.fingerprint) is HASHES[name]
    assert model.bits == HASHES[name].bits


def test_other_fingerprints_are_of_no_hash():
    assert hash_of_fingerprint(None) is None
    assert hash_of_fingerprint("") is None


def test_hashing_loads_no_torch():
    code = """
        import sys, numpy as np
        from kinbits.perceptual import pdq, phash
        image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        assert pdq(image)[0].shape == (32,) and phash(image).shape == (8,)
        assert "torch" not in sys.modules
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
