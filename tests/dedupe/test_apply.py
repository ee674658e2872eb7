"""Decisions carried out and undone: what moves, what is refused and why, and that nothing is lost."""

import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from album import ODD, contents, make_album

from kinbits.dedupe import Decisions, apply_decisions, undo_decisions
from kinbits.errors import ArtefactError, DataError, PlatformError, UsageError


@pytest.fixture
def album(tmp_path):
    return make_album(tmp_path)


@pytest.fixture(params=["rename", "another disk"])
def disks(request, monkeypatch):
    """Let folders be on one disk, or each on a disk of its own."""
    if request.param == "another disk":
        rename = os.rename

        def exclusive(source, target, source_folder, target_folder):
            if os.fstat(source_folder).st_ino != os.fstat(target_folder).st_ino:
                raise OSError(errno.EXDEV, "other disk")
            rename(source, target, src_dir_fd=source_folder, dst_dir_fd=target_folder)

        monkeypatch.setattr("kinbits.dedupe.transfer.rename_new", exclusive)


def reasons(done):
    return {one.path: one.reason for one in done.refused}


def moved(album, path):
    return (album.aside / path).exists() and not (album.root / path).exists()


def with_file(made, path, **changes):
    return replace(made, files={**made.files, path: replace(made.files[path], **changes)})


@pytest.mark.usefixtures("disks")
def test_removed_files_move_with_their_folders_and_come_back(album):
    before, made = contents(album.root), album.decisions()
    done = apply_decisions(made, move_to=album.aside)
    paths = {file.path for file in made.removed}
    assert {file.path for file in done.done} == paths
    assert ODD in paths
    assert not done.refused
    assert done.bytes == sum(file.bytes for file in made.removed)
    assert all(moved(album, path) for path in paths)
    inside = {path.replace(str(album.aside), str(album.root)): value for path, value in contents(album.aside).items()}
    assert {**contents(album.root), **inside} == before  # bytes, times and permissions
    undone = undo_decisions(done.undo)
    assert contents(album.root) == before
    assert {file.path for file in undone.done} == paths
    assert [path.name for path in album.aside.iterdir()] == [done.undo.name]  # and no empty folders


def test_a_second_run_has_nothing_to_do(album):
    made = album.decisions()
    first = apply_decisions(made, move_to=album.aside)
    again = apply_decisions(made, move_to=album.aside)
    assert again.undo == first.undo
    assert (again.done, again.refused) == ((), ())
    assert set(again.earlier) == set(first.done)
    undo_decisions(first.undo)
    once_more = undo_decisions(first.undo)
    assert (once_more.done, once_more.in_place) == ((), len(first.done))
    assert len(apply_decisions(made, move_to=album.aside).done) == len(first.done)


def test_a_dry_run_says_the_same_and_changes_nothing(album, tmp_path):
    made = with_file(album.decisions(), "sub/small.jpg", sha256="0" * 64)
    before = contents(tmp_path)
    dry = apply_decisions(made, move_to=album.aside, dry_run=True)
    assert contents(tmp_path) == before
    assert not album.aside.exists()
    real = apply_decisions(made, move_to=album.aside)
    assert (dry.done, dry.refused) == (real.done, real.refused)
    after = contents(tmp_path)
    undone = undo_decisions(real.undo, dry_run=True)
    assert contents(tmp_path) == after
    assert undone.done == undo_decisions(real.undo).done


def test_what_is_printed(album):
    made = with_file(album.decisions(), "sub/small.jpg", sha256="0" * 64)
    dry = apply_decisions(made, move_to=album.aside, dry_run=True)
    assert str(dry).splitlines() == [
        f"5 files, 4.52 kB, would be moved to {album.aside}",
        "left as it is: 1 file",
        "  sub/small.jpg: its contents changed",
    ]
    done = apply_decisions(made, move_to=album.aside)
    assert str(done).splitlines()[-1] == f"undo file: {done.undo}"
    assert repr(done) == f"AppliedDecisions(5 files, 4.52 kB, moved to {album.aside})"
    values = json.loads(done.to_json())
    assert values["bytes"] == done.bytes
    assert [file["path"] for file in values["done"]] == [file.path for file in done.done]
    undone = undo_decisions(done.undo)
    assert str(undone) == f"5 files, 4.52 kB, put back in {album.root}"
    assert json.loads(undone.to_json())["in_place"] == 0


def test_changed_files_are_left(album):
    made = album.decisions()
    (album.root / "copies/0.jpg").write_bytes(b"longer or shorter")
    state = (album.root / "copies/1.jpg").stat()
    data = (album.root / "copies/1.jpg").read_bytes()
    (album.root / "copies/1.jpg").write_bytes(data[:-1] + b"?")
    os.utime(album.root / "copies/1.jpg", ns=(state.st_atime_ns, state.st_mtime_ns))
    os.utime(album.root / "sub/small.jpg")
    (album.root / "trip 0/deep/er/again.jpg").unlink()
    done = apply_decisions(made, move_to=album.aside)
    assert reasons(done) == {
        "copies/0.jpg": "its size changed from 895 to 17 bytes",
        "copies/1.jpg": "its contents changed",
        "sub/small.jpg": "it was written again, with the same contents",
        "trip 0/deep/er/again.jpg": "it is missing",
    }
    assert {file.path for file in done.done} == {ODD, "trip 1/deep/er/again.jpg"}


def test_the_last_file_of_a_group_stays(album):
    made = album.decisions("copies")
    (album.root / "big.png").write_bytes(b"no longer the picture")
    done = apply_decisions(made, move_to=album.aside)
    assert not done.done
    assert set(reasons(done)) == {ODD, "sub/small.jpg"}
    reason = reasons(done)["sub/small.jpg"]
    assert reason.startswith("no other file of its group would be left (big.png: its size changed")


def test_a_group_without_a_kept_file_needs_a_confirmation(album):
    made = with_file(album.decisions("copies"), "big.png", decision="remove")
    assert len(apply_decisions(made, move_to=album.aside).refused) == 3
    confirmed = replace(made, groups=tuple(replace(one, remove_all=True) for one in made.groups))
    assert len(apply_decisions(confirmed, move_to=album.aside).done) == 3


def test_an_undecided_file_stays_and_counts_as_kept(album):
    made = with_file(album.decisions("copies"), "big.png", decision=None)
    assert len(apply_decisions(made, move_to=album.aside).done) == 2
    assert (album.root / "big.png").exists()


def test_another_name_of_the_removed_file_is_no_kept_copy(album, monkeypatch):
    """On a disk that takes small and capital letters for the same, two paths can be one file."""
    made = album.decisions("bytes")
    real = os.fstat
    one = os.stat(album.root / "trip 0/best.jpg").st_ino
    others = {os.stat(album.root / path).st_ino for path in ("trip 0/deep/er/again.jpg", "copies/0.jpg")}

    def same(state):
        values = list(state)
        values[1] = one if state.st_ino in others else state.st_ino
        return os.stat_result(values, {"st_mtime_ns": state.st_mtime_ns, "st_mtime": state.st_mtime})

    monkeypatch.setattr("kinbits.dedupe.tree.os.fstat", lambda descriptor: same(real(descriptor)))
    done = apply_decisions(made, move_to=album.aside, dry_run=True)
    assert "it is the same file under another name" in reasons(done)["copies/0.jpg"]


@pytest.mark.parametrize(
    "path", ["../outside.jpg", "/etc/passwd", "a/../../outside.jpg", "./copies/0.jpg", "copies//0.jpg", "a\0b", ".."]
)
def test_no_path_leads_out_of_the_root(album, tmp_path, path):
    (tmp_path / "outside.jpg").write_bytes((album.root / "copies/0.jpg").read_bytes())
    made = album.decisions("bytes")
    entry = replace(made.files["copies/0.jpg"], path=path)
    one = made.groups[0]
    other = replace(
        made, files={**made.files, path: entry}, groups=(replace(one, paths=(*one.paths, path)), *made.groups[1:])
    )
    done = apply_decisions(other, move_to=album.aside)
    assert reasons(done) == {path: "the path does not stay below the folder"}
    assert (tmp_path / "outside.jpg").exists()


def test_links_are_not_followed(album, tmp_path):
    made = album.decisions()
    outside = tmp_path / "outside"
    shutil.move(album.root / "trip 0/deep", outside)
    (album.root / "trip 0/deep").symlink_to(outside)
    shutil.move(album.root / "copies/1.jpg", outside)
    (album.root / "copies/1.jpg").symlink_to(outside / "1.jpg")
    done = apply_decisions(made, move_to=album.aside)
    assert reasons(done) == {
        "trip 0/deep/er/again.jpg": "a folder on its path is a symbolic link",
        "copies/1.jpg": "it is a symbolic link",
    }
    assert (outside / "er/again.jpg").exists()
    assert (outside / "1.jpg").exists()


def test_links_below_the_target_are_not_followed(album, tmp_path):
    (tmp_path / "outside").mkdir()
    album.aside.mkdir()
    (album.aside / "copies").symlink_to(tmp_path / "outside")
    done = apply_decisions(album.decisions(), move_to=album.aside)
    assert set(reasons(done)) == {"copies/0.jpg", "copies/1.jpg"}
    assert not list((tmp_path / "outside").iterdir())


def test_pipes_and_folders_are_left(album):
    made = album.decisions()
    for path in ("copies/0.jpg", "copies/1.jpg"):
        (album.root / path).unlink()
    os.mkfifo(album.root / "copies/0.jpg")
    (album.root / "copies/1.jpg").mkdir()
    assert set(reasons(apply_decisions(made, move_to=album.aside))) == {"copies/0.jpg", "copies/1.jpg"}


@pytest.mark.usefixtures("disks")
def test_nothing_is_overwritten(album):
    made = album.decisions()
    data = (album.root / "copies/0.jpg").read_bytes()
    for path, there in (("copies/0.jpg", data), ("copies/1.jpg", b"mine")):  # equal bytes are not ours either
        (album.aside / path).parent.mkdir(parents=True, exist_ok=True)
        (album.aside / path).write_bytes(there)
    done = apply_decisions(made, move_to=album.aside)
    assert reasons(done) == dict.fromkeys(["copies/0.jpg", "copies/1.jpg"], "the place is taken by another file")
    assert (album.aside / "copies/1.jpg").read_bytes() == b"mine"
    assert (album.root / "copies/0.jpg").read_bytes() == data
    assert not [path for path in album.aside.rglob("*") if path.name.endswith(".part")]


@pytest.mark.usefixtures("disks")
def test_undo_overwrites_nothing_and_names_what_stays(album):
    done = apply_decisions(album.decisions(), move_to=album.aside)
    (album.root / "copies/0.jpg").write_bytes(b"new")
    (album.aside / "copies/1.jpg").write_bytes(b"edited")
    (album.aside / "sub/small.jpg").unlink()
    undone = undo_decisions(done.undo)
    assert reasons(undone) == {
        "copies/0.jpg": "another file is at its place; the moved one stays where it is",
        "copies/1.jpg": "where it was moved to, there is a file with other contents; look at it yourself",
        "sub/small.jpg": "it is neither at its place nor where it was moved to",
    }
    assert {file.path for file in undone.done} == {ODD, "trip 0/deep/er/again.jpg", "trip 1/deep/er/again.jpg"}
    assert (album.root / "copies/0.jpg").read_bytes() == b"new"
    assert (album.aside / "copies/1.jpg").read_bytes() == b"edited"
    assert "not put back: 3 files" in str(undone)


def test_undo_makes_folders_that_are_gone(album):
    before, made = contents(album.root), album.decisions()
    done = apply_decisions(made, move_to=album.aside)
    shutil.rmtree(album.root / "trip 0/deep")
    undo_decisions(done.undo)
    assert contents(album.root) == before


def test_a_file_that_changes_between_check_and_move_stays(album, monkeypatch):
    made = album.decisions("copies")
    monkeypatch.setattr(
        "kinbits.dedupe.undo_file.UndoFile.add", lambda *_: (album.root / "sub/small.jpg").write_bytes(b"changed")
    )
    done = apply_decisions(made, move_to=album.aside)
    assert reasons(done) == {"sub/small.jpg": "it changed while it was checked"}
    assert (album.root / "sub/small.jpg").read_bytes() == b"changed"


def test_a_file_is_in_the_undo_file_before_it_moves(album, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    made = album.decisions()
    monkeypatch.setattr("kinbits.dedupe.moves.transfer", stop)
    with pytest.raises(KeyboardInterrupt):
        apply_decisions(made, move_to=album.aside, undo=album.aside / "u")
    lines = [json.loads(line) for line in (album.aside / "u").read_text().splitlines()]
    assert lines[0]["root"] == str(album.root)
    assert {line["path"] for line in lines[1:]} == {file.path for file in made.removed}


def test_equal_files_become_links_and_files_of_their_own_again(album, tmp_path):
    before, made = contents(album.root), album.decisions()
    done = apply_decisions(made.save(tmp_path / "decisions.json"), link=True)
    assert done.undo.parent == tmp_path
    linked = {file.path: file.kept for file in done.done}
    assert linked["copies/0.jpg"] == "trip 0/best.jpg"
    assert len(linked) == 4
    for path, kept in linked.items():
        assert os.path.samefile(album.root / path, album.root / kept)
    assert reasons(done)["sub/small.jpg"].startswith("no file with equal bytes stays")
    assert {path: value[0] for path, value in contents(album.root).items()} == {p: v[0] for p, v in before.items()}
    again = apply_decisions(tmp_path / "decisions.json", link=True)
    assert (again.done, len(again.earlier)) == ((), 4)
    undone = undo_decisions(done.undo)
    assert {file.path for file in undone.done} == set(linked)
    assert contents(album.root) == before
    assert undo_decisions(done.undo).in_place == 4


def test_links_that_exist_already_are_left(album, tmp_path):
    made = album.decisions("bytes")
    state = (album.root / "copies/0.jpg").stat()
    (album.root / "copies/0.jpg").unlink()
    os.link(album.root / "trip 0/best.jpg", album.root / "copies/0.jpg")
    made = with_file(made, "copies/0.jpg", modified=(album.root / "trip 0/best.jpg").stat().st_mtime)
    done = apply_decisions(made, link=True, undo=tmp_path / "undo-u")
    assert state.st_size == made.files["copies/0.jpg"].bytes
    assert reasons(done) == {"copies/0.jpg": "it is a link to trip 0/best.jpg already"}


def test_an_edited_link_is_not_undone(album, tmp_path):
    done = apply_decisions(album.decisions("bytes"), link=True, undo=tmp_path / "undo-u")
    with open(album.root / "trip 0/best.jpg", "ab") as file:
        file.write(b"edited")
    undone = undo_decisions(done.undo)
    assert set(reasons(undone)) == {"copies/0.jpg", "trip 0/deep/er/again.jpg"}
    assert reasons(undone)["copies/0.jpg"].startswith("it was written after it was linked")


def test_a_torn_line_is_cut_and_a_damaged_one_is_named(album):
    made = album.decisions()
    done = apply_decisions(made, move_to=album.aside)
    with open(done.undo, "ab") as file:
        file.write(b'{"path": "never beg')
    assert len(apply_decisions(made, move_to=album.aside).earlier) == 6
    assert done.undo.read_bytes().endswith(b"}\n")
    lines = done.undo.read_bytes().splitlines(keepends=True)
    done.undo.write_bytes(b"".join([*lines[:2], b"\0\0\0\n", *lines[3:]]))
    undone = undo_decisions(done.undo)
    assert reasons(undone) == {"": "line 3 of the undo file is damaged"}
    assert len(undone.done) == 5


def test_folders_inside_one_another_are_refused(album, tmp_path):
    made = album.decisions()
    for target in (album.root, album.root / "removed", tmp_path):
        with pytest.raises(UsageError, match="hold one another"):
            apply_decisions(made, move_to=target)
    (tmp_path / "link").symlink_to(album.root)
    with pytest.raises(UsageError, match="hold one another"):
        apply_decisions(made, move_to=tmp_path / "link" / "removed")


def test_wrong_calls_are_refused(album, tmp_path):
    made = album.decisions()
    for options in ({}, {"move_to": album.aside, "link": True}):
        with pytest.raises(UsageError, match="give either a folder to move files to, or link"):
            apply_decisions(made, **options)
    with pytest.raises(UsageError, match="name the undo file"):
        apply_decisions(made, link=True)
    apply_decisions(made, move_to=album.aside, undo=tmp_path / "u")
    other = with_file(made, "sub/small.jpg", decision="keep")
    with pytest.raises(UsageError, match="belongs to other decisions, or to another folder; choose another undo file"):
        apply_decisions(other, move_to=album.aside, undo=tmp_path / "u")
    (tmp_path / "x").write_text("x")
    for path in ("x", "none"):
        with pytest.raises(ArtefactError):
            undo_decisions(tmp_path / path)
    album.root.rename(tmp_path / "gone")
    with pytest.raises(DataError, match="album cannot be opened"):
        apply_decisions(made, move_to=album.aside)


def test_two_runs_do_not_mix(album):
    from kinbits._util import locked_output

    made = album.decisions()
    album.aside.mkdir()
    with locked_output(album.aside / f"undo-{made.fingerprint[:12]}.jsonl", "x"), pytest.raises(PlatformError):
        apply_decisions(made, move_to=album.aside)
    assert len(apply_decisions(made, move_to=album.aside).done) == 6


def test_a_real_second_disk(album):
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or memory.stat().st_dev == album.root.stat().st_dev:
        pytest.skip("needs /dev/shm on another disk")
    before, aside = contents(album.root), memory / f"kinbits-test-{os.getpid()}"
    try:
        done = apply_decisions(album.decisions(), move_to=aside)
        assert len(done.done) == 6
        assert {path: value[1:] for path, value in contents(aside).items()} == {
            path.replace(str(album.root), str(aside)): value[1:]
            for path, value in before.items()
            if path.replace(str(album.root) + "/", "") in {file.path for file in done.done}
        }
        assert len(undo_decisions(done.undo).done) == 6
        assert contents(album.root) == before
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def test_decisions_may_be_a_path(album, tmp_path):
    path = album.decisions().save(tmp_path / "decisions.json")
    assert Decisions.open(path).fingerprint[:12] in apply_decisions(path, move_to=album.aside).undo.name
