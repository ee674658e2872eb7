"""The head of product codes: a linear map, and a codebook for each part of its output."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from kinbits import hamming
from kinbits.errors import UsageError
from kinbits.hamming import Codes, Tables
from kinbits.heads.base import Metric, MetricHead, register_head


@register_head("product")
class ProductHead(MetricHead):
    """Cuts a vector into M parts, each of which becomes the number of its nearest word in a codebook of K words.

    With z the output of the linear map, z_m its parts and C_m the codebooks, the code of z is c_m = argmin_k
    |z_m - C_mk|^2, and its reconstruction joins C_mc_m. The asymmetric distance of a query z' to it is the sum over m
    of a table T[m, c_m]: |z'_m - C_mk|^2, or -z'_m . C_mk for the inner product (H. Jegou, M. Douze, C. Schmid,
    "Product Quantization for Nearest Neighbor Search", TPAMI 2011).

    Args:
        features: Length of one feature vector.
        bits: Code length, M log2 K.
        words: K, 16 or 256.
        dims: Length D of z; 0 takes that of the features. M must divide it.
        metric: ``"euclidean"``; ``"cosine"``, which scales features to length 1 first; or ``"inner"``.
        tanh: Whether z is the hyperbolic tangent of the linear map's output, for methods that train the map.

    Attributes:
        learns_origin: Whether the map is always trained, so that the origin of the features does not matter.
        layers: The linear map; the identity until a method sets it.
        books: Codebooks, float32 ``(M, K, D / M)``.

    Raises:
        UsageError: If the words do not fill the bits, M does not divide D, or the metric is unknown.
    """

    codes_name: ClassVar[str] = "product codes"
    learns_origin: ClassVar[bool] = False
    books: Tensor

    def __init__(
        self,
        features: int,
        bits: int,
        words: int = 256,
        dims: int = 0,
        metric: str = "euclidean",
        tanh: bool = False,
    ) -> None:
        if words not in (16, 256):
            raise UsageError(f"words={words!r}: product codes have 16 or 256 words")
        hamming.check_words(words, bits)
        dims, parts = dims or features, hamming.part_count(bits, words)
        length = self._word_length(bits, words, dims)
        super().__init__(features, bits, metric=metric, words=words, dims=dims, tanh=tanh)
        self.words, self.parts, self.outputs, self.tanh = words, parts, dims, tanh
        self.layers = nn.Linear(features, dims)
        nn.init.eye_(self.layers.weight)
        nn.init.zeros_(self.layers.bias)
        self.register_buffer("books", torch.zeros(parts, words, length))

    @staticmethod
    def _word_length(bits: int, words: int, dims: int) -> int:
        parts = hamming.part_count(bits, words)
        if dims % parts:
            raise UsageError(
                f"{bits} bits in parts of {words} words are {parts} parts, which do not divide {dims} dimensions; "
                f"{_advice(bits, dims, hamming.part_bits(words))}"
            )
        return dims // parts

    def forward(self, features: Tensor) -> Tensor:
        """Return z, float ``(n, D)``, of features ``(n, d)``."""
        z: Tensor = self.layers(self.standard(features))
        return z.tanh() if self.tanh else z

    @torch.no_grad()
    def standardise(self, chunks: Iterable[Tensor]) -> None:
        """Centre and scale as in `Head`; only scale for an inner product that depends on the features' own origin."""
        super().standardise(chunks)
        if self.metric == "inner" and not self.learns_origin:
            self.centre.zero_()

    @property
    def features_metric(self) -> Metric | None:
        """The metric, unless the map is trained."""
        return None if self.learns_origin or self.tanh else cast(Metric, self.metric)

    def split(self, z: Tensor) -> Tensor:
        """Return the parts of vectors ``(n, D)``, ``(n, M, D / M)``."""
        return z.view(len(z), self.parts, self.outputs // self.parts)

    def numbers(self, z: Tensor) -> Tensor:
        """Return the numbers of the nearest words, int64 ``(n, M)``; of equally near ones, the smallest."""
        distances = torch.cdist(self.split(z).transpose(0, 1).contiguous(), self.books, compute_mode=_EXACT)
        return distances.argmin(2).T

    def codes_of(self, outputs: Tensor) -> Codes:
        """Return the packed product codes, uint8 ``(n, ceil(bits / 8))``, of vectors ``(n, D)``."""
        numbers = self.numbers(outputs).cpu().numpy().astype(np.uint8)
        return hamming.pack_words(numbers, self.words)

    @torch.no_grad()
    def tables_of(self, outputs: Tensor) -> Tables:
        """Return the look-up tables of vectors ``(n, D)``, float32 ``(n, parts, words)``; a pad part has zeros."""
        query = self.split(outputs.float()).transpose(0, 1)
        if self.metric == "inner":
            tables = -torch.bmm(query, self.books.transpose(1, 2))
        else:
            tables = torch.cdist(query.contiguous(), self.books, compute_mode=_EXACT).square()
        made = tables.transpose(0, 1).cpu().numpy()
        pad = hamming.table_shape(self.bits, self.words)[0] - self.parts
        return np.ascontiguousarray(np.pad(made, ((0, 0), (0, pad), (0, 0))), np.float32)

    def code_tables(self, codes: Codes) -> Tables:
        """Return look-up tables for what codes stand for: the symmetric distance."""
        return self.tables_of(self.decode(codes))

    @torch.no_grad()
    def decode(self, codes: Codes) -> Tensor:
        """Return the reconstructions of packed codes, float32 ``(n, D)``."""
        numbers = hamming.unpack_words(codes, self.words)[:, : self.parts]
        return self.rebuilt(torch.from_numpy(numbers.astype(np.int64)).to(self.books.device))

    def rebuilt(self, numbers: Tensor) -> Tensor:
        """Return what words stand for, float ``(n, D)``, of their numbers, int64 ``(n, M)``."""
        return self.books[torch.arange(self.parts, device=numbers.device), numbers].flatten(1)


_EXACT = "donot_use_mm_for_euclid_dist"  # differences, not |a|^2 + |b|^2 - 2 a . b, which cancels


def _advice(bits: int, dims: int, each: int) -> str:
    lengths = sorted(
        (parts * each for parts in range(1, dims + 1) if dims % parts == 0), key=lambda length: abs(length - bits)
    )
    return f"give {' or '.join(map(str, sorted(lengths[:2])))} bits"
