"""HashTransformer: scikit-learn's own checks, pipelines, grid searches, and the same codes as kinbits.fit."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import kinbits
from kinbits import DataError, UsageError
from kinbits.sklearn import HashTransformer

CHECKED = [HashTransformer(method="lsh", bits=8), HashTransformer(method="orthohash", bits=8, epochs=1)]


def blobs(rows=150, classes=3, width=12):
    centres = np.random.default_rng(0).normal(size=(classes, width))
    labels = np.arange(rows) % classes
    return 3 * centres[labels] + np.random.default_rng(rows).normal(size=(rows, width)), labels


@parametrize_with_checks(CHECKED)
def test_it_keeps_the_conventions_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("output", ["bits", "codes", "logits"])
def test_outputs_are_those_of_the_model_that_fit_returns(output):
    X, y = blobs()
    transformer = HashTransformer(bits=12, epochs=2, output=output, random_state=3)
    found = transformer.fit(X, y).transform(X[:5])
    data = kinbits.open_dataset(X.astype(np.float32), labels=y, label_names=list("012"))
    model = kinbits.fit(data, bits=12, epochs=2, seed=3, progress=False)
    assert np.array_equal(found, model.encode(X[:5].astype(np.float32), output=output))
    assert found.dtype == {"bits": np.uint8, "codes": np.uint8, "logits": np.float32}[output]
    assert found.shape == (5, {"bits": 12, "codes": 2, "logits": 12}[output])
    assert len(transformer.get_feature_names_out()) == found.shape[1]


def test_a_pipeline_classifies_by_hamming_distance_and_a_grid_search_chooses_the_bits():
    X, y = blobs()
    names = np.array(["cat", "dog", "emu"])[y]
    codes = HashTransformer("orthohash", epochs=5)
    pipeline = make_pipeline(StandardScaler(), codes, KNeighborsClassifier(3, metric="hamming"))
    search = GridSearchCV(pipeline, {"hashtransformer__bits": [4, 16]}, cv=2).fit(X, names)
    assert search.best_score_ > 0.95
    assert (
        search.best_estimator_["hashtransformer"].transform(X).shape[1] == search.best_params_["hashtransformer__bits"]
    )


def test_without_labels_it_learns_from_the_vectors_alone():
    X, _ = blobs()
    with pytest.warns(UserWarning, match="there are no labels, so the method is itq"):
        bits = HashTransformer(bits=8).fit_transform(X)
    assert np.unique(bits).tolist() == [0, 1]
    with pytest.raises(DataError, match="learns from labels"):
        HashTransformer(method="csq", bits=8).fit(X)


def test_sets_of_labels_are_learned():
    X, y = blobs()
    sets = np.stack([y == 0, y != 1], 1).astype(int)
    transformer = HashTransformer(method="hashnet", bits=8, epochs=1).fit(X, sets)
    assert transformer.transform(X).shape == (150, 8)


def test_minus_one_is_a_class_like_any_other():
    X, y = blobs(classes=2)
    signs = HashTransformer(bits=8, epochs=3).fit(X, 2 * y - 1).transform(X)
    assert np.array_equal(signs, HashTransformer(bits=8, epochs=3).fit(X, y).transform(X))


def test_parameters_and_options_reach_the_method_and_the_trainer():
    X, y = blobs()
    transformer = HashTransformer("csq", 8, epochs=1, params={"quantization": 0.5}, options={"batch_size": 50})
    again = clone(transformer)
    assert again.get_params() == transformer.get_params()
    record = again.fit(X, y).model_.training
    assert record["recipe"]["batch_size"] == 50
    assert record["history"][0]["quantization"] > 0.1  # with the default weight, 0.001, it is below
    with pytest.raises(UsageError, match="batchsize"):
        clone(transformer).set_params(options={"batchsize": 50}).fit(X, y)
    with pytest.raises(ValueError, match="output is 'bit'; use one of bits, codes, logits"):
        HashTransformer(output="bit").fit(X, y)
    with pytest.raises(NotFittedError):
        HashTransformer().transform(X)


def test_a_pickled_transformer_gives_the_same_codes():
    X, y = blobs()
    transformer = HashTransformer(bits=8, epochs=1).fit(X, y)
    assert np.array_equal(pickle.loads(pickle.dumps(transformer)).transform(X), transformer.transform(X))


def test_scalars_of_numpy_give_the_same_codes_and_can_be_searched():
    X, y = blobs(60)
    one, two = (HashTransformer(bits=8, epochs=1, random_state=seed).fit_transform(X, y) for seed in (3, np.int64(3)))
    assert np.array_equal(one, two)
    pipeline = make_pipeline(HashTransformer(epochs=1), KNeighborsClassifier(3, metric="hamming"))
    search = GridSearchCV(pipeline, {"hashtransformer__bits": np.array([4, 8])}, cv=2).fit(X, y)
    assert search.best_estimator_["hashtransformer"].model_.bits in (4, 8)


def test_names_are_those_of_the_fitted_columns_whatever_is_set_later():
    X, y = blobs(60)
    transformer = HashTransformer(bits=8, epochs=1).fit(X, y).set_params(bits=16)
    assert len(transformer.get_feature_names_out()) == transformer.transform(X).shape[1] == 8


def test_an_option_is_given_in_one_place():
    with pytest.raises(UsageError, match="options holds bits, seed; give bits, random_state to HashTransformer itself"):
        HashTransformer(options={"bits": 8, "seed": 1}).fit(*blobs(60))
