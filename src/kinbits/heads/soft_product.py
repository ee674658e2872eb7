"""Heads of product codes whose codebooks are trained by gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kinbits import hamming
from kinbits.errors import UsageError
from kinbits.hamming import Codes, Tables
from kinbits.heads.base import METRICS, register_head
from kinbits.heads.product import ProductHead

STD = 0.3  # of words and maps at the start


@register_head("soft-product")
class SoftProductHead(ProductHead):
    """A `ProductHead` with trained codebooks: mixtures of words stand in for words, so that gradients reach them.

    The map starts with Xavier uniform weights, the words with normal values of deviation 0.3. Inputs are always
    centred: the map learns its origin.

    Args:
        features: Length of one feature vector.
        bits: Code length, M log2 K.
        words: K, 16 or 256.
        width: Length D / M of a part.
        metric: As in `ProductHead`, or ``"norms"``: a table holds |z_m - C_mk| instead of its square.
        hidden: Width of a hidden layer with ReLU before the linear map; 0 for none.

    Attributes:
        books: Codebooks, float32 ``(M, K, D / M)``, a parameter.

    Raises:
        UsageError: As of `ProductHead`, or if a width is out of range.
    """

    learns_origin = True
    metrics = (*METRICS, "norms")

    def __init__(
        self,
        features: int,
        bits: int,
        words: int = 256,
        width: int = 16,
        metric: str = "euclidean",
        hidden: int = 0,
    ) -> None:
        if hidden < 0 or width < 1:
            raise UsageError(f"width={width}, hidden={hidden}: need width >= 1 and hidden >= 0 (0 for no hidden layer)")
        hamming.check_words(words, bits)
        dims = width * hamming.part_count(bits, words)
        super().__init__(features, bits, words, dims, metric)
        self.options = {"words": words, "width": width, "metric": metric, "hidden": hidden}
        last = nn.Linear(hidden or features, self.outputs)
        nn.init.xavier_uniform_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), last) if hidden else last
        shape = self.books.shape
        del self.books
        self.books = nn.Parameter(STD * torch.randn(shape))

    def mix(self, weights: Tensor) -> Tensor:
        """Return the means of the words, float ``(n, D)``, weighted by float ``(n, M, K)``."""
        return torch.einsum("nmk,mkd->nmd", weights, self.books).flatten(1)

    def tables_of(self, outputs: Tensor) -> Tables:
        """Return the look-up tables of vectors ``(n, D)``, float32 ``(n, parts, words)``; a pad part has zeros."""
        tables = super().tables_of(outputs)
        return np.sqrt(tables) if self.metric == "norms" else tables


@register_head("logit-product")
class LogitProductHead(SoftProductHead):
    """A `SoftProductHead` that chooses words by logits of their own instead of by distance.

    With x the output of the linear map, x_m its parts, A_m linear maps and C_m the codebooks, the code of x is
    c_m = argmax_k (x_m A_m)_k, and its soft vector joins softmax(x_m A_m) C_m. The tables of a query hold the distances
    of its soft vector to the words (B. Klein, L. Wolf, "End-to-End Supervised Product Quantization for Image Search and
    Retrieval", CVPR 2019).

    Args:
        features: Length of one feature vector.
        bits: Code length, M log2 K.
        words: K, 16 or 256.
        width: Length D / M of a part.
        metric: As in `SoftProductHead`.
        hidden: As in `SoftProductHead`.

    Attributes:
        maps: A, float32 ``(M, D / M, K)``, a parameter.
    """

    def __init__(self, features: int, bits: int, *args: Any, **options: Any) -> None:
        super().__init__(features, bits, *args, **options)
        self.maps = nn.Parameter(STD * torch.randn(self.parts, self.outputs // self.parts, self.words))

    def scores(self, x: Tensor) -> Tensor:
        """Return the logits of all words, float ``(n, M, K)``, of vectors ``(n, D)``."""
        return torch.einsum("nmd,mdk->nmk", self.split(x), self.maps)

    def numbers(self, z: Tensor) -> Tensor:
        """Return the numbers of the words with the largest logits, int64 ``(n, M)``; of equal ones, the smallest."""
        return self.scores(z).argmax(2)

    @torch.no_grad()
    def tables_of(self, outputs: Tensor) -> Tables:
        """Return the look-up tables of the soft vectors of ``(n, D)``, float32 ``(n, parts, words)``."""
        return super().tables_of(self.mix(self.scores(outputs.float()).softmax(2)))

    def code_tables(self, codes: Codes) -> Tables:
        """Return look-up tables for what codes stand for: the symmetric distance."""
        return super().tables_of(self.decode(codes))
