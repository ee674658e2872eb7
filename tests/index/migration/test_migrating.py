"""A new model takes the place of an old one: nothing is lost, in any order of events, and the way back is open."""

import numpy as np
import pytest
from new_models import DigestModel, codes_by_id, new_model, old_model, picture, write

from kinbits.data import open_dataset
from kinbits.errors import ArtefactError, BusyError, DataError, UsageError
from kinbits.index import Index, IndexOptions, discard_migration, migrate, roll_back


@pytest.fixture
def photos(tmp_path):
    for seed in range(12):
        write(tmp_path / "photos" / ("cats", "dogs")[seed % 2] / f"{seed}.png", seed)
    return tmp_path / "photos"


@pytest.fixture
def index(tmp_path, photos):
    made = Index.create(tmp_path / "photos.index", open_dataset(photos), model=old_model())
    made.update(made.ids(), {"number": list(range(12))})
    return made


def wanted(model, photos):
    return {
        str(path.relative_to(photos)): model.code(picture(int(path.stem))) for path in sorted(photos.rglob("*.png"))
    }


def test_every_item_has_the_code_of_the_new_model_and_what_it_had(index, photos):
    before = index.to_codes().columns
    report = migrate(index.info()["path"], new_model())
    now = Index.open(index.info()["path"], new_model())
    now.verify()
    assert codes_by_id(now) == wanted(new_model(), photos)
    assert now.to_codes().columns == before
    assert now.bits == 32
    assert now.fingerprint == "b" * 64
    assert (report.swapped, report.items, report.encoded, report.left_out) == (True, 12, 12, ())
    assert now.info()["generation"] > index.info()["generation"]
    assert now.info()["image_roots"] == [str(photos)]
    assert report.comparison.queries == 6
    assert report.comparison.label == "label"


def test_a_reader_goes_on_and_is_told(index, photos):
    place, query = index.info()["path"], index.to_codes().codes[0]
    reader = Index.open(place, old_model())
    migrate(place, new_model())
    assert reader.search(query, k=1).distances.tolist() == [0]
    with pytest.raises(ArtefactError, match=r"another model|created again"):
        reader.refresh()
    assert reader.search(query, k=1).distances.tolist() == [0]
    with pytest.raises(ArtefactError):
        reader.delete(reader.ids()[0])  # a change of the old contents has no place any more


def test_changes_while_items_are_encoded_are_in_the_new_index(index, photos):
    place, model = index.info()["path"], new_model()
    names = index.ids().tolist()

    def meanwhile():
        model.while_encoding = None
        other = Index.open(place, old_model())
        other.delete(names[0])
        other.update(names[1], {"number": [-1]})
        write(photos / names[2], 99)
        write(photos / "birds/100.png", 100)
        other.sync(photos)

    model.while_encoding = meanwhile
    report = migrate(place, model, batch_size=5)
    now = Index.open(place, new_model())
    codes = codes_by_id(now)
    assert codes["birds/100.png"] == model.code(picture(100))
    assert codes[names[2]] == model.code(picture(99))
    assert names[0] in codes  # its file is there, so the synchronisation brought it back
    assert now.to_codes(["number"], ids=[names[1]]).columns["number"] == [-1]
    assert set(codes) == set(Index.open(report.before, old_model()).ids().tolist())
    now.verify()


def test_a_late_change_is_followed_before_the_swap(index, photos):
    place, model = index.info()["path"], new_model()
    first = migrate(place, model, swap=False)
    assert not first.swapped
    assert Index.open(place, old_model()).bits == 64
    assert len(Index.open(first.after, new_model())) == 12  # can be tried before it is put in its place
    write(photos / "birds/100.png", 100)
    index.sync(photos)
    index.delete(index.ids()[-1])
    second = migrate(place, model)
    assert second.encoded == 1
    assert codes_by_id(Index.open(place, model))["birds/100.png"] == model.code(picture(100))
    assert len(Index.open(place, model)) == 12


def test_only_what_is_lacking_is_encoded_after_an_interruption(index):
    place, model = index.info()["path"], new_model()

    def stop():
        raise KeyboardInterrupt

    for rounds in range(3):
        model.while_encoding = None if rounds == 2 else stop_after(model, 2 * rounds + 1, stop)
        if rounds < 2:
            with pytest.raises(KeyboardInterrupt):
                migrate(place, model, batch_size=2)
            assert len(Index.open(place, old_model())) == 12  # it answers throughout
        else:
            migrate(place, model, batch_size=2)
    assert len(model.encoded) < 12 + 2 * 2 + 1
    assert len(Index.open(place, model)) == 12


def stop_after(model, batches, stop):
    left = [batches]

    def count():
        left[0] -= 1
        if not left[0]:
            stop()

    return count


def test_the_way_back(index, photos):
    place, before = index.info()["path"], codes_by_id(index)
    migrate(place, new_model())
    now = Index.open(place, new_model())
    name = now.ids()[0]
    deleted = now.ids()[1]
    now.delete(deleted)
    now.update(name, {"number": [77]})
    model = old_model()
    report = roll_back(place)
    back = Index.open(place, model)
    assert report.swapped
    assert back.bits == 64
    assert report.encoded == 0
    assert codes_by_id(back) == {key: code for key, code in before.items() if key != deleted}
    assert back.to_codes(["number"], ids=[name]).columns["number"] == [77]
    assert migrate(place, new_model()).encoded == 0  # and forth again
    assert Index.open(place, new_model()).bits == 32
    assert len(Index.open(place, new_model())) == 11


def test_items_that_are_gone_stand_in_the_way_unless_they_may_be_left_out(index, photos):
    place = index.info()["path"]
    gone = index.ids()[3]
    (photos / gone).unlink()
    (photos / index.ids()[4]).write_bytes(b"no image")
    with pytest.raises(DataError, match="--drop-unreadable"):
        migrate(place, new_model())
    assert Index.open(place, old_model()).bits == 64
    report = migrate(place, new_model(), drop_unreadable=True)
    assert sorted(one.id for one in report.left_out) == sorted(index.ids()[3:5].tolist())
    assert report.items == 10
    assert len(Index.open(place, new_model())) == 10
    roll_back(place)
    assert len(Index.open(place, old_model())) == 12


def test_vectors_are_read_from_the_data_that_are_named(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    np.save(tmp_path / "vectors.npy", vectors)
    model = old_model()
    made = Index.create(
        tmp_path / "index", open_dataset(tmp_path / "vectors.npy"), metadata={"label": ["x", "y"] * 25}, model=model
    )
    assert made.info()["ids"] == "int"
    bare = Index.create(tmp_path / "bare", open_dataset(vectors), model=model)
    with pytest.raises(DataError, match="--data"):
        migrate(bare.info()["path"], new_model())
    report = migrate(tmp_path / "index", new_model(), tmp_path / "vectors.npy")
    now = Index.open(tmp_path / "index", new_model())
    assert codes_by_id(now) == {row: new_model().code(vectors[row]) for row in range(50)}
    assert report.comparison.label == "label"
    assert 0 <= report.comparison.map[1] <= 1
    with pytest.raises(UsageError, match="the way back"):
        migrate(tmp_path / "index", DigestModel("c", 16), vectors)
    discard_migration(tmp_path / "index")
    with pytest.raises(DataError, match="is not in"):
        migrate(tmp_path / "index", DigestModel("c", 16), vectors[:49])


MISTAKES = {"same": "already", "other": "--discard", "label": "no column", "batch": "1 or more"}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_told(index, mistake):
    place = index.info()["path"]
    if mistake == "other":
        migrate(place, new_model(), swap=False)
    model = {"same": old_model(), "other": DigestModel("c", 16)}.get(mistake, new_model())
    how = {"label": {"label": "colour"}, "batch": {"batch_size": 0}}.get(mistake, {})
    with pytest.raises(UsageError, match=MISTAKES[mistake]):
        migrate(place, model, **how)


def test_an_index_that_was_not_migrated_cannot_be_rolled_back(index):
    place = index.info()["path"]
    for act in (roll_back, discard_migration):
        with pytest.raises(UsageError, match=r"nothing to roll back|no migration"):
            act(place)
    migrate(place, new_model(), swap=False)
    with pytest.raises(UsageError, match="nothing to roll back"):
        roll_back(place)
    assert not discard_migration(place).exists()


def test_one_migration_at_a_time(index):
    place, model, told = index.info()["path"], new_model(), []

    def second():
        model.while_encoding = None
        with pytest.raises(BusyError, match="migrated already") as refused:
            migrate(place, new_model())
        told.append(refused)

    model.while_encoding = second
    assert migrate(place, model).swapped
    assert told


def test_tables_and_kept_files_follow(tmp_path):
    options = IndexOptions(table_rows=64)
    vectors = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    made = Index.create(tmp_path / "index", open_dataset(vectors), model=old_model(), options=options)
    made.optimize()
    assert made.info()["tables"] == 1
    migrate(tmp_path / "index", new_model(), vectors)
    now = Index.open(tmp_path / "index", new_model())
    now.verify()
    assert len(now) == 300


def test_records_of_files_are_kept_so_that_sync_has_nothing_to_do(index, photos):
    place, model = index.info()["path"], new_model()
    index.sync(photos)
    migrate(place, model)
    model.encoded.clear()
    report = Index.open(place, model).sync(photos)
    assert report.changes == 0
    assert not model.encoded
