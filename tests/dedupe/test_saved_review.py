"""A review on disk: what a decision changes, what is refused, and that nothing of other people or programs is lost."""

import json
import os
import re
import subprocess
import sys

import pytest
from album import ODD, group, make_album, write_picture

from kinbits.dedupe import (
    ChangedDecisionError,
    Decisions,
    DedupeReport,
    DuplicateGroup,
    DuplicateItem,
    NothingLeftError,
    Review,
    apply_decisions,
    decide,
)
from kinbits.errors import ArtefactError, DataError, PlatformError, UsageError


@pytest.fixture
def album(tmp_path):
    made = make_album(tmp_path)
    made.report.save(tmp_path / "report")
    return made


@pytest.fixture
def review(album, tmp_path):
    return Review(tmp_path / "report")


def choose(review, number, choices, **how):
    return review.decide(number, choices, review.read().version_of(number), **how)


def test_best_of_all_groups_is_what_decide_makes(review, album):
    for number in range(len(album.report)):
        assert choose(review, number, "best") == []
    made = Decisions.open(review.path)
    expected = album.decisions("bytes", "copies")
    assert made.files == expected.files
    assert {one.paths: one for one in made.groups} == {one.paths: one for one in expected.groups}
    assert review.read().totals.undecided == 0
    assert review.read().totals.removed_bytes == sum(file.bytes for file in expected.removed)


def test_decisions_are_on_disk_and_another_review_sees_them(review, album, tmp_path):
    choose(review, 2, {0: "keep", 1: "remove", 2: None})
    again = Review(tmp_path / "report" / "report.json")
    assert again.read().chosen == {"big.png": "keep", ODD: "remove"}
    choose(again, 2, {1: None, 2: "remove"})
    assert review.read().chosen == {"big.png": "keep", "sub/small.jpg": "remove"}
    assert {file.path for file in apply_decisions(review.path, move_to=album.aside).done} == {"sub/small.jpg"}


def test_a_file_in_two_groups_changes_both(tmp_path):
    """C is the best, A a copy of it, and B the same file as A."""
    for path, seed in (("c.png", 1), ("a.jpg", 2), ("b.jpg", 2)):
        write_picture(tmp_path / "photos" / path, seed)
    root = tmp_path / "photos"
    groups = (group("bytes", root, ["a.jpg", "b.jpg"]), group("copies", root, ["c.png", "a.jpg"]))
    DedupeReport(str(root), groups).save(tmp_path / "report")
    review = Review(tmp_path / "report")
    version = review.read().version_of(0)
    assert choose(review, 1, "best") == [0]
    assert review.read().version_of(0) != version
    assert choose(review, 0, {1: "remove"}) == []  # as c.png, a better copy, is kept
    assert [one.remove_all for one in Decisions.open(review.path).groups] == [True, False]
    with pytest.raises(NothingLeftError, match="no file of group 1 would be left"):
        choose(review, 1, {0: "remove"})
    assert review.read().chosen["c.png"] == "keep"
    choose(review, 1, {0: "remove"}, remove_all=True)
    assert [one.remove_all for one in Decisions.open(review.path).groups] == [True, True]


def test_an_old_version_is_refused(review):
    version = review.read().version_of(0)
    choose(review, 0, {0: "keep"})
    with pytest.raises(ChangedDecisionError, match="its files are now: keep, undecided, undecided"):
        review.decide(0, "best", version)
    with pytest.raises(ChangedDecisionError, match="has no group 9"):
        review.decide(9, "best", version)
    with pytest.raises(UsageError, match="files 0 to 2, and no file 3"):
        choose(review, 0, {3: "keep"})


def test_a_file_that_changed_loses_its_decision(review, album):
    choose(review, 0, "best")
    (album.root / "trip 0/best.jpg").write_bytes(b"other")
    with pytest.raises(DataError, match=r"trip 0/best\.jpg: it has changed since the search; search again"):
        choose(review, 0, {0: "keep"})
    choose(review, 0, {1: "keep"})
    assert review.read().chosen == {"trip 0/deep/er/again.jpg": "keep", "copies/0.jpg": "remove"}
    notes = [file.note for file in review.read().read([0])[0].files]
    assert notes == ["it has changed since the search", "", ""]
    for name in ("deep/er/again.jpg", "best.jpg"):
        os.unlink(album.root / "trip 0" / name)
    os.unlink(album.root / "copies/0.jpg")
    with pytest.raises(DataError, match="no file of group 0 can be decided on"):
        choose(review, 0, "best")


def test_decisions_of_some_kinds_are_continued(review, album):
    decide(album.report, ("bytes",)).save(review.path)
    choose(review, 2, {0: "keep"})
    made = Decisions.open(review.path)
    assert [one.kind for one in made.groups] == ["bytes", "bytes", "copies"]
    assert len(made.removed) == 4


def test_other_decisions_are_never_overwritten(review, album, tmp_path):
    choose(review, 0, "best")
    before = review.path.read_bytes()
    DedupeReport(str(album.root), album.report.groups[:2]).save(tmp_path / "report")
    for call in (review.read, lambda: Review(tmp_path / "report"), lambda: review.decide(0, "best", "")):
        with pytest.raises(ArtefactError, match="decides on another report"):
            call()
    assert review.path.read_bytes() == before
    assert len(Review(tmp_path / "report", decisions=tmp_path / "new.json").read()) == 2


def test_decisions_on_a_group_that_the_report_does_not_have_are_refused(review):
    choose(review, 0, "best")
    values = json.loads(review.path.read_text())
    values["groups"][0]["paths"] = values["groups"][0]["paths"][:2]
    values["files"][2]["decision"] = None
    review.path.write_text(json.dumps(values))
    with pytest.raises(DataError, match=r"a group of trip 0/best\.jpg that the report does not have"):
        review.read()


def test_a_process_that_decides_keeps_others_out(review, tmp_path):
    script = (
        "import sys; from kinbits._util import locked_output\n"
        "with locked_output(sys.argv[1], 'x'): print('held', flush=True); input()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(review.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout.readline() == "held\n"
    with pytest.raises(PlatformError, match=re.escape(f"process {other.pid} is writing")):
        choose(review, 0, "best")
    other.communicate("\n")
    assert choose(review, 0, "best") == []


def test_a_full_disk_keeps_the_earlier_decisions(review, full_disk):
    choose(review, 0, "best")
    before = review.path.read_bytes()
    with full_disk(100), pytest.raises(PlatformError, match="cannot be written"):
        choose(review, 1, "best")
    assert review.path.read_bytes() == before
    assert review.read().is_decided(1) is False


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (DuplicateItem("b", 9, 20, 15, 5), "most pixels"),
        (DuplicateItem("b", 8, 40, 30, 5), "largest file"),
        (DuplicateItem("b", 9, 40, 30, 8), "oldest file"),
        (DuplicateItem("b", 9, 40, 30, 5), "first name"),
    ],
)
def test_a_group_says_why_its_best_file_is_the_best(other, reason):
    assert DuplicateGroup("copies", (DuplicateItem("a", 9, 40, 30, 5), other)).reason == reason
