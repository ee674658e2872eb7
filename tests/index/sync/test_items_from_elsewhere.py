"""A synchronisation never deletes, changes or overwrites items that came from elsewhere."""

import os

import numpy as np
import pytest
from folder_model import PictureModel, code_of, codes_by_id, folder_index, make_old, picture, write

from kinbits.data import open_dataset
from kinbits.encoding import CodesFile, file_stamps
from kinbits.index import Index

FOREIGN = CodesFile(np.full((1, 8), 7, np.uint8), np.array(["shop/foreign.jpg"]), 64)


@pytest.fixture
def photos(tmp_path):
    for seed in range(6):
        write(tmp_path / "photos" / f"{seed}.png", seed)
    return tmp_path / "photos"


@pytest.fixture
def index(tmp_path, photos):
    return folder_index(Index.create, tmp_path / "photos.index", photos)


@pytest.mark.parametrize("records", ["kept", "lost"])
def test_an_added_item_with_the_name_of_an_image_stays(index, photos, records):
    index.add(FOREIGN)
    if records == "lost":
        (index._folder.path / "files.sqlite").unlink()
    kept = []
    for run in range(3):
        report = index.sync()
        kept += [one.id for one in report.kept]
        assert (report.changes, codes_by_id(index)["shop/foreign.jpg"]) == (0, bytes([7] * 8)), run
    assert kept == (["shop/foreign.jpg"] if records == "lost" else [])
    (photos / "1.png").unlink()
    assert index.sync().deleted == ("1.png",)


@pytest.mark.parametrize("records", ["kept", "lost"])
def test_a_column_path_of_an_added_item_names_no_file(index, photos, records):
    index.add(np.full((1, 8), 7, np.uint8), ids=["sku1"], metadata={"path": ["new.png"]})
    if records == "lost":
        (index._folder.path / "files.sqlite").unlink()
    write(photos / "new.png", 50)
    assert index.sync().added == ("new.png",)
    assert (codes_by_id(index)["sku1"], codes_by_id(index)["new.png"]) == (bytes([7] * 8), code_of(50))
    os.rename(photos / "new.png", photos / "newer.png")
    assert [one.id for one in index.sync().moved] == ["new.png"]
    (photos / "newer.png").unlink()
    assert index.sync().deleted == ("new.png",)
    assert "sku1" in index.ids()


@pytest.mark.parametrize("age", [0, -60], ids=["just written", "of a clock that goes ahead"])
def test_files_without_a_settled_time_belong_to_the_folder(tmp_path, age):
    for seed in range(4):
        write(tmp_path / "photos" / f"{seed}.png", seed, age)
    index = folder_index(Index.create, tmp_path / "i", tmp_path / "photos")
    (tmp_path / "photos" / "1.png").unlink()
    assert index.sync().deleted == ("1.png",)


def test_moved_items_with_numbers_survive_a_loss_of_records_and_a_kill_after_it(index, photos, monkeypatch):
    os.rename(photos / "1.png", photos / "one.png")
    index.sync()
    write(photos / "1.png", 60)
    assert index.sync().added == ("1.png (2)",)
    (index._folder.path / "files.sqlite").unlink()
    with monkeypatch.context() as patch:
        patch.setattr("kinbits.index.sync.apply.Steps.touch", lambda self, plan: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            index.sync()
    report = index.sync()
    assert (report.changes, report.kept, report.compared) == (0, (), 7)


def test_an_item_that_another_process_adds_meanwhile_is_not_overwritten(index, photos):
    other = Index.open(index._folder.path)
    write(photos / "new.png", 50)
    write(photos / "same.png", 51)

    def add():
        index._model.while_encoding = None
        codes = np.array([[7] * 8, list(code_of(51))], np.uint8)
        other.add(CodesFile(codes, np.array(["new.png", "same.png"]), 64))

    index._model.while_encoding = add
    assert index.sync().added == ("new.png (2)", "same.png")
    for _ in range(2):
        codes = codes_by_id(index)
        assert (codes["new.png"], codes["new.png (2)"], codes["same.png"]) == (bytes([7] * 8), code_of(50), code_of(51))
        assert (index.sync().changes, len(index)) == (0, 9)


@pytest.mark.parametrize("step", ["touch", "move"])
def test_items_that_another_process_deletes_meanwhile_are_left_out(index, photos, monkeypatch, step):
    from kinbits.index.sync.apply import Steps

    other, known = Index.open(index._folder.path), getattr(Steps, step)
    os.rename(photos / "1.png", photos / "one.png")
    (photos / "2.png").unlink()

    def after_a_deletion(self, plan):
        other.refresh().delete(["1.png"] if step == "touch" else ["2.png"])
        known(self, plan)

    monkeypatch.setattr(Steps, step, after_a_deletion)
    index.sync()
    monkeypatch.undo()
    index.sync()
    expected = {"0.png", "3.png", "4.png", "5.png", "one.png" if step == "touch" else "1.png"}
    assert set(index.ids().tolist()) == expected


def test_frames_keep_their_numbers_when_their_file_moves(tmp_path):
    place = tmp_path / "photos"
    write(place / "still.png", 1)
    picture(20).save(place / "x.gif", save_all=True, append_images=[picture(seed) for seed in range(21, 33)])
    (place / "y.gif").write_bytes((place / "x.gif").read_bytes())
    for name in "xy":
        make_old(place / f"{name}.gif")
    data = open_dataset(place, frames="all")
    assert (file_stamps(data) > 0).all()
    index = Index.create(tmp_path / "i", data, model=PictureModel())
    assert (index.sync().compared, len(index)) == (0, 27)
    index.delete("x.gif#2")  # by hand: the others still keep their numbers, and the frame comes back
    for name, new in ("x", "z"), ("y", "a"):
        os.rename(place / f"{name}.gif", place / f"{new}.gif")
    report = index.sync()
    assert {one.old.partition("#")[2] == one.new.partition("#")[2] for one in report.moved} == {True}
    assert (len(report.moved), len(report.added), len({(m.old[0], m.new[0]) for m in report.moved})) == (25, 1, 2)
    assert index.sync().changes == 0
