"""Rows of concepts hold the likeliest classes, and only a published classifier gives them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kinbits import DataError
from kinbits.backbones import Concepts, classifier_of, load_backbone


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(0, 8), classes=st.integers(13, 1000), sharp=st.floats(0, 20))
def test_rows_hold_the_likeliest_classes_in_order(seed, rows, classes, sharp):
    logits = np.random.default_rng(seed).normal(size=(rows, classes)) * sharp
    given_ = np.exp(logits - logits.max(1, initial=0, keepdims=True))
    given_ /= given_.sum(1, keepdims=True)
    concepts = Concepts(classes=classes)
    packed = concepts.pack(given_)
    assert packed.shape == (rows, concepts.width) == (rows, 39)
    numbers, probabilities = concepts.unpack(packed)
    exact = np.take_along_axis(given_, numbers.astype(np.int64), 1)
    wanted = -np.sort(-given_, axis=1)[:, :13]
    assert np.allclose(exact, wanted)
    assert np.all(np.diff(probabilities, axis=1) <= 0)
    assert np.abs(probabilities - exact).max(initial=0) < 1 / 255  # half a step, near 1
    assert concepts.known(packed).all()
    assert concepts.fits(packed)
    assert np.array_equal(concepts.checked(packed, rows), packed)


def test_equal_probabilities_are_in_order_of_their_numbers():
    numbers, probabilities = Concepts(classes=5, kept=3).unpack(Concepts(classes=5, kept=3).pack([[0, 0.5, 0, 0.5, 0]]))
    assert numbers[0, :2].tolist() == [1, 3]
    assert probabilities[0, 0] == probabilities[0, 1]


@pytest.mark.parametrize(
    ("given_", "told"),
    [
        (np.zeros((2, 999), np.float32), "give float .n, 1000."),
        (np.full((2, 1000), np.nan), "not between 0 and 1"),
        (np.full((2, 1000), -0.5), "not between 0 and 1"),
        (np.zeros((3, 1000)), "2 items, but 3 rows"),
        (np.full((2, 39), 255, np.uint8), "beyond the 1000"),
    ],
)
def test_what_is_no_concepts_is_refused(given_, told):
    with pytest.raises(DataError, match=told):
        Concepts().checked(given_, 2)


@pytest.fixture(scope="module")
def lite():
    return load_backbone("efficientnet_lite0", size=64)


def test_the_classifier_reads_the_features_of_its_network(lite):
    from efficientnet_lite_pytorch import EfficientNet

    pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    whole = EfficientNet.from_name("efficientnet-lite0", image_size=64).eval()
    whole.load_state_dict(lite.published_weights())
    with torch.no_grad():
        wanted = torch.softmax(whole(lite.normalise(pixels)), 1).numpy()
        pooled, flat = lite(pixels).numpy(), lite.feature_map(pixels).flatten(1).numpy()
    assert np.allclose(classifier_of(lite).probabilities(pooled), wanted, atol=1e-5)
    maps = load_backbone("map:efficientnet_lite0", size=64)
    assert np.allclose(classifier_of(maps).probabilities(flat), wanted, atol=1e-5)


def test_a_changed_network_and_others_have_no_classifier(lite):
    assert classifier_of(load_backbone("convnet-small")) is None
    tuned = load_backbone("efficientnet_lite0", size=64)
    with torch.no_grad():
        next(iter(tuned.network.parameters()))[0, 0, 0, 0] += 1e-3
    assert classifier_of(tuned) is None
    assert classifier_of(lite) is not None
