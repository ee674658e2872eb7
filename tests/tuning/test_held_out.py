"""The score of a candidate: that of a model which never saw the held-out rows."""

import numpy as np
import pytest
import torch

import kinbits
from kinbits import LabelSpace, metrics
from kinbits.backbones import Backbone, load_backbone
from kinbits.data import Dataset, VectorItems, open_dataset, pairs_from_labels
from kinbits.fitting import FitSettings
from kinbits.tuning.held_out import HeldOut

ROWS, WIDTH = 90, 24


def vectors(classes=3, noise=1.5):
    labels = np.arange(ROWS) % classes
    rng = np.random.default_rng(0)
    return (rng.normal(size=(classes, WIDTH))[labels] + noise * rng.normal(size=(ROWS, WIDTH))).astype(
        np.float32
    ), labels


def settings(method="orthohash", **options):
    usual = {"method": method, "bits": 16, "epochs": 3, "progress": False, "cache": None}
    return FitSettings().with_options(**usual | options)


def scored(held, given):
    return held.fit_and_score(held.job(given)).per_query["map@all"]


def parts(data, held):
    """Return the rows that a candidate learns from, and the others."""
    out = np.isin(data.ids, held.ids)
    return data.select(~out), data.select(out)


@pytest.mark.parametrize("method", ["orthohash", "itq"])
def test_it_is_that_of_a_model_of_the_other_rows(method):
    data = open_dataset(vectors()[0], labels=vectors()[1])
    held = HeldOut(data, settings(), 0.2)
    others, out = parts(data, held)
    codes = kinbits.fit(others, settings(method)).encode(out)
    relevance = metrics.LeaveOneOut(metrics.LabelRelevance(out.labels, out.labels))  # by labels, also for itq
    expected = metrics.evaluate(codes, codes, relevance, ["map@all"]).per_query["map@all"]
    assert (len(out), held.rows, held.relevant) == (18, ROWS, "a shared label")
    np.testing.assert_array_equal(scored(held, settings(method)), expected)


def test_the_order_of_the_candidates_changes_nothing():
    data = open_dataset(vectors()[0], labels=vectors()[1])
    names = ["itq", "hashnet", "orthohash"]
    found = [HeldOut(data, settings(), 0.2) for _ in range(2)]
    first = [scored(found[0], settings(name, epochs=3)) for name in names]
    again = [scored(found[1], settings(name, epochs=3)) for name in reversed(names)]
    np.testing.assert_array_equal(first, again[::-1])


def test_without_labels_the_nearest_rows_by_features_are_relevant():
    data = open_dataset(vectors()[0])
    held = HeldOut(data, settings("itq"), 0.2)
    others, out = parts(data, held)
    unit = out.items.vectors / np.linalg.norm(out.items.vectors, axis=1, keepdims=True)
    near = np.argsort(np.fill_diagonal(cosines := unit @ unit.T, -9) or -cosines, axis=1)[:, :10]
    relevant = np.zeros((18, 18), bool)
    np.put_along_axis(relevant, near, True, axis=1)
    codes = kinbits.fit(others, settings("itq")).encode(out)
    wanted = metrics.LeaveOneOut(metrics.MatrixRelevance(relevant))
    expected = metrics.evaluate(codes, codes, wanted, ["map@all"]).per_query["map@all"]
    assert held.relevant == "the ten nearest by features"
    np.testing.assert_array_equal(scored(held, settings("itq")), expected)


def test_given_pairs_and_clusters_are_relevant_where_there_are_no_labels():
    found, labels = vectors()
    data = open_dataset(found)
    given = settings("bcdh", pairs=pairs_from_labels(labels), epochs=3)
    held = HeldOut(data, given, 0.2)
    out = np.flatnonzero(np.isin(data.ids, held.ids))
    codes = kinbits.fit(data.select(~np.isin(data.ids, held.ids)), settings("itq")).encode(data.select(out))
    relevance = metrics.LeaveOneOut(metrics.LabelRelevance(labels[out], labels[out]))  # a cluster for each class
    expected = metrics.evaluate(codes, codes, relevance, ["map@all"]).per_query["map@all"]
    assert held.relevant == "a given pair"
    np.testing.assert_array_equal(scored(held, settings("itq")), expected)
    assert held.job(given).train.pairs.clusters.shape == (ROWS - len(out),)
    assert scored(held, given).mean() > expected.mean()


class Letters(Backbone):
    """Features of a text: how often it has each of eight letters."""

    modality = "text"
    key = "letters"

    def __init__(self):
        super().__init__()
        self._describe("letters", feature_dim=8, licence="mit", pretrained=True)

    from_pretrained = from_config = classmethod(lambda cls, *_: cls())

    def architecture(self):
        return {}

    def tokenize(self, texts):
        return {"counts": torch.tensor([[float(text.count(letter)) for letter in "abcdefgh"] for text in texts])}

    def forward(self, counts):
        return counts


@pytest.mark.parametrize("labelled", [False, True])
def test_searches_between_images_and_texts_count_both_ways(labelled, monkeypatch):
    load = lambda name, **sizes: Letters() if name == "minilm" else load_backbone(name, **sizes)  # noqa: E731
    monkeypatch.setattr("kinbits.fitting.backbones.load_backbone", load)
    found, labels = vectors(classes=8)
    rng = np.random.default_rng(1)
    texts = ["abcdefgh"[label] * 5 + "".join(rng.choice(list("abcdefgh"), 4)) for label in labels]
    data = open_dataset(found, labels=labels if labelled else None, texts=texts)
    given = settings("cca").with_options(bits=8)
    held = HeldOut(data, given, 0.3, text=True)
    others, out = parts(data, held)
    model = kinbits.fit(others, given)
    images, captions = model.encode(out), model.encode(list(out.texts), modality="text")
    wanted = metrics.MatrixRelevance(np.eye(len(out), dtype=bool))
    if labelled:
        wanted = metrics.LabelRelevance(out.labels, out.labels)
    ways = ((images, captions), (captions, images))
    each = [metrics.evaluate(a, b, wanted, ["map@all"]).per_query["map@all"] for a, b in ways]
    assert held.relevant == ("a shared label" if labelled else "the other half of the pair")
    assert not np.array_equal(*each)
    np.testing.assert_allclose(scored(held, given), np.mean(each, axis=0), rtol=1e-12)


def test_every_class_keeps_a_row_to_learn_from():
    found, labels = vectors()
    labels = np.concatenate([labels[:-10], np.arange(3, 13)])  # ten classes of one row
    held = HeldOut(open_dataset(found, labels=labels), settings(), 0.4)
    assert set(labels[~np.isin(np.arange(ROWS), held.ids)]) == set(range(13))
    assert 20 <= len(held.ids) < 36
    sets = np.eye(13, dtype=np.uint8)[labels]
    data = Dataset(VectorItems(found), np.arange(ROWS), sets, LabelSpace(tuple(map(str, range(13))), multi=True))
    held = HeldOut(data, settings(), 0.4)
    assert sets[~np.isin(data.ids, held.ids)].any(0).all()


def test_rows_without_a_label_are_not_held_out_and_teach_methods_without_labels():
    found, labels = vectors()
    labels = np.where(np.arange(ROWS) < 30, -1, labels)
    held = HeldOut(open_dataset(found, labels=labels), settings(), 0.2)
    assert (len(held.ids), held.rows) == (12, 60)
    assert (labels[held.ids] >= 0).all()
    assert [len(held.job(settings(name)).train) for name in ("orthohash", "itq")] == [48, 78]


def test_labels_of_held_out_rows_stay_hidden_from_guesses():
    data = open_dataset(vectors()[0], labels=vectors()[1])
    few = {"labels_fraction": 0.5, "label_expansion": "pseudo"}
    held = HeldOut(data, settings(**few), 0.2)
    job = held.job(settings(**few))
    assert not np.isin(held.ids, job.dataset.ids[job.rows.train]).any()
    np.testing.assert_array_equal(job.dataset.ids[job.rows.validation], held.ids)


def test_a_large_collection_holds_out_a_limited_number(monkeypatch):
    monkeypatch.setattr("kinbits.tuning.held_out.MOST_HELD", 10)
    assert len(HeldOut(open_dataset(vectors()[0]), settings("itq"), 0.2).ids) == 10
