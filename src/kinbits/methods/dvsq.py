"""DVSQ: images near the word vectors of their classes, in codes that keep the inner products with these."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kinbits.backbones import load_backbone
from kinbits.data import LabelSpace
from kinbits.errors import DataError, PlatformError, UsageError
from kinbits.methods.base import Batch, Recipe, Spec
from kinbits.methods.blocks.composite import CompositeMethod
from kinbits.methods.blocks.semantic import read_embeddings
from kinbits.methods.registry import register


@register("dvsq")
class Dvsq(CompositeMethod):
    """Place images near the word vectors of their classes, and choose codes by the inner products with these.

    With z the head's output, v_c the word vector of class c, of length 1, Y_i the labels of image i, C the number of
    classes, and y the sum of words that the code of z stands for::

        L = sum_i sum_{j in Y_i} sum_{k not in Y_i} max(0, delta_jk - cos(z_i, v_j) + cos(z_i, v_k)) / (C sum_i |Y_i|)
            + lambda mean_i sum_c ((z_i - y_i) . v_c)^2                               delta_jk = 1 - cos(v_j, v_k)

    Classes of similar meaning have a small margin, so they stay near each other. Codes minimise the error of the second
    term, words are the least-squares solution for given codes, as in `dtq`. y has no gradient. Queries are ranked by
    the inner product z . y, a sum of M look-ups.

    Differences: word vectors are those of a sentence encoder (all-MiniLM-L6-v2) for the names of the classes; the
    authors take word2vec. The words are fitted after each epoch, in three turns on at most 256 rows for each word. The
    code of a vector is found in each step. The authors' code also compares labels of the same image with each other.
    The head is one layer with tanh on the features; the authors train a whole AlexNet. Rows without a label have only
    the second term.

    Args:
        spec: The task.
        words: K, 16 or 256: 4 or 8 bits a codebook.
        margin: A fixed delta, e.g. 0.7; 0 takes the distances of the word vectors.
        quantization: lambda; on frozen features 0.1 is far too much.
        embeddings: Path of a .npy file of word vectors, one row per class, float ``(C, e)``; empty: those of the names,
            which need the extra hf.

    Reference: Y. Cao, M. Long, J. Wang, S. Liu, "Deep Visual-Semantic Quantization for Efficient Image Retrieval", CVPR
    2017.
    """

    recipe = Recipe(epochs=16, batch_size=128, lr=1e-3, min_steps=625)
    vectors: Tensor

    def __init__(
        self,
        spec: Spec,
        *,
        words: int = 256,
        margin: float = 0.0,
        quantization: float = 1e-4,
        embeddings: str = "",
    ) -> None:
        if not 0 <= margin <= 2 or quantization < 0:
            raise UsageError(f"margin {margin}, quantization {quantization}: need margin 0 to 2 and quantization >= 0")
        vectors = torch.from_numpy(class_vectors(spec.label_space, embeddings)).float()
        count, dims = vectors.shape
        if count < 2:
            raise UsageError(f"{count} class: word vectors need two or more classes")
        super().__init__(spec, words=words, dims=dims, directions=min(count, dims))
        self.margin, self.quantization = margin, quantization
        self.register_buffer("vectors", vectors)
        _, size, axes = torch.linalg.svd(vectors, full_matrices=False)
        self.head.axes.copy_(size[:, None] * axes)  # at most D rows with the same sum of squared products

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the hinges of labelled images with other classes, and the error of the inner products."""
        labels = batch.require_labels()
        own = labels > 0 if labels.ndim == 2 else labels[:, None] == torch.arange(len(self.vectors)).to(labels)
        image, label = own.nonzero(as_tuple=True)
        cosines = F.normalize(logits) @ self.vectors.T
        margins = self.margin or 1 - self.vectors[label] @ self.vectors.T
        hinges = F.relu(margins - cosines[image, label][:, None] + cosines[image]) * ~own[image]
        terms = {"cosines": hinges.sum() / (len(self.vectors) * max(len(image), 1))}
        if self.quantization:
            terms["quantization"] = self.quantization * self.away(logits).mean()
        return terms


def class_vectors(space: LabelSpace | None, embeddings: str = "") -> np.ndarray:
    """Return a vector of length 1 for each class, float ``(C, e)``: rows of a .npy file, or those of the names.

    Raises:
        DataError: If there are no labels, or the file does not fit them.
        PlatformError: If there is no file, and the extra hf is not installed.
    """
    if space is None:
        raise DataError("the data have no labels, and word vectors need them")
    if embeddings:
        return read_embeddings(Path(embeddings), space)
    return _vectors_of(space.names[: space.classes])


@lru_cache(maxsize=4)
def _vectors_of(names: tuple[str, ...]) -> np.ndarray:
    try:
        backbone = load_backbone("minilm")
    except PlatformError as error:
        raise PlatformError(f"{error}; or give embeddings=FILE.npy with one row per class") from None
    texts = [name.replace("_", " ") for name in names]
    with torch.no_grad():
        rows = [backbone(**backbone.tokenize(texts[start : start + 256])) for start in range(0, len(texts), 256)]
    found: np.ndarray = torch.cat(rows).numpy()
    return found
