"""Redundant bits: their scores by labels or correlation, the pairs to merge, and the matrix that merges them."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from kinbits.errors import UsageError

Score = Literal["redundancy", "correlation", "random"]


def code_lengths(start: int, bits: int, layers: int) -> list[int]:
    """Return the code lengths K_0 > ... > K_T, in equal steps.

    Raises:
        UsageError: If the lengths do not fall, or fall by more than half in one step, since neurons merge in pairs.
    """
    found = [round(start + (bits - start) * t / layers) for t in range(layers + 1)]
    if start <= bits:
        raise UsageError(f"start is {start}; it must be greater than the {bits} bits that are left in the end")
    for longer, shorter in pairwise(found):
        if longer <= shorter:
            raise UsageError(f"{layers} layers from {start} to {bits} bits are too many: each must merge neurons")
        if longer > 2 * shorter:
            raise UsageError(
                f"{found} falls by more than half in one step, and neurons merge in pairs; give more than "
                f"{layers} layers, or a smaller start"
            )
    return found


def redundancy_scores(kind: Score, codes: Tensor, same: Tensor, rng: np.random.Generator) -> Tensor:
    """Return the redundancy of each pair of bits on a sample, ``(K, K)``.

    Args:
        kind: Kind of score.
        codes: -1 or +1, float ``(m, K)``.
        same: Which rows share a label, 0/1 ``(m, m)``.
        rng: Generator for ``"random"``.
    """
    if kind == "random":
        return torch.from_numpy(rng.random((codes.shape[1], codes.shape[1]))).to(codes)
    table = importance(codes, same)[1]
    if kind == "correlation" or not table.any():  # all pairs are of one kind, so that labels give no score
        return bit_correlation(codes).abs()
    return table


def importance(codes: Tensor, same: Tensor) -> tuple[Tensor, Tensor]:
    """Return the value of each bit, and of each pair of bits beyond that of its two bits, for a squared loss on pairs.

    With l(M) = mean over i != j of (b_i . b_j / |M| - t_ij)^2 on the bits M alone, t = 1 for similar and -r for other
    pairs, r = similar / other: I_k = l(all - k) - l(all), R_kl = l(all - k - l) - l(all) - I_k - I_l. Since bits are
    signs, leaving out k subtracts an outer product whose square is 1. So the whole table costs O(m^2 K + m K^2).

    Args:
        codes: -1 or +1, float ``(m, K)``, K at least 3.
        same: Which rows share a label, 0/1 ``(m, m)``.

    Returns:
        I, ``(K,)``, and R, ``(K, K)`` with a diagonal of 0. Both are 0 if all pairs are of one kind.
    """
    m, K = codes.shape
    others = 1 - torch.eye(m, device=codes.device)
    pairs, alike = float(m * (m - 1)), float((same * others).sum())
    if not 0 < alike < pairs:
        return codes.new_zeros(K), codes.new_zeros(K, K)
    target = torch.where(same > 0, 1.0, -alike / (pairs - alike))

    def parts(size: int) -> tuple[Tensor, Tensor]:
        apart = others * (codes @ codes.T - size * target)
        return apart.square().sum(), (codes * (apart @ codes)).sum(0)

    whole = parts(K)[0] / K**2
    total, each = parts(K - 1)
    alone = (total - 2 * each + pairs) / (K - 1) ** 2 - whole
    total, each = parts(K - 2)
    both = (codes.T @ codes).square() - m  # sum over i != j of b_ik b_jk b_il b_jl
    left = total - 2 * (each[:, None] + each[None, :]) + 2 * pairs + 2 * both
    table = left / (K - 2) ** 2 - whole - alone[:, None] - alone[None, :]
    return alone / pairs, (table / pairs).fill_diagonal_(0)


def bit_correlation(codes: Tensor) -> Tensor:
    """Return the correlation of bits, ``(K, K)``; 1 for constant bits, where it is undefined."""
    centred = codes - codes.mean(0)
    norms = centred.norm(dim=0)
    values = (centred.T @ centred) / (norms[:, None] * norms[None, :]).clamp_min(1e-12)
    constant = norms == 0
    return torch.where(constant[:, None] | constant[None, :], 1.0, values)


def constant_bits_first(table: Tensor, codes: Tensor) -> Tensor:
    """Return the scores, with those of constant bits raised to infinity."""
    dead = (codes == codes[:1]).all(0)
    return torch.where(dead[:, None] | dead[None, :], torch.inf, table)


def greedy_matching(table: Tensor, count: int) -> list[tuple[int, int]]:
    """Choose the pairs with the highest scores, each bit in one pair at most.

    Args:
        table: Scores, symmetric ``(K, K)``.
        count: Number of pairs, at most K / 2.
    """
    K = len(table)
    own, other = torch.triu_indices(K, K, 1).tolist()
    order = torch.tensor([table[k, n] for k, n in zip(own, other, strict=True)]).argsort(descending=True, stable=True)
    chosen: list[tuple[int, int]] = []
    used: set[int] = set()
    for place in order.tolist():
        if len(chosen) == count:
            break
        pair = own[place], other[place]
        if used.isdisjoint(pair):
            chosen.append(pair)
            used.update(pair)
    return chosen


def merge_matrix(pairs: list[tuple[int, int]], codes: Tensor) -> Tensor:
    """Return the matrix that merges pairs of bits, ``(K, K - pairs)``: other bits first, then the merged ones.

    A merged neuron is the mean of both. The second is flipped if the two disagree in most rows, since the mean would
    cancel them. Of a constant bit and another one, only the other one is kept.

    Args:
        pairs: Bits to merge.
        codes: -1 or +1, ``(m, K)``, which show signs and constant bits.
    """
    K = codes.shape[1]
    merged = {bit for pair in pairs for bit in pair}
    kept = [bit for bit in range(K) if bit not in merged]
    matrix = codes.new_zeros(K, K - len(pairs))
    matrix[kept, range(len(kept))] = 1.0
    signs, live = bit_correlation(codes), (codes != codes[:1]).any(0)
    for column, (k, n) in enumerate(pairs, len(kept)):
        matrix[k, column], matrix[n, column] = 0.5, -0.5 if signs[k, n] < 0 else 0.5
        if live[k] != live[n]:
            matrix[k, column], matrix[n, column] = live[k].float(), live[n].float()
    return matrix
