"""Pairs that are looked at: which, how similar a copy must be, and what is kept for the next search."""

import sqlite3

import numpy as np
import pytest
from gradients import Colours, scene

import kinbits
from kinbits.data import edit_image
from kinbits.dedupe import find_duplicates
from kinbits.dedupe.edited import EditedCopies
from kinbits.dedupe.near import NearPairs
from kinbits.dedupe.verified import LEVELS, LookedAt, calibrate_similarity


def looked_at(n, copies, similarities, seed=0):
    """Return pairs of 2n rows: copies of similarity .9, and pairs of different images of given similarities."""
    rng = np.random.default_rng(seed)
    first = np.concatenate([np.arange(copies), rng.integers(2 * copies, n, len(similarities))])
    second = np.concatenate([np.arange(copies) + copies, rng.integers(n, 2 * n, len(similarities))])
    alike = np.concatenate([np.full(copies, 0.9), similarities])
    return LookedAt(60, 40, NearPairs(first, second, np.rint(LEVELS * (1 - alike)).astype(np.int32)), 2 * n)


def calibrated(looked, **options):
    arguments = {"edits": {}, "bits": 256, "tolerance": 0.001, "similarity": None} | options
    return calibrate_similarity(looked, np.arange(looked.rows), **arguments)


def test_the_least_is_enough_where_other_images_are_far():
    others = np.random.default_rng(1).exponential(0.05, 4000)
    found, pairs = calibrated(looked_at(1000, 50, np.minimum(others, 0.3)))
    assert found.similarity == 0.4
    assert (len(pairs), found.looked_at) == (50, 4050)
    assert found.expected_false_pairs < 1


def test_more_is_asked_for_where_other_images_are_similar():
    others = np.abs(np.random.default_rng(1).normal(0, 0.18, 40_000)).clip(max=1)
    looked = looked_at(4000, 50, others)
    false = int((others >= 0.5).sum())
    assert false > 100
    found, pairs = calibrated(looked)
    assert found.similarity == 0.6  # and not more
    assert found.expected_false_pairs > 1
    assert 50 <= len(pairs) <= 100
    given, _ = calibrated(looked, similarity=0.5)
    assert given.given
    assert false / 2 <= given.expected_false_pairs <= 2 * false  # though copies are among the pairs


@pytest.mark.parametrize("n", [20, 1000, 30_000])
def test_where_no_others_are_similar_the_least_is_enough_in_collections_of_any_size(n):
    found, pairs = calibrated(looked_at(n, 3, np.array([0.1, 0.2])))
    assert (found.similarity, len(pairs)) == (0.4, 3)
    assert 0.1 < found.expected_false_pairs < 1
    assert "too few" in found.background


def test_copies_are_not_taken_for_the_tail_of_other_images():
    rng = np.random.default_rng(2)
    looked = looked_at(30_000, 1000, np.where(rng.random(150_000) < 0.9, 0, rng.exponential(0.06, 150_000)).clip(max=1))
    looked.pairs.distances[:1000] = rng.integers(3, 30, 1000)
    found, pairs = calibrated(looked)
    assert found.similarity < 0.75
    assert len(pairs) >= 990


def test_recall_counts_copies_that_are_named_and_similar():
    copies = EditedCopies(
        np.array([10, 61, 61, 60, 61], np.int16),
        np.array([1000, 24, 41, 1000, 20], np.int16),
        np.array([0.9, 0.2, 0.9, 0.3, 0.0]),
    )
    found, _ = calibrated(looked_at(20, 3, np.zeros(0)), edits={"crop 0.4": copies})
    assert found.recall["crop 0.4"] == pytest.approx(3 / 5)  # PDQ at 24 bits and 20 bits counts as .5 and .58


@pytest.fixture
def photos(tmp_path):
    """Sixty pictures, and copies of three, which are turned or cropped."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(60):
        scene(number).save(folder / f"{chr(97 + number % 26)}{number * 7}x.png")
    for number, edit in enumerate(["mirror", "crop 0.7", "rotate 25"]):
        edit_image(scene(number), edit, seed=1).save(folder / f"copy{number * 9}x.png")
    return folder


def groups(report):
    return sorted(sorted(item.path for item in group) for group in report.of_kind("copies"))


FOUND = [["a0x.png", "copy0x.png"], ["b7x.png", "copy9x.png"], ["c14x.png", "copy18x.png"]]


def test_copies_are_found_by_their_pixels(photos):
    report = find_duplicates(photos, model=Colours(), sample=3)
    assert groups(report) == FOUND
    assert all(item.similarity >= 0.4 for group in report.of_kind("copies") for item in group)
    assert report.calibration.recall["mirror"] == 1.0
    assert find_duplicates(photos, model=Colours(), sample=0, codes_only=True).calibration.similarity is None
    text = str(report)
    assert "alike" in text
    assert "copies are those of similarity 0.40 or more" in text.replace("\n", " ")
    assert max(map(len, text.splitlines())) <= 80
    assert kinbits.dedupe.DedupeReport.from_json(report.to_json()) == report


def test_a_second_search_looks_at_new_images_only(photos, tmp_path, monkeypatch):
    state, seen = tmp_path / "state", []
    first = find_duplicates(photos, model=Colours(), sample=2, folder=state)
    real = kinbits.dedupe.looking.look
    monkeypatch.setattr("kinbits.dedupe.looking.look", lambda image: (seen.append(1), real(image))[1])
    again = find_duplicates(photos, model=Colours(), sample=2, folder=state)
    assert (again.groups, seen) == (first.groups, [])
    edit_image(scene(5), "flip").save(photos / "new.png")
    third = find_duplicates(photos, model=Colours(), sample=2, folder=state)
    assert ["f35x.png", "new.png"] in groups(third)
    assert 1 <= len(seen) <= 40  # the new one, and those that it was compared with


def test_what_vanished_while_it_was_looked_at_is_said_and_not_kept(photos, tmp_path, monkeypatch):
    state, real = tmp_path / "state", kinbits.dedupe.looking.Looking.hashes

    def hashes(self, n):
        (photos / "copy0x.png").rename(tmp_path / "aside.png")
        return real(self, n)

    with monkeypatch.context() as patch:
        patch.setattr("kinbits.dedupe.looking.Looking.hashes", hashes)
        torn = find_duplicates(photos, model=Colours(), sample=0, folder=state)
    assert groups(torn) == FOUND[1:]
    assert torn.notes[-1] == "1 could not be read again and were not compared, e.g. copy0x.png"
    (tmp_path / "aside.png").rename(photos / "copy0x.png")
    assert groups(find_duplicates(photos, model=Colours(), sample=0, folder=state)) == FOUND


def test_a_file_that_changed_while_it_was_looked_at_is_not_taken_for_the_old_one(photos, tmp_path, monkeypatch):
    state, real = tmp_path / "state", kinbits.dedupe.looking.Looking.hashes
    old = (photos / "copy0x.png").read_bytes()

    def hashes(self, n):
        scene(77).save(photos / "copy0x.png")
        return real(self, n)

    with monkeypatch.context() as patch:
        patch.setattr("kinbits.dedupe.looking.Looking.hashes", hashes)
        assert groups(find_duplicates(photos, model=Colours(), sample=0, folder=state)) == FOUND[1:]
    (photos / "copy0x.png").write_bytes(old)
    assert groups(find_duplicates(photos, model=Colours(), sample=0, folder=state)) == FOUND


@pytest.mark.parametrize("value", ["'abc'", "NULL", "7.5", "-3"])
def test_a_damaged_similarity_is_named(photos, tmp_path, value):
    find_duplicates(photos, model=Colours(), sample=0, folder=tmp_path / "state")
    with sqlite3.connect(tmp_path / "state" / "state.sqlite") as base:
        base.execute(f"UPDATE similarities SET similarity = {value}")
    base.close()
    with pytest.raises(kinbits.ArtefactError, match="is damaged"):
        find_duplicates(photos, model=Colours(), sample=0, folder=tmp_path / "state")


def test_an_index_without_its_images_is_judged_by_codes(photos, tmp_path):
    data = kinbits.open_dataset(photos, labels=False)
    model = Colours()
    index = kinbits.Index.create(tmp_path / "i", bits=256).add(model.encode(data), ids=data.ids)
    report = find_duplicates(index, sample=0)
    assert report.calibration.similarity is None


def test_without_the_packages_codes_decide_and_the_report_says_so(photos, monkeypatch):
    monkeypatch.setattr("kinbits.dedupe.verified.PACKAGES", ("no_such_package",))
    report = find_duplicates(photos, model=Colours(), sample=2)
    assert report.calibration.similarity is None
    assert "kinbits[dedupe]" in report.notes[-1]


def test_a_similarity_goes_with_images_only():
    with pytest.raises(kinbits.UsageError, match="looked at"):
        find_duplicates(".", similarity=0.5, radius=3)
    with pytest.raises(kinbits.UsageError, match="looked at"):
        find_duplicates(".", similarity=0.5, codes_only=True)
    with pytest.raises(kinbits.UsageError, match="give a model"):
        find_duplicates(".", similarity=0.5, model=None)
