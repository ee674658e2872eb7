"""Fitting on given pairs: from arrays, from files, with what else a run may ask for."""

import contextlib
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import kinbits
from kinbits import DataError, UsageError
from kinbits.data import FeatureCache, Pairs, open_pairs, pairs_from_labels
from kinbits.methods import Method, get_method
from kinbits.training import FeatureSet

ROWS, WIDTH = 80, 24


def vectors(labelled=False):
    rng = np.random.default_rng(0)
    groups = np.arange(ROWS) % 4
    found = (rng.normal(size=(4, WIDTH))[groups] + 0.8 * rng.normal(size=(ROWS, WIDTH))).astype(np.float32)
    return kinbits.open_dataset(found, labels=groups if labelled else None), groups


def fit(data, **options):
    settings = {"method": "bcdh", "bits": 16, "epochs": 3, "progress": False, "cache": None}
    return kinbits.fit(data, **settings | options)


def likeness(codes, groups):
    """Share of nearest other rows that are of the same group."""
    apart = np.unpackbits(codes[:, None] ^ codes[None], axis=2).sum(2) + 99 * np.eye(len(codes), dtype=int)
    return float((groups[apart.argmin(1)] == groups).mean())


def test_pairs_teach_what_labels_would():
    data, groups = vectors()
    model = fit(data, pairs=pairs_from_labels(groups), epochs=20)
    assert model.training["pairs"] == {"similar": 5 * ROWS, "dissimilar": 0, "clusters": 4}
    assert likeness(model.encode(data.items.vectors), groups) > 0.9


def test_the_same_pairs_and_seed_give_the_same_model_and_other_pairs_another():
    data, groups = vectors()
    runs = [fit(data, pairs=pairs_from_labels(groups, rng=seed)).fingerprint for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]


def test_labels_do_where_no_pairs_are_given():
    assert "pairs" not in fit(vectors(labelled=True)[0]).training


def test_neither_pairs_nor_labels_is_an_error_that_names_both():
    with pytest.raises(DataError, match=r"neither pairs nor labels.*give pairs"):
        fit(vectors()[0])


def test_one_class_has_nothing_to_push_apart():
    with pytest.raises(DataError, match="at least two classes"):
        fit(kinbits.open_dataset(vectors()[0].items.vectors, labels=np.zeros(ROWS, int)))


@pytest.mark.parametrize("method", ["hashnet", "itq"])
def test_a_method_that_takes_no_pairs_refuses_them_and_names_one_that_does(method):
    data, groups = vectors(labelled=True)
    with pytest.raises(UsageError, match=rf"'{method}' takes no pairs.*bcdh"):
        fit(data, method=method, pairs=pairs_from_labels(groups))


def test_pairs_of_another_collection_are_refused():
    with pytest.raises(DataError, match=r"pairs are of 3 rows, and .* has 80"):
        fit(vectors()[0], pairs=pairs_from_labels(np.array([0, 0, 1])))


def test_one_cluster_of_similar_pairs_trains_with_a_warning():
    pairs = Pairs(np.arange(9), np.arange(1, 10), np.ones(9, bool), np.ones(9, np.float32), np.zeros(ROWS, int))
    with pytest.warns(UserWarning, match="nothing holds the codes apart"):
        assert len(fit(vectors()[0], pairs=pairs).training["history"]) == 3


def test_held_out_rows_are_in_no_pair(monkeypatch):
    seen = []
    monkeypatch.setattr(get_method("bcdh"), "prepare", lambda self, train: seen.append(train))
    data, groups = vectors()
    model = fit(data, pairs=pairs_from_labels(groups), validation=0.25)
    assert {"validation", "loss"} <= set(model.training["history"][0])
    assert len(seen[0]) == len(seen[0].pairs.clusters) == 60
    assert np.array_equal(seen[0].pairs.clusters, groups[np.isin(data.items.vectors, seen[0].features()).all(1)])


def test_an_interrupted_run_goes_on_only_with_the_same_pairs(tmp_path, monkeypatch):
    data, groups = vectors()
    pairs = pairs_from_labels(groups)
    whole = fit(data, pairs=pairs, epochs=4)
    kept = {"epochs": 4, "checkpoints": tmp_path / "kept"}
    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(Method, "end_epoch", lambda self, epoch, train: _stop(epoch))
        fit(data, pairs=pairs, **kept)
    with pytest.raises(kinbits.KinbitsError, match="data"):
        fit(data, pairs=pairs_from_labels(groups, rng=1), **kept, resume=True)
    assert fit(data, pairs=pairs, **kept, resume=True).fingerprint == whole.fingerprint


def _stop(epoch):
    if epoch == 2:
        raise KeyboardInterrupt


def pictures(folder, count=12):
    rng = np.random.default_rng(0)
    for row in range(count):
        Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(folder / f"{row:02}.png")
    lines = [f"{row:02}.png,{row + 1:02}.png,1" for row in range(0, count, 2)]
    (folder / "pairs.csv").write_text("\n".join(["path_a,path_b,label", *lines, "00.png,02.png,0"]))


@pytest.mark.parametrize("finetune", [False, True])
def test_pairs_of_unreadable_images_drop_out(tmp_path, finetune):
    pictures(tmp_path)
    (tmp_path / "03.png").write_bytes(b"no image")
    data = kinbits.open_dataset(tmp_path)
    model = fit(data, pairs=tmp_path / "pairs.csv", backbone="convnet-small", finetune=finetune)
    assert model.training["backbone_trained"] == finetune
    assert model.training["pairs"] == {"similar": 5, "dissimilar": 1, "clusters": 0}
    assert model.training["rows"] == 11


def test_some_rows_can_be_asked_for_alone():
    rows = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    asked = next(FeatureSet(rows).chunks(rows=np.array([7, 3])))
    assert np.array_equal(asked.numpy(), rows[[7, 3]])


@pytest.fixture
def reconstruction():
    """Find the folder of a small real reconstruction."""
    for part in os.environ.get("KINBITS_DATA", "").split(os.pathsep):
        if part and (Path(part) / "sfm_sacre_coeur" / "images.txt").is_file():
            return Path(part)
    pytest.skip("the reconstruction is absent: KINBITS_DATA names no folder with sfm_sacre_coeur")


@pytest.mark.slow
@pytest.mark.parametrize("source", ["sfm_sacre_coeur", "sfm_sacre_coeur/pairs.csv"])
def test_ten_photos_of_a_reconstruction_go_all_the_way_to_a_search(reconstruction, tmp_path, source):
    if not source.endswith(".csv"):
        pytest.importorskip("pycolmap")
    data = kinbits.open_dataset(reconstruction / "sfm_sacre_coeur.parquet")
    with pytest.warns(UserWarning, match="nothing holds the codes apart"):
        model = fit(data, pairs=reconstruction / source, bits=64, image_size=128, epochs=25)
    assert model.training["pairs"] == {"similar": 35, "dissimilar": 0, "clusters": 1}
    index = kinbits.Index.create(tmp_path / "index", model=model)
    index.add(data)
    hits = index.search(data.image(0), k=10)
    assert hits.ids[0] == data.ids[0]
    assert sorted(hits.ids) == sorted(data.ids)


@pytest.mark.slow
def test_a_reconstruction_among_other_photos_is_found_together(reconstruction, tmp_path):
    pytest.importorskip("pycolmap")
    import pyarrow.parquet as pq

    ours = pq.read_table(reconstruction / "sfm_sacre_coeur.parquet", columns=["image", "name"]).to_pylist()
    file = pq.ParquetFile(reconstruction / "grocery_store.parquet")
    others = next(file.iter_batches(batch_size=30, columns=["image"])).to_pylist()
    for row, one in enumerate([*ours, *others]):
        name = one.get("name", f"other{row}.jpg")
        held = one["image"]
        (tmp_path / name).write_bytes(held["bytes"] if isinstance(held, dict) else held)
    names = [f"other{row}.jpg" for row in range(10, 40)]
    (tmp_path / "clusters.csv").write_text("\n".join(["path,cluster", *(f"{name},{name}" for name in names)]))
    data = kinbits.open_dataset(tmp_path)
    pairs = open_pairs([reconstruction / "sfm_sacre_coeur", tmp_path / "clusters.csv"], data)
    assert pairs.counts() == {"similar": 35, "dissimilar": 0, "clusters": 31}
    cache = FeatureCache(tmp_path / "cache")
    model = fit(data, pairs=pairs, bits=64, image_size=128, epochs=60, lr=5e-3, cache=cache)
    scene = np.isin(data.ids, [one["name"] for one in ours])
    codes = np.unpackbits(model.encode(data), axis=1)
    apart = (codes[:, None] != codes[None]).sum(2)
    inside = apart[np.ix_(scene, scene)][~np.eye(10, dtype=bool)].mean()
    outside = apart[np.ix_(scene, ~scene)].mean()
    assert inside < 10
    assert outside > 25
