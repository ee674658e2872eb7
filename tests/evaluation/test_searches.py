"""The directions in which a model can search a protocol, and what it searches there."""

from dataclasses import replace

import numpy as np
import pytest

import kinbits
from kinbits import metrics
from kinbits.backbones import load_backbone
from kinbits.data import GroundTruth, open_dataset, split_folder
from kinbits.errors import DataError
from kinbits.evaluation import CROSS_MODAL, IMAGE_TO_IMAGE, Searches, rank_features, relevance_of


def vectors(rows=120, **columns):
    found = np.random.default_rng(0).normal(size=(rows, 12)).astype(np.float32)
    return open_dataset(found, **columns)


def fitted(splits):
    return kinbits.fit(splits.train, method="lsh", bits=8, progress=False, cache=None)


@pytest.fixture(scope="module")
def labelled():
    splits = split_folder(vectors(labels=np.arange(120) % 3))
    return fitted(splits), splits


def test_a_model_of_images_searches_images_by_images(labelled):
    model, splits = labelled
    searches = Searches(model, splits, cache=None)
    assert searches.directions == (IMAGE_TO_IMAGE,) == (searches.first,)
    search = searches[IMAGE_TO_IMAGE]
    for codes, part in zip(search.codes, (splits.query, splits.database), strict=True):
        np.testing.assert_array_equal(codes, model.encode(part))
    assert (search.queries.ids == splits.query.ids).all()
    assert str(search.direction) == "image to image"


def test_codes_of_another_encoder_are_searched_with_the_same_relevance(labelled):
    model, splits = labelled
    searches = Searches(model, splits, cache=None)
    search = searches.encoded(IMAGE_TO_IMAGE, lambda features, modality: np.full((len(features), 1), 7, np.uint8))
    assert {*search.codes[0].ravel(), *search.codes[1].ravel()} == {7}
    expected = relevance_of(splits).block(0, len(splits.query))
    np.testing.assert_array_equal(search.relevance.block(0, len(splits.query)), expected)


def test_texts_that_are_the_answers_need_a_model_that_reads_them():
    splits = split_folder(vectors(texts=[f"number {row}" for row in range(120)]))
    searches = Searches(fitted(splits), splits, cache=None)
    assert searches.directions == ()
    with pytest.raises(DataError, match="'lsh' reads no text; take a method that does, such as djsrh"):
        _ = searches.first
    with pytest.raises(DataError, match="a ranking of image features reads no text"):
        rank_features(splits, load_backbone("features", dim=12), ["mrr"])


def test_directions_between_images_and_texts_are_named():
    assert [str(one) for one in CROSS_MODAL] == ["image to text", "text to image"]
    assert CROSS_MODAL[0].query == CROSS_MODAL[1].items == "image"


def test_features_are_ranked_by_their_cosine(labelled):
    _, splits = labelled
    found = rank_features(splits, load_backbone("features", dim=12), ["map@all"])
    query, database = splits.query.items.vectors, splits.database.items.vectors
    norms = np.linalg.norm(query, axis=1)[:, None] * np.linalg.norm(database, axis=1)
    scores = query @ database.T / norms
    relevance = metrics.LabelRelevance(splits.query.labels, splits.database.labels)
    expected = metrics.evaluate_scores(lambda start, stop: scores[start:stop], relevance, ["map@all"])
    assert found["map@all"] == pytest.approx(expected["map@all"], abs=1e-6)


def test_answers_follow_the_rows_that_take_part(labelled):
    _, splits = labelled
    answers = [[row % len(splits.database)] for row in range(len(splits.query))]
    listed = replace(splits, ground_truth=GroundTruth.from_rows(answers, database=len(splits.database)))
    queries = splits.query.select(np.array([3, 1]))
    found = relevance_of(listed, queries).block(0, 2)
    assert [np.flatnonzero(row).tolist() for row in found] == [[3], [1]]
