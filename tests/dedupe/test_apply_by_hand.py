"""Decisions that were edited by hand or are unusual, applied: the file is refused, the others are not."""

from dataclasses import replace

import pytest
from album import make_album

from kinbits.dedupe import Decisions, apply_decisions


@pytest.mark.parametrize("link", [False, True])
def test_a_path_that_no_file_has_is_refused(tmp_path, link):
    album = make_album(tmp_path)
    made = album.decisions("bytes")
    entry = replace(made.files["copies/0.jpg"], path="\ud800.jpg")
    first, *others = made.groups
    groups = (replace(first, paths=(*first.paths, entry.path)), *others)
    other = replace(made, files={**made.files, entry.path: entry}, groups=groups)
    options = {"link": True} if link else {"move_to": album.aside}
    done = apply_decisions(Decisions.from_json(other.to_json()), undo=tmp_path / "u", **options)
    assert {one.path: one.reason for one in done.refused} == {
        entry.path: "the path holds characters that no file name has"
    }
    assert len(done.done) == 4
    assert "\\ud800.jpg: the path holds" in str(done)


def test_a_time_that_the_undo_file_cannot_hold_is_refused(tmp_path, monkeypatch):
    album = make_album(tmp_path)
    monkeypatch.setattr("kinbits.dedupe.undo_file._MOST", 10**18)  # nanoseconds to the year 2001
    done = apply_decisions(album.decisions("bytes"), move_to=album.aside)
    assert not done.done
    assert {one.reason for one in done.refused} == {"its time is too far from now to be kept in the undo file"}
