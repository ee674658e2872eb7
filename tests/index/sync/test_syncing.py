"""An index follows its folder: new, changed, moved and gone files."""

import os
import shutil
import threading

import numpy as np
import pytest
from folder_model import PictureModel, code_of, codes_by_id, folder_index, make_old, picture, write

from kinbits.data import open_dataset
from kinbits.encoding import CodesFile
from kinbits.errors import BusyError, DataError, PlatformError, UsageError
from kinbits.index import Index, MovedFile


@pytest.fixture
def photos(tmp_path):
    """Eight pictures of two classes, of which 0 to 7 are the seeds."""
    for seed in range(8):
        write(tmp_path / "photos" / ("cat" if seed % 2 else "dog") / f"{seed}.png", seed)
    return tmp_path / "photos"


@pytest.fixture
def index(tmp_path, photos):
    return folder_index(Index.create, tmp_path / "photos.index", photos)


def synced(index, *arguments, **options):
    """Synchronise; the model tells what it encoded in this run."""
    index._model.encoded.clear()
    return index.sync(*arguments, **options)


def require_up_to_date(index, photos, unreadable=0):
    """Each readable file has one item with its code, and there is no other item."""
    data, stored = open_dataset(photos), index.to_codes()
    paths = stored.columns.get("path", [None] * len(stored))
    by_path = {path or id_: code for id_, path, code in zip(stored.ids, paths, stored.codes, strict=True)}
    assert len(by_path) == len(stored) == len(data) - unreadable
    model, readable = PictureModel(), 0
    found = model.encode(data, on_error="skip")
    for row, code in zip(found.rows, found.array, strict=True):
        readable += 1
        assert by_path[data.ids[row]].tobytes() == code.tobytes()
    return readable


def test_a_fresh_index_needs_no_encoding(index, photos):
    before = index.stamp
    report = synced(index)
    assert (report.changes, report.unchanged, report.items, report.compared) == (0, 8, 8, 0)
    assert index._model.encoded == []
    assert index.stamp == before
    assert report.folder == photos


def test_all_kinds_of_changes_at_once(index, photos):
    index.update(["cat/1.png", "dog/0.png"], {"price": [10, 20]})
    write(photos / "cat" / "new.png", 50)
    write(photos / "dog" / "2.png", 51)
    (photos / "dog" / "4.png").unlink()
    os.rename(photos / "cat" / "1.png", photos / "dog" / "one.png")
    dry = synced(index, dry_run=True)
    assert (index._model.encoded, len(index)) == ([], 8)
    report = synced(index)
    for told in dry, report:
        assert (told.added, told.changed, told.deleted) == (("cat/new.png",), ("dog/2.png",), ("dog/4.png",))
        assert told.moved == (MovedFile("cat/1.png", "cat/1.png", "dog/one.png"),)
        assert (told.unchanged, told.items, told.changes) == (5, 8, 4)
    assert sorted(index._model.encoded) == ["cat/new.png", "dog/2.png"]
    assert require_up_to_date(index, photos) == 8
    hits = index.search(np.frombuffer(code_of(1), np.uint8), k=1).to_dicts()
    assert hits == [
        {"id": "cat/1.png", "distance": 0, "label": "dog", "path": "dog/one.png", "price": 10},
    ]
    assert synced(index).changes == 0


def test_a_report_reads_well(index, photos):
    write(photos / "cat" / "new.png", 50)
    (photos / "cat" / "bad.png").write_bytes(b"no picture")
    make_old(photos / "cat" / "bad.png")
    added, bad = str(synced(index)).splitlines()[1:]
    assert (added, bad.split(" (")[0]) == ("  1 added: cat/new.png", "  1 cannot be read: cat/bad.png")
    assert bad.endswith(")"), "with the reason"
    write(photos / "cat" / "newer.png", 51)
    report = synced(index, dry_run=True)
    assert "1 would be added: cat/newer.png" in repr(report)
    assert report.to_dict()["added"] == ["cat/newer.png"]


def test_hits_stay_ordered_by_distance_and_id_after_moves(index, photos):
    for seed in range(8):
        folder = "cat" if seed % 2 else "dog"
        os.rename(photos / folder / f"{seed}.png", photos / folder / f"{9 - seed}-moved.png")
    assert len(synced(index).moved) == 8
    hits = index.search(np.zeros(8, np.uint8), k=8)
    assert list(zip(hits.distances, hits.ids, strict=True)) == sorted(zip(hits.distances, hits.ids, strict=True))
    assert set(hits.ids.tolist()) == {f"{'cat' if seed % 2 else 'dog'}/{seed}.png" for seed in range(8)}


def test_a_file_with_another_time_is_read_but_not_encoded(index, photos):
    make_old(photos / "cat" / "1.png", 30)
    before = index.stamp
    assert (synced(index).changes, index._model.encoded, index.stamp) == (0, [], before)


def test_contents_that_keep_size_and_time_are_seen_with_checksum(tmp_path):
    photos = tmp_path / "photos"
    for seed in range(3):
        write(photos / f"{seed}.bmp", seed)  # of equal sizes
    index = folder_index(Index.create, tmp_path / "i", photos)
    info = os.stat(photos / "1.bmp")
    write(photos / "1.bmp", 70)
    os.utime(photos / "1.bmp", ns=(info.st_mtime_ns, info.st_mtime_ns))
    assert synced(index).changes == 0
    assert synced(index, checksum=True).changed == ("1.bmp",)
    assert codes_by_id(index)["1.bmp"] == code_of(70)


def test_a_copy_takes_no_id_of_a_file_that_is_still_there(index, photos):
    shutil.copy2(photos / "cat" / "1.png", photos / "cat" / "0 copy.png")
    report = synced(index)
    assert (report.added, report.moved) == (("cat/0 copy.png",), ())
    (photos / "cat" / "1.png").unlink()  # now the copy is an item of its own, and stays so
    report = synced(index)
    assert (report.deleted, report.moved, report.added) == (("cat/1.png",), (), ())
    assert require_up_to_date(index, photos) == 8


def test_of_equal_files_each_that_moves_keeps_its_own_id(index, photos):
    for name in "ab":
        shutil.copy2(photos / "cat" / "1.png", photos / "cat" / f"{name}.png")
    synced(index)
    index.update(["cat/a.png", "cat/b.png"], {"tag": ["a", "b"]})
    (photos / "deep").mkdir()
    for name in "ab":
        os.rename(photos / "cat" / f"{name}.png", photos / "deep" / f"{name}.png")
    report = synced(index)
    assert {(one.id, one.new) for one in report.moved} == {("cat/a.png", "deep/a.png"), ("cat/b.png", "deep/b.png")}
    assert report.added == report.deleted == ()


def test_a_new_file_at_the_old_place_of_a_moved_one_gets_an_id_of_its_own(index, photos):
    os.rename(photos / "cat" / "1.png", photos / "cat" / "one.png")
    synced(index)
    write(photos / "cat" / "1.png", 60)
    assert synced(index).added == ("cat/1.png (2)",)
    codes = codes_by_id(index)
    assert (codes["cat/1.png"], codes["cat/1.png (2)"]) == (code_of(1), code_of(60))
    assert require_up_to_date(index, photos) == 9
    hits = index.search(np.frombuffer(code_of(60), np.uint8), k=1)
    assert hits.to_dicts()[0]["path"] == "cat/1.png"
    assert synced(index).changes == 0


def test_a_file_that_moves_back_has_no_other_path_any_more(index, photos):
    os.rename(photos / "cat" / "1.png", photos / "cat" / "one.png")
    synced(index)
    os.rename(photos / "cat" / "one.png", photos / "cat" / "1.png")
    assert synced(index).moved == (MovedFile("cat/1.png", "cat/one.png", "cat/1.png"),)
    assert set(index.to_codes(["path"]).columns["path"]) == {None}


def test_a_file_that_overwrites_another_takes_its_place(index, photos):
    os.replace(photos / "cat" / "1.png", photos / "cat" / "3.png")
    report = synced(index)
    assert (report.changed, report.deleted, report.moved) == (("cat/3.png",), ("cat/1.png",), ())
    assert require_up_to_date(index, photos) == 7


def test_what_a_user_set_survives_and_what_the_folder_says_follows(index, photos):
    index.update(["cat/1.png", "cat/3.png"], {"label": ["tiger", "cat"], "price": [1, 3]})
    for seed in (1, 3):
        os.rename(photos / "cat" / f"{seed}.png", photos / "dog" / f"{seed}.png")
    write(photos / "cat" / "5.png", 55)
    index.update("cat/5.png", {"price": [5]})
    synced(index)
    rows = {row["id"]: row for row in index.search(np.zeros(8, np.uint8), k=8).to_dicts()}
    assert [rows[f"cat/{seed}.png"]["label"] for seed in (1, 3, 5)] == ["tiger", "dog", "cat"]
    assert [rows[f"cat/{seed}.png"]["price"] for seed in (1, 3, 5)] == [1, 3, 5]


@pytest.mark.parametrize("keep", ["int8", "float32"])
def test_kept_vectors_survive_a_move_and_follow_the_contents(tmp_path, photos, keep):
    index = folder_index(Index.create, tmp_path / "i", photos, keep=keep)
    os.rename(photos / "cat" / "1.png", photos / "one.png")
    write(photos / "cat" / "3.png", 53)
    report = synced(index)
    assert (len(report.moved), report.changed) == (1, ("cat/3.png",))
    for seed, id_ in (1, "cat/1.png"), (53, "cat/3.png"), (5, "cat/5.png"):
        query = np.frombuffer(code_of(seed), np.uint8)
        vectors = query.astype(np.float32)[None]
        hits = index.search(query[None], k=1, rescore=8, vectors=vectors)[0]
        assert hits.ids.tolist() == [id_]
        assert hits.distances[0] == pytest.approx(0, abs=1e-4)
    assert synced(index).changes == 0


@pytest.mark.parametrize("damage", [b"", b"no picture"], ids=["empty", "damaged"])
def test_a_file_that_is_damaged_now_keeps_its_old_code(index, photos, damage):
    (photos / "cat" / "1.png").write_bytes(damage)
    (photos / "cat" / "9.png").write_bytes(damage)
    for path in "cat/1.png", "cat/9.png":
        make_old(photos / path)
    for _ in range(2):
        report = synced(index)
        assert [one.id for one in report.kept] == ["cat/1.png"]
        assert [one.id for one in report.skipped] == ["cat/9.png"]
        assert all(one.reason for one in (*report.kept, *report.skipped))
        assert (report.changes, report.items) == (0, 8)
        assert codes_by_id(index)["cat/1.png"] == code_of(1)
    assert index._model.encoded == []  # known to be damaged
    write(photos / "cat" / "1.png", 61)
    assert synced(index).changed == ("cat/1.png",)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_files_of_a_folder_that_cannot_be_read_keep_their_items(index, photos):
    os.chmod(photos / "cat", 0)
    try:
        report = synced(index)
    finally:
        os.chmod(photos / "cat", 0o755)
    assert (report.changes, len(report.kept), len(index)) == (0, 4, 8)


def test_files_below_a_folder_that_cannot_be_listed_keep_their_items(index, photos, monkeypatch):
    known = os.scandir

    def scandir(path="."):
        if os.fspath(path).endswith("cat"):
            raise PermissionError(13, "Permission denied")
        return known(path)

    monkeypatch.setattr(os, "scandir", scandir)
    report = synced(index)
    assert (report.changes, len(report.kept), len(index)) == (0, 4, 8)


def test_a_caption_of_a_file_that_is_gone_does_not_keep_its_item(tmp_path, photos):
    lines = [f"{'cat' if seed % 2 else 'dog'}/{seed}.png\tpicture {seed}\n" for seed in range(8)]
    (photos / "captions.txt").write_text("".join(lines))
    index = folder_index(Index.create, tmp_path / "i", photos)
    (photos / "cat" / "1.png").unlink()
    report = synced(index)
    assert (report.deleted, report.kept, report.skipped) == (("cat/1.png",), (), ())


@pytest.mark.parametrize("state", ["missing", "empty", "few files"])
def test_a_disk_that_is_not_mounted_empties_no_index(index, photos, state):
    shutil.move(photos, photos.with_name("elsewhere"))
    if state != "missing":
        photos.mkdir()
    if state == "few files":
        for seed in range(3):
            write(photos / "dog" / f"{seed}.png", seed + 90)
    before = index.stamp
    with pytest.raises(DataError, match="mount"):
        synced(index)
    with pytest.raises(DataError, match="mount"):
        synced(index, dry_run=True)
    assert (index.stamp, len(index)) == (before, 8)
    if state == "missing":
        with pytest.raises(DataError, match="is missing"):
            synced(index, delete_many=True)
    else:
        report = synced(index, delete_many=True)
        assert len(report.deleted) == (8 if state == "empty" else 6)
        assert len(index) == (0 if state == "empty" else 3)


def test_half_of_the_files_may_go_and_files_that_move_do_not_count(index, photos):
    shutil.move(photos / "cat", photos / "tiger")
    for seed in (0, 2, 4, 6):
        (photos / "dog" / f"{seed}.png").unlink()
    report = synced(index)
    assert (len(report.deleted), len(report.moved)) == (4, 4)


def test_a_whole_folder_elsewhere_is_followed_without_encoding(index, photos, tmp_path):
    shutil.move(photos, tmp_path / "elsewhere")
    report = synced(index, tmp_path / "elsewhere")
    assert (report.changes, report.unchanged, index._model.encoded) == (0, 8, [])
    assert synced(index).folder == tmp_path / "elsewhere"


def test_an_index_that_moved_with_its_folder_finds_it(tmp_path, index, photos):
    synced(index)
    (tmp_path / "new").mkdir()
    for name in ("photos", "photos.index"):
        shutil.move(tmp_path / name, tmp_path / "new" / name)
    moved = Index.open(tmp_path / "new" / "photos.index", model=PictureModel())
    report = synced(moved)
    assert (report.folder, report.changes) == (tmp_path / "new" / "photos", 0)


@pytest.mark.parametrize("loss", ["lost", "damaged", "of a restored index"])
def test_lost_records_are_made_again_and_nothing_changes(index, photos, loss):
    synced(index)
    os.rename(photos / "cat" / "1.png", photos / "one.png")
    synced(index)
    place = index._folder.path / "files.sqlite"
    if loss == "lost":
        place.unlink()
    elif loss == "damaged":
        place.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    else:  # the codes are those of an older state of the folder
        index.add(CodesFile(np.zeros((8, 8), np.uint8), index.ids(), 64), upsert=True)
        os.rename(photos / "one.png", photos / "cat" / "1.png")
    report = synced(index)
    if loss != "of a restored index":
        assert (report.changes, report.compared, sorted(index._model.encoded)[-1]) == (0, 8, "one.png")
    assert require_up_to_date(index, photos) == 8
    assert synced(index).compared == 0
    assert index._model.encoded == []


def test_an_index_that_was_made_from_a_file_of_codes_is_compared_once(tmp_path, photos):
    model, data = PictureModel(), open_dataset(photos)
    found = model.encode(data, on_error="skip").array
    codes = CodesFile(found, data.ids, 64, data.metadata(), model.fingerprint, root=photos)
    Index.create(tmp_path / "i", codes)
    index = Index.open(tmp_path / "i", model=model)
    (photos / "cat" / "1.png").unlink()
    report = synced(index)
    assert (report.compared, report.deleted, report.changed) == (7, (), ())
    assert [one.id for one in report.kept] == ["cat/1.png"]  # nobody knows whether it was a file of this folder
    (photos / "cat" / "3.png").unlink()  # which has a record by now
    assert synced(index).deleted == ("cat/3.png",)
    assert "cat/1.png" in index.ids()


def test_items_of_other_folders_are_left_alone(tmp_path, index, photos):
    write(tmp_path / "other" / "x.png", 80)
    index.add(tmp_path / "other")
    index.add(np.zeros((1, 8), np.uint8), ids=["vector 1"])
    assert synced(index).changes == 0
    (photos / "cat" / "1.png").unlink()
    assert synced(index).deleted == ("cat/1.png",)
    assert {"x.png", "vector 1"} <= set(index.ids().tolist())


def test_what_was_added_or_deleted_by_hand_is_brought_in_line(index, photos):
    write(photos / "cat" / "new.png", 50)
    index.add(photos, upsert=True)
    index.delete("cat/1.png")
    report = synced(index)
    assert (report.added, report.changed, report.deleted) == (("cat/1.png",), (), ())
    assert require_up_to_date(index, photos) == 9


def test_class_folders_that_are_no_labels_stay_so(tmp_path, photos):
    index = Index.create(tmp_path / "i", open_dataset(photos, labels=False), model=PictureModel())
    write(photos / "cat" / "new.png", 50)
    synced(index)
    assert index.to_codes().columns.keys() == {"folder"}
    assert index.count("folder=cat") == 5


@pytest.mark.parametrize("records", ["kept", "lost"])
def test_frames_and_hidden_files_stay_items(tmp_path, photos, records):
    picture(20).save(photos / "cat" / "film.gif", save_all=True, append_images=[picture(seed) for seed in (21, 22)])
    write(photos / ".hidden" / "30.png", 30)
    make_old(photos / "cat" / "film.gif")
    data = open_dataset(photos, frames="all", include_hidden=True)
    index = Index.create(tmp_path / "i", data, model=PictureModel())
    assert {"cat/film.gif#1", ".hidden/30.png"} <= set(index.ids().tolist())
    if records == "lost":
        (tmp_path / "i" / "files.sqlite").unlink(missing_ok=True)
    assert synced(index).changes == 0
    os.rename(photos / "cat" / "film.gif", photos / "cat" / "movie.gif")
    moved = {(one.id, one.new) for one in synced(index).moved}
    assert moved == {(f"cat/film.gif#{frame}", f"cat/movie.gif#{frame}") for frame in range(3)}
    (photos / "cat" / "movie.gif").write_bytes(b"")
    report = synced(index)
    assert ([one.id for one in report.kept], report.changes) == ([f"cat/movie.gif#{frame}" for frame in range(3)], 0)
    assert len(synced(index, frames="first", include_hidden=False).deleted) == 1


def test_an_index_without_its_folder_says_what_it_needs(tmp_path, photos):
    with pytest.raises(UsageError, match="in memory"):
        Index.create(model=PictureModel()).sync(photos)
    empty = Index.create(tmp_path / "i", model=PictureModel())
    with pytest.raises(UsageError, match="knows no folder"):
        empty.sync()
    assert len(synced(empty, photos).added) == 8
    assert synced(empty).changes == 0
    numbered = Index.create(tmp_path / "j", np.zeros((2, 8), np.uint8), model=PictureModel())
    with pytest.raises(UsageError, match="whole numbers"):
        numbered.sync(photos)
    named = Index.create(tmp_path / "k", np.zeros((2, 8), np.uint8), ["x", "y"], model=PictureModel())
    with pytest.raises(UsageError, match="none of the 2 items"):
        named.sync(photos)
    with pytest.raises(UsageError, match="batch_size=0"):
        empty.sync(batch_size=0)


def test_two_synchronisations_at_once(index, photos):
    write(photos / "cat" / "new.png", 50)
    told = []
    other = Index.open(index._folder.path, model=PictureModel())

    def while_encoding():
        with pytest.raises(BusyError, match="being synchronised already"):
            other.sync()
        told.append(other.sync(dry_run=True).added)  # which changes nothing, so it may

    index._model.while_encoding = while_encoding
    assert synced(index).added == ("cat/new.png",)
    assert told == [("cat/new.png",)]
    assert (BusyError.exit_code, issubclass(BusyError, PlatformError)) == (11, True)
    assert other.sync().changes == 0


def test_a_file_that_changes_while_it_is_encoded_is_seen_by_the_next_run(index, photos):
    write(photos / "cat" / "new.png", 50)
    index._model.while_encoding = lambda: write(photos / "cat" / "new.png", 51)
    synced(index)
    index._model.while_encoding = None
    assert synced(index).changed == ("cat/new.png",)
    assert codes_by_id(index)["cat/new.png"] == code_of(51)


def test_a_search_goes_on_during_a_synchronisation(index, photos):
    for seed in range(20, 60):
        write(photos / "cat" / f"{seed}.png", seed)
    reader, ended, seen = Index.open(index._folder.path), threading.Event(), set()

    def search():
        while not ended.is_set():
            seen.add(len(reader.refresh().search(np.zeros(8, np.uint8), k=100)))

    thread = threading.Thread(target=search)
    thread.start()
    try:
        synced(index, batch_size=4)
    finally:
        ended.set()
        thread.join()
    assert seen <= set(range(8, 49, 4))
    assert require_up_to_date(index, photos) == 48


def test_the_picture_of_a_moved_item_is_found(index, photos):
    from kinbits.index import find_image

    os.rename(photos / "cat" / "1.png", photos / "cat" / "one.png")
    write(photos / "cat" / "1.png", 60)
    synced(index)
    row = index.search(np.frombuffer(code_of(1), np.uint8), k=1).to_dicts()[0]
    assert find_image(row, [photos]).tobytes() == picture(1).tobytes()
