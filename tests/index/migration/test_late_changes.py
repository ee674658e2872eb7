"""Changes of files and of the index around a migration, in any order and with interruptions, leave nothing stale."""

import os

import numpy as np
import pytest
from new_models import DigestModel, codes_by_id, new_model, old_model, picture, write

from kinbits.data import open_dataset
from kinbits.errors import ArtefactError, DataError, UsageError
from kinbits.index import Index, discard_migration, migrate, roll_back
from kinbits.index.migration.notes import Notes
from kinbits.index.migration.replacement import Replacement

ROUNDS = 60 if os.environ.get("KINBITS_EXHAUSTIVE") else 8


class CoarseModel(DigestModel):
    """Gives all pictures one code."""

    def code(self, item):
        return [7] * (self.bits // 8)


class Interruption(BaseException):
    """Like a kill: nothing handles it."""


@pytest.fixture
def photos(tmp_path):
    for seed in range(6):
        write(tmp_path / "photos" / f"{seed}.png", seed)
    return tmp_path / "photos"


@pytest.fixture
def index(tmp_path, photos):
    return Index.create(tmp_path / "index", open_dataset(photos), model=old_model())


def codes_by_path(index):
    """Return the code of each file; the item of a moved one keeps its id."""
    stored = index.to_codes()
    paths = stored.columns.get("path", [None] * len(stored))
    found = zip(stored.ids.tolist(), paths, stored.codes.tolist(), strict=True)
    return {path or id_: code for id_, path, code in found}


def opened(index, model):
    found = Index.open(index.info()["path"], model)
    found.verify()
    return found


def test_a_changed_file_with_an_equal_old_code_is_encoded_again(tmp_path, photos):
    coarse = CoarseModel("c", 64)
    index = Index.create(tmp_path / "index", open_dataset(photos), model=coarse)
    index.sync(photos)
    migrate(tmp_path / "index", new_model(), swap=False)
    write(photos / "0.png", 99)
    assert index.sync(photos).changes <= 1
    migrate(tmp_path / "index", new_model())
    assert codes_by_id(opened(index, new_model()))["0.png"] == new_model().code(picture(99))


def test_what_cannot_be_rolled_back_stays_in_the_way(index, photos, tmp_path):
    place = index.info()["path"]
    migrate(place, new_model())
    write(photos / "new.png", 50)
    opened(index, new_model()).sync(photos)
    (photos / "new.png").rename(tmp_path / "aside.png")
    for _ in range(2):
        with pytest.raises(DataError, match=r"new\.png"):
            roll_back(place, model=old_model())
    (tmp_path / "aside.png").rename(photos / "new.png")
    assert roll_back(place, model=old_model()).items == 7
    assert codes_by_id(opened(index, old_model()))["new.png"] == old_model().code(picture(50))


def test_a_changed_file_that_is_gone_leaves_no_earlier_code(index, photos):
    place = index.info()["path"]
    migrate(place, new_model(), swap=False)
    write(photos / "0.png", 99)
    index.sync(photos)
    (photos / "0.png").unlink()
    for _ in range(2):
        with pytest.raises(DataError, match=r"0\.png"):
            migrate(place, new_model())
    assert migrate(place, new_model(), drop_unreadable=True).items == 5
    assert "0.png" not in codes_by_id(opened(index, new_model()))


@pytest.mark.filterwarnings("ignore:column 'n' held")
def test_metadata_follow_in_all_ways(index):
    place, names = index.info()["path"], index.ids().tolist()
    index.update(names, {"n": [1, 0, 5, 5, 5, 5], "gone": list("abcdef")})
    migrate(place, new_model(), swap=False)
    stored = index.to_codes(ids=names)
    columns = {"n": [True, False, None, 5.0, 6, 5], "new": [None] * 5 + ["x"]}
    index.add(stored.codes, names, columns, upsert=True)
    report = migrate(place, new_model())
    now = opened(index, new_model()).to_codes(ids=names).columns
    before = Index.open(report.before, old_model()).to_codes(ids=names).columns
    assert {name: list(map(repr, values)) for name, values in now.items() if any(v is not None for v in values)} == {
        name: list(map(repr, values)) for name, values in before.items() if any(v is not None for v in values)
    }


def test_only_the_item_s_own_file_is_encoded(index, photos, tmp_path, monkeypatch):
    place = index.info()["path"]
    write(tmp_path / "other" / "0.png", 70)
    write(tmp_path / "other" / "late.png", 71)
    index.add(open_dataset(tmp_path / "other"), upsert=True)
    (photos / "1.png").unlink()
    with pytest.raises(DataError, match="2 files could be this item"):
        migrate(place, new_model())
    (photos / "0.png").unlink()
    index.update(["1.png"], {"like": ["2.png"]})
    write(tmp_path / "here" / "1.png", 72)
    monkeypatch.chdir(tmp_path / "here")
    report = migrate(place, new_model(), drop_unreadable=True)
    codes = codes_by_id(opened(index, new_model()))
    assert codes["0.png"] == new_model().code(picture(70))
    assert [one.id for one in report.left_out] == ["1.png"]
    assert codes["late.png"] == new_model().code(picture(71))


def test_a_folder_that_is_added_meanwhile_is_encoded(index, tmp_path):
    place, model = index.info()["path"], new_model()
    write(tmp_path / "other" / "late.png", 71)

    def meanwhile():
        model.while_encoding = None
        index.add(open_dataset(tmp_path / "other"))

    model.while_encoding = meanwhile
    migrate(place, model)
    assert codes_by_id(opened(index, model))["late.png"] == model.code(picture(71))


def test_a_damaged_index_is_not_put_in_place(index):
    place = index.info()["path"]
    report = migrate(place, new_model())
    file = next(report.before.glob("*.codes"))
    raw = bytearray(file.read_bytes())
    raw[3] ^= 1
    file.unlink()  # the other links stay whole
    file.write_bytes(raw)
    with pytest.raises(ArtefactError, match="checksum"):
        roll_back(place)
    assert opened(index, new_model()).bits == 32


def test_an_index_made_again_beside_an_old_migration_is_told(index, photos, tmp_path):
    place = index.info()["path"]
    migrate(place, new_model(), swap=False)
    for path in (tmp_path / "index").iterdir():
        path.unlink()
    made = Index.create(place, open_dataset(photos), model=DigestModel("c", 16))
    for act in (lambda: migrate(place, new_model()), lambda: roll_back(place)):
        with pytest.raises(UsageError, match=r"another index|nothing to roll back"):
            act()
    discard_migration(place)
    migrate(place, new_model())
    assert opened(made, new_model()).bits == 32


STEPS = [(Replacement, name) for name in ("_encode", "_take_out", "_follow_metadata", "catch_up")]
STEPS += [(Notes, name) for name in ("put_stamps", "add_pending", "clear_pending")]


class Interrupter:
    """Lets the work end at one of its steps, before or after it was done."""

    def __init__(self, monkeypatch):
        self.left = None
        for owner, name in STEPS:
            monkeypatch.setattr(owner, name, self.wrapped(getattr(owner, name)))

    def wrapped(self, step):
        def run(*given, **how):
            self.count()
            made = step(*given, **how)
            self.count()
            return made

        return run

    def count(self):
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Interruption

    def run(self, act, steps):
        self.left = steps
        try:
            act()
        except Interruption:
            return False
        finally:
            self.left = None
        return True


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_any_changes_and_interruptions_end_in_the_same_index(tmp_path, photos, monkeypatch, seed):
    rng, place = np.random.default_rng(seed), tmp_path / "index"
    Index.create(place, open_dataset(photos), model=old_model()).sync(photos)
    interrupter, forth, age = Interrupter(monkeypatch), True, [100]
    seeds = {f"{number}.png": number for number in range(6)}

    def change():
        index = Index.open(place, old_model() if forth else new_model())
        for _ in range(int(rng.integers(1, 4))):
            name = f"{rng.integers(8)}.png"
            if name in seeds and rng.random() < 0.3 and len(seeds) > 2:
                (photos / name).unlink()
                del seeds[name]
            else:
                seeds[name] = int(rng.integers(4))  # few pictures, so that some changes are undone
                age[0] += 10
                write(photos / name, seeds[name], age[0])
        index.sync(photos, delete_many=True)
        names = index.ids().tolist()
        index.update(names[:2], {"n": rng.integers(0, 3, len(names[:2])).tolist()})

    for _ in range(6):
        for _ in range(int(rng.integers(0, 4))):
            change()
            act = (lambda: migrate(place, new_model(), batch_size=2, swap=False)) if forth else (lambda: None)
            interrupter.run(act, int(rng.integers(0, 60)))
        metadata = Index.open(place).to_codes(["n"])
        if forth:
            ended = interrupter.run(lambda: migrate(place, new_model(), batch_size=2), int(rng.integers(10, 200)))
        else:
            ended = interrupter.run(lambda: roll_back(place, model=old_model()), int(rng.integers(5, 100)))
        if not ended and Index.open(place).bits == (64 if forth else 32):
            continue
        forth = not forth
        model = old_model() if forth else new_model()
        now = Index.open(place, model)
        now.verify()
        assert codes_by_path(now) == {name: model.code(picture(one)) for name, one in seeds.items()}
        stored = now.to_codes(["n"])
        assert dict(zip(stored.ids.tolist(), stored.columns["n"], strict=True)) == dict(
            zip(metadata.ids.tolist(), metadata.columns["n"], strict=True)
        )
        assert now.sync(photos).changes == 0
        assert codes_by_path(now) == {name: model.code(picture(one)) for name, one in seeds.items()}
