"""fit with few labels: a part of them is kept, and guesses may take the place of the others."""

import csv
import json

import numpy as np
import pytest
import torch

import kinbits
from kinbits import DataError, UsageError
from kinbits.fitting import FitSettings, Job
from kinbits.training import FeatureSet

ROWS, QUICK = 160, {"steps": 80, "hidden": 16}


def vectors(seed=0):
    labels = np.arange(ROWS) % 4
    rng = np.random.default_rng(seed)
    found = 1.5 * np.random.default_rng(5).normal(size=(4, 12))[labels] + rng.normal(size=(ROWS, 12))
    return found.astype(np.float32), labels


def data(hidden=()):
    found, labels = vectors()
    labels = labels.copy()
    labels[list(hidden)] = -1
    return kinbits.open_dataset(found, labels=labels)


def fit(dataset, **options):
    settings = {"method": "hashnet", "bits": 16, "epochs": 2, "progress": False, "cache": None}
    return kinbits.fit(dataset, **settings | options)


def expanded(dataset=None, **options):
    return fit(dataset or data(), **{"label_expansion": "prl", "expansion_params": QUICK} | options)


def job(**options):
    settings = FitSettings(method="hashnet", bits=16).with_options(progress=False, cache=None, **options)
    return Job.from_dataset(data(), settings)


def test_without_expansion_only_the_labels_that_stay_are_learned_from():
    model = fit(data(), labels_fraction=0.1)
    assert model.training["rows"] == 16
    assert model.training["labels"] == {"true": 16, "pseudo": 0, "held": 0}
    assert model.training["skipped"] == []  # hidden on purpose
    assert set(model.labels["source"].to_pylist()) == {"true"}


def test_an_expansion_learns_from_more_rows_and_says_which_and_why(tmp_path):
    model = expanded(labels_fraction=0.1)
    told = model.training["labels"]
    assert told["true"] == 16
    assert told["pseudo"] == 80  # 5 rounds of a tenth
    assert model.training["rows"] == 96
    folder = model.save_pretrained(tmp_path / "m")
    with (folder / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 96
    truth = dict(enumerate(vectors()[1]))
    for row in rows:
        assert row["source"] in ("true", "pseudo")
        assert (
            (row["source"] == "true") == (row["round"] == "0") == (float(row["confidence"]) == 1 or row["round"] == 0)
        )
        if row["source"] == "true":
            assert int(row["label"]) == truth[int(row["id"])]
    json.loads((folder / "training.json").read_text())
    assert kinbits.HashModel.from_pretrained(folder).labels.equals(model.labels)


def test_images_that_came_without_labels_can_be_expanded_as_they_are():
    model = expanded(data(hidden=range(40, ROWS)))
    assert model.training["labels"]["true"] == 40
    assert model.training["labels"]["pseudo"] > 0


def test_the_same_seed_gives_the_same_model_and_another_seed_other_labels():
    runs = [expanded(labels_fraction=0.1, seed=seed) for seed in (0, 0, 1)]
    assert runs[0].fingerprint == runs[1].fingerprint != runs[2].fingerprint
    assert runs[0].labels.equals(runs[1].labels)


def test_rows_that_judge_have_true_labels_and_take_part_in_nothing_else():
    made = job(labels_fraction=0.5, label_expansion="prl", expansion_params=QUICK, validation=0.2)
    held, labels = made.rows.validation, made.rows.labels
    truth = vectors()[1]
    assert len(held) == 16
    np.testing.assert_array_equal(made.validation_set.labels, truth[held])
    assert not np.isin(held, made.rows.train).any()
    assert (labels.rounds[held] == -1).all()
    assert labels.true.sum() == 64


def test_a_row_takes_part_as_often_as_its_weight_says_and_pairs_as_their_product():
    weights = np.array([1.0, 0.5, 0.2], np.float32)
    train = FeatureSet(np.zeros((3, 2), np.float32), np.array([0, 0, 1]), weights=weights)
    pairs = np.array([[0, 1], [1, 2]])
    counts, both = np.zeros(3), np.zeros(2)
    for epoch in range(4000):
        counts[train.draw_rows(np.arange(3), [0, epoch])] += 1
        for pair in train.draw_rows(pairs, [1, epoch]):
            both[pair[0]] += 1
    np.testing.assert_allclose(counts / 4000, [1, 0.5, 0.2], atol=0.03)
    np.testing.assert_allclose(both / 4000, [0.5, 0.1], atol=0.03)
    np.testing.assert_array_equal(train.draw_rows(np.arange(3), [0, 7]), train.draw_rows(np.arange(3), [0, 7]))


def test_guesses_are_drawn_by_their_confidence_and_true_labels_always(monkeypatch):
    seen = []
    batch = FeatureSet.batch
    monkeypatch.setattr(
        FeatureSet, "batch", lambda self, rows, seed: seen.append((self, rows)) or batch(self, rows, seed)
    )
    expanded(labels_fraction=0.1, label_expansion="pseudo", expansion_params={"penalty": 1.0}, epochs=30)
    train = seen[0][0]
    counts = np.bincount(np.concatenate([rows for _, rows in seen]), minlength=len(train))
    certain = train.weights == 1
    assert certain.sum() >= 10
    assert (counts[certain] == 30).all()
    np.testing.assert_allclose(counts[~certain].mean() / 30, train.weights[~certain].mean(), atol=0.03)


def test_a_checkpoint_of_other_labels_is_refused(tmp_path):
    settings = {"labels_fraction": 0.1, "checkpoints": tmp_path}
    expanded(**settings)
    expanded(**settings, resume=True)
    with pytest.raises(kinbits.ArtefactError):
        expanded(**settings, resume=True, expansion_params=QUICK | {"rounds": 4})


def test_label_sets_can_be_expanded_too():
    rng = np.random.default_rng(0)
    truth = np.zeros((120, 3), np.uint8)
    truth[np.arange(120), np.arange(120) % 3] = truth[np.arange(120), np.arange(120) // 2 % 3] = 1
    found = (3 * truth @ rng.normal(size=(3, 8)) + rng.normal(size=(120, 8))).astype(np.float32)
    model = expanded(kinbits.open_dataset(found, labels=truth), labels_fraction=0.2)
    assert model.training["labels"]["pseudo"] > 0
    assert any(";" in label for label in model.labels["label"].to_pylist())


def test_a_class_of_which_no_image_is_labelled_is_named():
    found, labels = vectors()
    few = np.where((np.arange(ROWS) < 60) & (labels != 2), labels, -1)
    dataset = kinbits.open_dataset(found, labels=few)
    with pytest.warns(UserWarning, match="1 of 4 classes have no labelled image.*: 2; label one"):
        model = expanded(dataset)
    assert model.training["labels"]["classes_without_label"] == ["2"]


def test_a_trained_backbone_lends_the_features_it_had_before(monkeypatch):
    images = np.random.default_rng(0).integers(0, 255, (24, 20, 20, 3), dtype=np.uint8)
    dataset = kinbits.open_dataset(images, labels=np.arange(24) % 3)
    with pytest.raises(UsageError, match=r"'convnet-small' starts from scratch.*pretrained one"):
        expanded(dataset, backbone="convnet-small", labels_fraction=0.5)
    assert fit(dataset, backbone="convnet-small", labels_fraction=0.5, epochs=1).training["rows"] == 12


@pytest.mark.slow
def test_a_pretrained_backbone_can_be_trained_on_the_enlarged_labels():
    images = np.random.default_rng(0).integers(0, 255, (24, 20, 20, 3), dtype=np.uint8)
    dataset = kinbits.open_dataset(images, labels=np.arange(24) % 3)
    params = {"neighbours": 5, "stop": 0.0, **QUICK}
    model = expanded(dataset, image_size=32, finetune=True, epochs=1, labels_fraction=0.25, expansion_params=params)
    assert model.training["rows"] == 6 + 10
    assert torch.isfinite(torch.tensor(model.tower().compute(np.zeros((1, 1280), np.float32), "logits"))).all()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"labels_fraction": 1.5}, "above 0 and up to 1"),
        ({"label_expansion": "plr"}, "did you mean prl"),
        ({"label_expansion": "prl", "labels_fraction": 0.1, "expansion_params": {"round": 2}}, "did you mean rounds"),
        ({"expansion_params": {"rounds": 2}}, "give a label_expansion for the expansion_params: "),
        ({"method": "itq", "labels_fraction": 0.1}, "'itq' learns from no labels here; leave labels_fraction out"),
        ({"method": "itq", "label_expansion": "prl"}, "leave label_expansion out"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_work(options, told):
    with pytest.raises(UsageError, match=told):
        fit(data(), **options)


def test_data_where_nothing_is_left_to_guess_are_refused():
    with pytest.raises(DataError, match="every row has a label already"):
        fit(data(), label_expansion="prl")


def test_one_labelled_class_is_refused():
    with pytest.raises(DataError, match="at least two classes"):
        fit(data(hidden=np.flatnonzero(np.arange(ROWS) % 4)), label_expansion="prl")
