"""Frames of animations and pages as items, with ids that stay."""

import io
import time

import numpy as np
import pytest
from PIL import Image, features
from tiny import encoded, picture

from kinbits.data import BadImage, CroppedItems, Dataset, decode, frames, open_dataset, readable
from kinbits.errors import KinbitsError, UsageError

COLOURS = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0)]


def animation(kind, count=3, size=(12, 8)):
    shown = [Image.new("RGB", size, COLOURS[n % 4]) for n in range(count)]
    options = {"lossless": True} if kind == "WEBP" else {}
    return encoded(shown[0], kind, save_all=True, append_images=shown[1:], **options)


def colour(image):
    return min(COLOURS, key=lambda one: np.abs(np.array(one) - image.getpixel((5, 5))).sum())


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "dog").mkdir()
    (tmp_path / "cat" / "jump.gif").write_bytes(animation("GIF"))
    (tmp_path / "dog" / "still.png").write_bytes(encoded(picture()))
    return tmp_path


def test_the_first_frame_is_the_default(folder):
    data = open_dataset(folder)
    assert data.ids.tolist() == ["cat/jump.gif", "dog/still.png"]
    assert colour(data.image(0)) == COLOURS[0]


def test_each_frame_is_an_item_with_the_labels_of_its_file(folder):
    data = open_dataset(folder, frames="all")
    assert data.ids.tolist() == ["cat/jump.gif#0", "cat/jump.gif#1", "cat/jump.gif#2", "dog/still.png"]
    assert data.labels.tolist() == [0, 0, 0, 1]
    assert [colour(data.image(row)) for row in range(3)] == COLOURS[:3]
    assert data.image(3).size == (12, 8)
    assert len(readable(data, threads=2)) == 4


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_frames_of_every_format_in_any_order(tmp_path, kind):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    (tmp_path / "a.jpg").write_bytes(animation(kind, 4))  # the contents tell the format
    data = open_dataset(tmp_path, frames="all")
    for row in (0, 1, 2, 3, 3, 1, 2, 0, 0):
        assert colour(data.image(row)) == COLOURS[row]
    for frame in (2, 0):
        assert colour(decode(tmp_path / "a.jpg", frame=frame)) == COLOURS[frame]


def test_the_images_of_a_heif_burst_are_frames(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    made = pillow_heif.from_pillow(Image.new("RGB", (64, 48), COLOURS[0]))
    for one in COLOURS[1:]:
        made.add_from_pillow(Image.new("RGB", (64, 48), one))
    made.save(tmp_path / "burst.heic", quality=90, primary_index=2)
    assert colour(open_dataset(tmp_path).image(0)) == COLOURS[2]  # the main image
    data = open_dataset(tmp_path, frames="all")
    assert [colour(data.image(row)) for row in (0, 1, 2, 3)] == COLOURS


def test_photos_with_previews_and_reduced_pages_are_one_item(tmp_path):
    (tmp_path / "a.jpg").write_bytes(animation("MPO"))
    pages = [Image.new("RGB", (32, 32), COLOURS[0]), Image.new("RGB", (16, 16), COLOURS[1])]
    from PIL import TiffImagePlugin

    reduced = TiffImagePlugin.ImageFileDirectory_v2()
    reduced[254] = 1
    pages[1].encoderinfo = {"tiffinfo": reduced}
    buffer = io.BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(buffer) as writer:
        pages[0].save(writer, "TIFF")
        writer.newFrame()
        pages[1].save(writer, "TIFF", tiffinfo=reduced)
    (tmp_path / "b.tif").write_bytes(buffer.getvalue())
    assert open_dataset(tmp_path, frames="all").ids.tolist() == ["a.jpg", "b.tif"]


def test_frames_of_tables_and_lists(folder):
    given = open_dataset([folder / "cat" / "jump.gif"], texts=["a cat jumps"], frames="all")
    assert given.texts == ("a cat jumps",) * 3
    (folder / "list.txt").write_text("cat/jump.gif 1\ndog/still.png 0\n")
    assert open_dataset(folder / "list.txt", frames="all").labels.tolist() == [1, 1, 1, 0]
    numbered = frames.by_frames(Dataset(open_dataset(folder).items, np.array([7, 9])))
    assert numbered.ids.tolist() == ["7#0", "7#1", "7#2", "9"]


def test_only_files_have_frames(tmp_path):
    with pytest.raises(UsageError, match="holds no image files"):
        open_dataset(np.zeros((2, 8, 8), np.uint8), frames="all")
    (tmp_path / "a.png").write_bytes(encoded(picture()))
    cropped = Dataset(CroppedItems([tmp_path / "a.png"], np.full((1, 4), np.nan)), np.array(["a"]))
    with pytest.raises(UsageError, match="holds no image files"):
        frames.by_frames(cropped)
    with pytest.raises(KinbitsError, match="'first' or 'all'"):
        open_dataset(tmp_path, frames="every")


def test_what_was_left_out_stays_left_out(folder):
    (folder / ".DS_Store").touch()
    (folder / "a.mp4").touch()
    (folder / "empty.gif").touch()
    data, plain = open_dataset(folder, frames="all"), open_dataset(folder)
    assert data.left_out == plain.left_out
    assert data.skipped == plain.skipped


def test_a_file_that_changes_between_frames_is_read_anew(tmp_path):
    path = tmp_path / "a.gif"
    path.write_bytes(animation("GIF"))
    data = open_dataset(tmp_path, frames="all")
    assert colour(data.image(0)) == COLOURS[0]
    path.write_bytes(animation("GIF", 2))
    assert colour(data.image(1)) == COLOURS[1]
    with pytest.raises(BadImage, match="frame 2 is missing"):
        data.image(2)
    path.unlink()
    with pytest.raises(BadImage, match="file is missing"):
        data.image(1)


def test_a_decoded_frame_is_not_changed_by_the_next(tmp_path):
    (tmp_path / "a.webp").write_bytes(animation("WEBP"))
    data = open_dataset(tmp_path, frames="all")
    images = [data.image(row) for row in range(3)]
    assert [colour(image) for image in images] == COLOURS[:3]


def test_fingerprints_tell_frames_apart(folder):
    data = open_dataset(folder, frames="all")
    assert data.items.fingerprint == open_dataset(folder, frames="all").items.fingerprint
    prints = [data.select([row]).items.fingerprint for row in range(3)]
    assert len({*prints, open_dataset(folder).items.fingerprint}) == 4
    hashes = [data.select([row]).items.content_hash() for row in range(3)]
    assert len(set(hashes)) == 3


def test_more_frames_than_the_limit_are_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(frames, "MAX_FRAMES", 2)
    (tmp_path / "a.gif").write_bytes(animation("GIF", 4))
    data = open_dataset(tmp_path, frames="all")
    assert data.ids.tolist() == ["a.gif#0", "a.gif#1"]
    assert [(one.id, one.reason) for one in data.skipped] == [("a.gif", "2 frames beyond the first 2")]


@pytest.mark.parametrize("order", ["forwards", "in threads"])
def test_frames_in_order_cost_one_decoding_each(tmp_path, order):
    (tmp_path / "long.gif").write_bytes(animation("GIF", 400, size=(64, 64)))
    data = open_dataset(tmp_path, frames="all")
    began = time.process_time()
    clean = readable(data, threads=2 if order == "in threads" else 1)
    assert len(clean) == 400
    assert time.process_time() - began < 8  # from the first frame each time, it is 80,000 decodings


def test_damaged_animations_are_one_item_that_says_why(tmp_path):
    (tmp_path / "a.gif").write_bytes(b"GIF89a" + b"\xff" * 30)
    (tmp_path / "b.png").write_bytes(encoded(picture()))
    data = open_dataset(tmp_path, frames="all")
    assert data.ids.tolist() == ["a.gif", "b.png"]
    assert readable(data).ids.tolist() == ["b.png"]
