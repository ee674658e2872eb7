"""The head of composite codes: a vector is the sum of one word of full length from each codebook."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kinbits import hamming
from kinbits.errors import UsageError
from kinbits.heads.base import register_head
from kinbits.heads.product import ProductHead

MOST_WORDS, ROWS, TRIES, SWEEPS = 8192, 4096, 4, 5


@register_head("composite")
class CompositeHead(ProductHead):
    """Replaces z by the sum of M words, whose numbers are its code.

    With z = tanh of the output of the linear map, and codebooks C_m of K words of the length of z, the code of z
    makes |z - sum_m C_mc_m|^2 small. The first choice is greedy, part after part; then each part in turn takes the word
    that is best for the others' words, until nothing changes or five times (iterated conditional modes, ICM). Of four
    searches that begin at different parts, the best is kept.

    A query z' is ranked by the inner product, with tables T[m, k] = -z' . C_mk. The squared distance to a sum also
    depends on the products of its words, which a sum of look-ups cannot hold (T. Zhang, C. Du, J. Wang, "Composite
    Quantization for Approximate Nearest Neighbor Search", ICML 2014).

    Args:
        features: Length of one feature vector.
        bits: Code length, M log2 K.
        words: K, 16 or 256.
        dims: Length D of z, at least M.
        directions: Number R of directions v that alone count for the choice of words, which then minimises
            sum_r ((z - sum_m C_mc_m) . v_r)^2; 0 for all.

    Attributes:
        books: Codebooks, float32 ``(M, K, D)``.
        axes: The directions, float32 ``(R, D)``.

    Raises:
        UsageError: As of `ProductHead`, or if there are fewer dimensions than parts, or more than 8,192 words.
    """

    learns_origin = True
    axes: Tensor

    def __init__(self, features: int, bits: int, words: int = 256, dims: int = 64, directions: int = 0) -> None:
        super().__init__(features, bits, words, dims, "inner", tanh=True)
        self.options = {"words": words, "dims": dims, "directions": directions}
        self.register_buffer("axes", torch.zeros(directions, dims))

    @staticmethod
    def _word_length(bits: int, words: int, dims: int) -> int:
        parts = hamming.part_count(bits, words)
        if parts * words > MOST_WORDS:
            raise UsageError(
                f"{bits} bits are {parts} codebooks of {words} words; composite codes have at most {MOST_WORDS} words, "
                f"so give {MOST_WORDS // words * hamming.part_bits(words)} bits or less"
            )
        if dims < parts:
            raise UsageError(f"{bits} bits are {parts} codebooks; give them at least dims={parts}, not {dims}")
        return dims

    def split(self, z: Tensor) -> Tensor:
        """Return vectors ``(n, D)`` once for each codebook, ``(n, M, D)``."""
        return z[:, None].expand(-1, self.parts, -1)

    def rebuilt(self, numbers: Tensor) -> Tensor:
        """Return the sums of words, float ``(n, D)``, of their numbers, int64 ``(n, M)``."""
        return super().rebuilt(numbers).view(len(numbers), self.parts, self.outputs).sum(1)

    @torch.no_grad()
    def numbers(self, z: Tensor, start: Tensor | None = None, *, tries: int = TRIES) -> Tensor:
        """Return the numbers of words with a sum near z, int64 ``(n, M)``.

        Args:
            z: Vectors, float ``(n, D)``.
            start: Numbers to start from, int64 ``(n, M)``, instead of greedy ones. The error never grows.
            tries: Number of greedy starts, at most M.
        """
        words = self.books.flatten(0, 1)
        if len(self.axes):
            z, words = z @ self.axes.T, words @ self.axes.T
        search = _Search(words, self.parts)
        found = []
        for low in range(0, max(len(z), 1), ROWS):
            costs = search.costs(z[low : low + ROWS])
            found.append(search.best(costs, tries) if start is None else search.improve(costs, start[low : low + ROWS]))
        return torch.cat(found)


class _Search:
    """Finds words whose sum is near a vector.

    Args:
        words: All words, part after part, float ``(M K, D)``.
        parts: M.

    Attributes:
        products: Inner products of all words with those of each part, ``(M, M K, K)``.
    """

    def __init__(self, words: Tensor, parts: int) -> None:
        self.words, self.parts = words, parts
        self.products = (words @ words.T).view(len(words), parts, -1).transpose(0, 1).contiguous()

    def costs(self, z: Tensor) -> Tensor:
        """Return half of what each word alone adds to the squared error of vectors, ``(n, M, K)``."""
        return (self.words.square().sum(1) / 2 - z @ self.words.T).view(-1, self.parts, self.products.shape[2])

    def best(self, costs: Tensor, tries: int) -> Tensor:
        """Return the best of several searches, int64 ``(n, M)``, whose greedy starts begin at different parts."""
        found = [self.improve(costs, self._greedy(costs, first)) for first in range(min(tries, self.parts))]
        values = torch.stack([self._value(costs, numbers) for numbers in found])
        return torch.stack(found)[values.argmin(0), torch.arange(len(costs), device=costs.device)]

    def improve(self, costs: Tensor, start: Tensor) -> Tensor:
        """Return numbers after sweeps over the parts, int64 ``(n, M)``."""
        chosen = start.clone()
        for _ in range(SWEEPS):
            before = chosen.clone()
            for part in range(self.parts):
                self._choose(costs, chosen, part, [other for other in range(self.parts) if other != part])
            if torch.equal(before, chosen):
                break
        return chosen

    def _greedy(self, costs: Tensor, first: int) -> Tensor:
        chosen = torch.zeros(costs.shape[:2], dtype=torch.int64, device=costs.device)
        order = [(first + step) % self.parts for step in range(self.parts)]
        for step, part in enumerate(order):
            self._choose(costs, chosen, part, order[:step])
        return chosen

    def _choose(self, costs: Tensor, chosen: Tensor, part: int, others: list[int]) -> None:
        """Set the numbers of one part to the best for the numbers of others."""
        total = costs[:, part]
        if others:
            rows = chosen[:, others] + torch.tensor(others, device=chosen.device) * costs.shape[2]
            total = total + F.embedding_bag(rows, self.products[part], mode="sum")
        chosen[:, part] = total.argmin(1)

    def _value(self, costs: Tensor, chosen: Tensor) -> Tensor:
        """Return half of the squared error, less that of no words, ``(n,)``."""
        total = costs.gather(2, chosen[:, :, None]).sum((1, 2))
        for one in range(self.parts):
            for two in range(one):
                total += self.products[two, one * costs.shape[2] + chosen[:, one], chosen[:, two]]
        return total
