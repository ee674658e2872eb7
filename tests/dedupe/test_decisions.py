"""Decision files: what they hold, what is refused, and what a person without a page gets."""

import json
import os
from dataclasses import replace

import pytest
from album import ODD, group, make_album, write_picture
from hypothesis import given
from hypothesis import strategies as st

from kinbits.dedupe import (
    DecisionGroup,
    Decisions,
    DedupeReport,
    FileDecision,
    apply_decisions,
    decide,
    find_duplicates,
)
from kinbits.errors import DataError, UsageError


@pytest.fixture
def album(tmp_path):
    return make_album(tmp_path)


names = st.binary(min_size=1, max_size=12).map(lambda name: os.fsdecode(b"d/" + name))
files = st.builds(
    FileDecision,
    names,
    st.sampled_from(["keep", "remove", None]),
    st.integers(0, 2**60),
    st.floats(0, 4e9),
    st.sampled_from(["", "ab" * 32]),
)


@given(st.lists(files, min_size=1, unique_by=lambda file: file.path), st.booleans())
def test_decisions_come_back_from_json_as_they_were(listed, remove_all):
    paths = tuple(file.path for file in listed)
    made = Decisions(
        "/photos", "f" * 64, {file.path: file for file in listed}, (DecisionGroup("copies", paths, remove_all),)
    )
    text = made.to_json()
    assert text.isascii()
    again = Decisions.from_json(text)
    assert again == made
    assert again.fingerprint == made.fingerprint
    assert [file.path for file in again.removed] == [file.path for file in listed if file.decision == "remove"]


def test_a_file_of_decisions_is_what_was_saved_and_prints_shortly(album, tmp_path):
    made = album.decisions()
    assert Decisions.open(made.save(tmp_path / "d.json")) == made
    assert str(made) == f"{album.root}: remove 6 files (5.3 kB), keep 3"
    assert repr(made) == f"Decisions({made})"


def test_another_decision_is_another_fingerprint(album):
    made = album.decisions()
    path = made.removed[0].path
    other = replace(made, files={**made.files, path: replace(made.files[path], decision="keep")})
    assert other.fingerprint != made.fingerprint


def changed(album, change):
    values = json.loads(album.decisions().to_json())
    change(values)
    return json.dumps(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.update(format="x"), "the format is 'x', not 'kinbits decisions'"),
        (lambda v: v.update(version=2), "the version is 2; this kinbits reads version 1"),
        (lambda v: v.update(root="photos"), "'photos' is not an absolute path"),
        (lambda v: v.pop("groups"), "no decisions on duplicates"),
        (lambda v: v["files"].append(v["files"][0]), "listed twice"),
        (lambda v: v["files"][0].update(decision="delete"), "'delete' is not keep, remove or null"),
        (lambda v: v["files"][0].update(bytes="7"), "'7' is not a number of bytes"),
        (lambda v: v["files"][0].update(bytes=True), "True is not a number of bytes"),
        (lambda v: v["files"][0].update(modified=float("nan")), "nan is not a number of seconds"),
        (lambda v: v["files"][0].update(modified=10**400), "is not a number of seconds"),
        (lambda v: v["files"][0].update(bytes=10**400), "is not a number of bytes"),
        (lambda v: v["groups"][0].update(paths=[["a"]]), r"the path \['a'\] in a group is no path"),
        (lambda v: v.update(root="/\ud800"), "is not an absolute path"),
        (lambda v: v.update(root="/a\0b"), "is not an absolute path"),
        (lambda v: v["files"][0].update(sha256="0g"), "does not have 64 hexadecimal digits"),
        (lambda v: v["files"][0].update(other=1), "no decisions on duplicates"),
        (lambda v: v["files"].pop(0), "its size and sha256 are not listed"),
        (lambda v: v["groups"][0].update(kind="twins"), "'twins' is no kind"),
        (lambda v: v["groups"][0].update(remove_all=1), "remove_all is true or false"),
        (lambda v: v.update(groups=[]), "belongs to no group"),
    ],
)
def test_what_is_no_decision_is_refused(album, change, message):
    with pytest.raises(DataError, match=message):
        Decisions.from_json(changed(album, change))


@pytest.mark.parametrize("text", ["", "[]", "7", "{", "null", "[" * 100_000])
def test_other_text_is_refused(text):
    with pytest.raises(DataError, match="no decisions on duplicates"):
        Decisions.from_json(text)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"d\.json cannot be read: No such file"):
        Decisions.open(tmp_path / "d.json")


def chosen(made):
    return {path: file.decision for path, file in made.files.items()}


def test_the_best_of_each_group_is_kept(album):
    made = decide(album.report, ("copies",))
    assert chosen(made) == {"big.png": "keep", ODD: "remove", "sub/small.jpg": "remove"}
    assert [entry.remove_all for entry in made.groups] == [False]
    assert made.root == os.path.realpath(album.root)


def test_equal_files_of_a_copy_go_with_it(tmp_path):
    """C is the best, A a copy of it, and B the same file as A: only C stays, in whatever order the groups are."""
    for path, seed in (("c.png", 1), ("a.jpg", 2), ("b.jpg", 2)):
        write_picture(tmp_path / path, seed)
    groups = [group("bytes", tmp_path, ["a.jpg", "b.jpg"]), group("copies", tmp_path, ["c.png", "a.jpg"])]
    for order in (groups, groups[::-1]):
        made = decide(DedupeReport(str(tmp_path), tuple(order)), ("bytes", "copies"))
        assert chosen(made) == {"c.png": "keep", "a.jpg": "remove", "b.jpg": "remove"}
        assert {entry.kind: entry.remove_all for entry in made.groups} == {"copies": False, "bytes": True}


def test_what_changed_since_the_search_is_left_undecided(album):
    (album.root / "sub/small.jpg").write_bytes(b"other")
    (album.root / "big.png").unlink()
    made = decide(album.report, ("copies",))
    assert chosen(made) == {"big.png": None, ODD: "keep", "sub/small.jpg": None}
    assert [made.files[path].sha256 for path in ("big.png", "sub/small.jpg")] == ["", ""]
    assert {file.path for file in made.unusable} == {"big.png", "sub/small.jpg"}


def test_a_file_is_unchanged_whatever_its_nanoseconds_are(tmp_path):
    """1795981449.6876647 or ...645: a division of the nanoseconds rounds otherwise than the system."""
    moment = 1795981449687664597
    for name in ("a.jpg", "b.jpg"):
        write_picture(tmp_path / "photos" / name, 1)
        os.utime(tmp_path / "photos" / name, ns=(moment, moment))
    report = find_duplicates(tmp_path / "photos", model=None, folder=tmp_path / "report")
    made = decide(DedupeReport.from_json(report.to_json()))
    assert chosen(made) == {"a.jpg": "keep", "b.jpg": "remove"}
    assert made.unusable == []
    done = apply_decisions(Decisions.from_json(made.to_json()), move_to=tmp_path / "aside")
    assert [file.path for file in done.done] == ["b.jpg"]


def test_a_moved_album_is_found_at_its_new_place(album, tmp_path):
    album.root.rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="album cannot be opened: No such file"):
        decide(album.report)
    assert len(decide(album.report, root=tmp_path / "elsewhere").removed) == 4


def test_an_unknown_kind_is_refused(album):
    with pytest.raises(UsageError, match="unknown kind 'twins'; known: bytes, pixels, copies, bursts, similar"):
        decide(album.report, ("twins",))
