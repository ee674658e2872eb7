"""Duplicates in folders, data sets and indexes: what is found, what is read again, and what survives a kill."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from gradients import Gradients, picture
from PIL import Image

import kinbits
from kinbits.backbones import load_backbone
from kinbits.data import edit_image
from kinbits.dedupe import DedupeReport, find_duplicates
from kinbits.heads import build_head
from kinbits.model import HashModel, Tower


@pytest.fixture
def photos(tmp_path):
    """Forty pictures; of the first ones there is an equal file, equal pixels, two copies and a burst."""
    folder = tmp_path / "photos"
    (folder / "b").mkdir(parents=True)
    for number in range(40):
        picture(number).save(folder / f"{chr(97 + number % 26)}{number * 7}x.png")
    one = folder / "a0x.png"
    (folder / "b" / "equal.png").write_bytes(one.read_bytes())
    picture(1).save(folder / "b" / "pixels.bmp")
    edit_image(picture(2, 192), "jpeg 75").save(folder / "b" / "larger.jpg")
    edit_image(picture(3), "resize 0.5").save(folder / "b" / "smaller.png")
    burst = np.asarray(picture(99)).astype(int)
    for number in (4, 5):
        noise = np.random.default_rng(number).integers(-2, 3, burst.shape)
        Image.fromarray((burst + noise).clip(0, 255).astype(np.uint8)).save(folder / "b" / f"IMG_000{number}.png")
    (folder / "broken.jpg").write_bytes(b"no image")
    (folder / "notes.txt").write_text("text")
    return folder


def paths(report, kind):
    return [[item.path for item in group] for group in report.of_kind(kind)]


def test_each_kind_is_found_and_kept_apart(photos):
    report = find_duplicates(photos, model=Gradients(), radius=20, sample=0)
    assert paths(report, "bytes") == [["a0x.png", "b/equal.png"]] or paths(report, "bytes") == [
        ["b/equal.png", "a0x.png"]
    ]
    assert paths(report, "pixels") == [["b/pixels.bmp", "b7x.png"]]  # equal sizes in pixels; the larger file stands
    assert sorted(paths(report, "copies")) == [["b/larger.jpg", "c14x.png"], ["d21x.png", "b/smaller.png"]]
    assert [sorted(group) for group in paths(report, "bursts")] == [["b/IMG_0004.png", "b/IMG_0005.png"]]
    assert report.of_kind("similar") == []
    assert [one.id for one in report.skipped] == ["broken.jpg"]
    assert report.items == 46
    assert dict(report.ignored) == {".txt": 1}
    assert DedupeReport.from_json(report.to_json()) == report
    best = report.of_kind("copies")[0].representative
    assert (best.width, best.height, best.bytes) == (192, 192, os.path.getsize(photos / "b/larger.jpg"))


def test_without_a_model_equal_files_and_pixels_are_found(photos):
    report = find_duplicates(photos, model=None)
    assert {group.kind for group in report} == {"bytes", "pixels"}
    assert report.calibration is None
    assert report.radius is None


def test_similar_images_are_other_groups_around_the_best_copies(photos):
    report = find_duplicates(photos, model=Gradients(), radius=20, similar=256, sample=0)
    (group,) = report.of_kind("similar")  # within 256 bits everything is similar
    names = {item.path for item in group}
    assert "b/larger.jpg" in names
    assert "c14x.png" not in names  # it is a copy of the former


def test_a_second_search_reads_new_and_changed_files_only(photos, tmp_path):
    model, state = Gradients(), tmp_path / "state"
    first = find_duplicates(photos, model=model, folder=state, radius=20, sample=2)
    assert first.reused == 0
    model.encoded = 0
    again = find_duplicates(photos, model=model, folder=state, radius=20, sample=2)
    assert (model.encoded, again.reused) == (0, 46)
    assert again.groups == first.groups
    picture(1000).save(photos / "new.png")
    picture(1001).save(photos / "a0x.png")  # no longer equal
    os.rename(photos / "z175x.png", photos / "moved.png")
    third = find_duplicates(photos, model=model, folder=state, radius=20, sample=2)
    assert model.encoded == 2  # what was moved has known contents
    assert paths(third, "bytes") == []
    assert third.items == 47


def test_a_changed_file_with_the_same_size_and_time_is_read_again(photos, tmp_path):
    state = tmp_path / "state"
    find_duplicates(photos, model=None, folder=state)
    one, two = photos / "a0x.png", photos / "b" / "equal.png"
    info = os.stat(two)
    data = bytearray(two.read_bytes())
    data[-20] ^= 255  # damaged, and as long as before
    two.write_bytes(data)
    os.utime(two, ns=(info.st_atime_ns, info.st_mtime_ns))
    assert paths(find_duplicates(photos, model=None, folder=state), "bytes") == []
    assert one.exists()


def test_the_radius_is_calibrated_and_recall_is_measured(photos):
    for number in range(100, 250):
        picture(number).save(photos / f"{number}x.png")
    report = find_duplicates(photos, model=Gradients(), sample=6, codes_only=True)
    found = report.calibration
    assert 0 <= found.radius < 80
    assert found.expected_false_pairs <= 0.001 * max(1000, found.found_pairs)
    assert found.recall["resize 0.5"] == 1.0
    assert found.recall["flip"] == 0.0  # a gradient hash is blind to it
    assert "false pairs expected" in str(report)
    assert max(map(len, str(report).splitlines())) <= 80


def test_links_to_a_file_are_no_duplicates(photos):
    (photos / "link.png").symlink_to(photos / "a0x.png")
    os.link(photos / "b7x.png", photos / "hard.png")
    report = find_duplicates(photos, model=None)
    assert not any(item.path in ("link.png",) for group in report for item in group)
    assert len(report.of_kind("bytes")) == 1
    assert "2 further names" in report.notes[0]


def test_a_data_set_and_an_index_are_searched_too(photos):
    data = kinbits.open_dataset(photos, labels=False)
    model = Gradients()
    report = find_duplicates(data, model=model, radius=20, sample=0)
    groups = [set(group) for group in paths(report, "copies")]
    assert {"b/larger.jpg", "c14x.png"} in groups
    coded = model.encode(data, on_error="skip")
    index = kinbits.Index.create(bits=256).add(coded.array, ids=data.ids[coded.rows])
    assert [set(group) for group in paths(find_duplicates(index, radius=20), "copies")] != []


def test_a_bank_of_known_items_is_matched(photos, tmp_path):
    model = Gradients()
    removed = model.encode([edit_image(picture(5), "jpeg 30"), picture(700)])
    bank = kinbits.Index.create(tmp_path / "removed.index", bits=256)
    bank.add(removed, ids=["bad", "unseen"])
    report = find_duplicates(photos, model=model, banks=[(tmp_path / "removed.index", 16)], radius=20, sample=0)
    assert [(match.path, match.bank, match.known) for match in report.known] == [("f35x.png", "removed", "bad")]
    calibrated = find_duplicates(photos, model=model, banks=[bank], sample=0)
    assert [match.known for match in calibrated.known] == ["bad"]
    with pytest.raises(kinbits.ArtefactError, match="64-bit codes"):
        find_duplicates(photos, model=model, banks=[kinbits.Index.create(bits=64)], sample=0)


def test_a_bank_whose_images_are_there_is_looked_at(photos, tmp_path):
    pytest.importorskip("cv2")
    torch.manual_seed(0)
    head = build_head({"name": "linear", "features": 384, "bits": 256})
    model = HashModel({"image": Tower(load_backbone("convnet-small"), head)})
    known = tmp_path / "known"
    known.mkdir()
    edit_image(picture(5), "jpeg 30").save(known / "small.jpg")
    for number in range(700, 712):
        picture(number).save(known / f"{number}.png")
    bank = kinbits.Index.create(tmp_path / "known.index", model=model).add(kinbits.open_dataset(known, labels=False))
    report = find_duplicates(photos, model=model, banks=[bank], sample=0)
    assert [(match.path, match.known) for match in report.known] == [("f35x.png", "small.jpg")]
    assert report.known[0].similarity >= report.calibration.similarity
    assert "alike" in str(report)
    (known / "small.jpg").unlink()  # one of thirteen: codes decide for it alone
    report = find_duplicates(photos, model=model, banks=[bank], sample=0)
    assert "bank known: 1 known item has no image at hand" in report.notes[-1]
    assert {match.known for match in report.known} <= {"small.jpg"}
    for one in known.iterdir():
        one.unlink()
    assert all(match.similarity is None for match in find_duplicates(photos, model=model, banks=[bank], sample=0).known)


def test_a_bank_without_images_names_a_radius_where_none_is_safe(photos, tmp_path):
    model = Gradients()
    index = kinbits.Index.create(tmp_path / "gone.index", bits=256)
    index.add(np.random.default_rng(0).integers(0, 256, (300, 32)).astype(np.uint8))
    report = find_duplicates(photos, model=model, banks=[index], sample=0, tolerance=1e-12)
    assert report.known == ()
    assert "bank gone: 300 known items have no image at hand, so codes alone decide, and no" in report.notes[-1]
    with pytest.raises(kinbits.UsageError, match="radius of bank gone is 300, and its codes have 256 bits"):
        find_duplicates(photos, model=model, banks=[(index, 300)], sample=0)


def test_bad_input_is_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(kinbits.DataError, match="no usable image"):
        find_duplicates(tmp_path / "empty", model=None)
    with pytest.raises(kinbits.DataError, match="no such file or folder"):
        find_duplicates(tmp_path / "missing", model=None)
    with pytest.raises(kinbits.UsageError, match="unknown option among radios"):
        find_duplicates(tmp_path, model=None, radios=3)
    with pytest.raises(kinbits.UsageError, match="tolerance is 0"):
        find_duplicates(tmp_path, model=None, tolerance=0.0)


def test_a_damaged_state_is_named(photos, tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "state.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(kinbits.ArtefactError, match=r"state\.sqlite is damaged"):
        find_duplicates(photos, model=None, folder=tmp_path / "state")


SLOW = """
import sys, time
from gradients import Gradients
from kinbits.dedupe import encoded, find_duplicates
encoded.BATCH = 4
class Slow(Gradients):
    def encode(self, inputs, **options):
        print(len(inputs), flush=True)
        time.sleep(0.05)
        return super().encode(inputs, **options)
find_duplicates(sys.argv[1], model=Slow(), folder=sys.argv[2], radius=20, sample=0)
"""


def test_a_killed_search_loses_no_finished_batch(photos, tmp_path):
    state = tmp_path / "state"
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(photos), str(state)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent,
        text=True,
    )
    for _ in range(4):  # three batches are finished when the fourth begins
        assert process.stdout.readline().strip() == "4"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    model = Gradients()
    started = time.monotonic()
    report = find_duplicates(photos, model=model, folder=state, radius=20, sample=0)
    assert time.monotonic() - started < 60
    assert report.reused == 46  # all files were read before the first was encoded
    assert 45 - 16 <= model.encoded <= 45 - 12
    assert report.groups == find_duplicates(photos, model=Gradients(), radius=20, sample=0).groups
