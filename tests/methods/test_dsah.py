"""DSAH: the sheet's numbers, the loss and the graphs in plain loops, resuming, digits."""

import itertools
import math
import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from digits import batch_of, learn, resumed_and_whole, score, split, unlabelled_split
from scipy.linalg import hadamard

from kinbits import DataError, UsageError
from kinbits.methods import Spec, build_method
from kinbits.methods.blocks import (
    GraphLimits,
    add_similar_pairs,
    nearest_points,
    nearest_rows,
    neighbour_pairs,
    symmetric_pairs,
)
from kinbits.training import FeatureSet

H = torch.tensor([[1.0, 1, 1, 1], [1, 1, 1, -1], [1, 1, -1, -1]])
LARGE = 40.0


def graph(n, *ones):
    matrix = np.zeros((n, n), np.int32)
    for i, j in ones:
        matrix[i, j] = 1
    return symmetric_pairs(sp.csr_array(matrix))


def make(pairs=None, bits=4, **params):
    method = build_method("dsah", Spec(bits, 3, 10), hidden=8, **params)
    method.pairs = pairs
    return method


def test_the_worked_weights_and_loss():
    everything_but_one = graph(3, (0, 1), (1, 2))
    method = make(everything_but_one)
    weights = method.information(torch.nn.functional.normalize(H) @ torch.nn.functional.normalize(H).T)
    assert weights[0].tolist() == pytest.approx([1.8184, 2.3184, 2.8184], abs=1e-4)
    batch = batch_of(rows=torch.arange(3))
    assert float(method.loss(batch, LARGE * H)["pairs"]) == pytest.approx(0.8839, abs=1e-4)
    plain = make(everything_but_one, pic=False)
    assert float(plain.loss(batch, LARGE * H)["pairs"]) == pytest.approx(0.3333, abs=1e-4)


def test_weights_are_information():
    cosine = torch.rand(6, 6) * 2 - 1
    for temperature in (1.0, 0.3):
        weights = make(temperature=temperature).information(cosine)
        assert float(weights[0, 1] - weights[2, 3]) == pytest.approx(
            float(cosine[2, 3] - cosine[0, 1]) / temperature, abs=1e-4
        )
    assert make().information(torch.zeros(50, 50)).unique().tolist() == pytest.approx([7.824], abs=1e-3)


@pytest.mark.parametrize("quant_on", ["h", "z"])
def test_the_loss_is_the_equation(quant_on):
    generator = torch.Generator().manual_seed(0)
    logits, temperature = torch.randn(5, 6, generator=generator), 0.7
    chosen = [3, 0, 7, 5, 9]
    pairs = graph(10, (3, 7), (0, 9), (1, 2))
    method = make(pairs, 6, alpha=1.5, beta=0.3, temperature=temperature, quant_on=quant_on)
    terms = method.loss(batch_of(rows=torch.tensor(chosen)), logits)
    h = torch.tanh(logits.double()).tolist()
    z = [[a / math.hypot(*row) for a in row] for row in h]
    s = [[sum(a * b for a, b in zip(x, y, strict=True)) for y in z] for x in z]
    total = sum(math.exp(value / temperature) for row in s for value in row)
    fit = 0.0
    for i, j in itertools.product(range(5), repeat=2):
        w = 1 if pairs[chosen[i], chosen[j]] else -1
        fit -= math.log(math.exp(s[i][j] / temperature) / total) * (s[i][j] - w) ** 2 / 25
    assert float(terms["pairs"]) == pytest.approx(1.5 * fit, abs=1e-5)
    on = h if quant_on == "h" else z
    lost = sum(((1 if b >= 0 else -1) - a) ** 2 for x, y in zip(on, h, strict=True) for a, b in zip(x, y, strict=True))
    assert float(terms["quantization"]) == pytest.approx(0.3 * lost / 30, abs=1e-5)


def test_gradients_stay_out_of_the_weights_unless_asked():
    cosine = torch.rand(4, 4, requires_grad=True)
    assert not make().information(cosine).requires_grad
    assert make(detach_pic=False).information(cosine).requires_grad


def test_a_logit_vector_of_zeros_is_finite():
    logits = torch.zeros(3, 4, requires_grad=True)
    terms = make(graph(3)).loss(batch_of(rows=torch.arange(3)), logits)
    torch.stack(list(terms.values())).sum().backward()
    assert torch.isfinite(logits.grad).all()


FOUR = torch.cat([H, -torch.ones(1, 4)])


def off_diagonal(pairs):
    rows, columns = pairs.nonzero()
    return {(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if i < j}


def test_growth_in_the_worked_example():
    start = graph(4, (0, 1))
    assert off_diagonal(add_similar_pairs(start, FOUR, 0.0, math.inf)) == {(0, 1)}
    assert off_diagonal(add_similar_pairs(start, FOUR, 0.0, math.inf, diagonal=False)) == {(0, 1), (1, 2)}


def test_growth_is_the_rule_pair_by_pair_in_blocks_of_any_size():
    codes = torch.tanh(torch.randn(23, 6, generator=torch.Generator().manual_seed(1)))
    start = graph(23, (0, 1), (4, 9), (20, 22), (7, 8))
    G = codes.double() @ codes.double().T
    held = [float(G[i, j]) for i, j in itertools.product(range(23), repeat=2) if start[i, j]]
    threshold = np.mean(held) - 1.5 * np.std(held, ddof=1)
    wanted = {(i, j) for i, j in itertools.combinations(range(23), 2) if start[i, j] or G[i, j] >= threshold}
    assert 4 < len(wanted) < 253
    for cells in (23, 100, 1 << 23):
        limits = GraphLimits(cells=cells)
        assert off_diagonal(add_similar_pairs(start, codes, -1.5, math.inf, limits=limits)) == wanted


def test_growth_never_removes_and_infinite_strictness_never_adds():
    codes, start = torch.randn(30, 8), graph(30, (0, 5), (3, 4))
    assert off_diagonal(add_similar_pairs(start, codes, math.inf, math.inf)) == {(0, 5), (3, 4)}
    assert off_diagonal(add_similar_pairs(start, codes, 0.0, math.inf)) >= {(0, 5), (3, 4)}


def test_a_growth_beyond_its_limit_is_not_even_built():
    codes, start = CountsBlocks.of(torch.ones(40, 8)), graph(40, (0, 5))
    row_by_row = GraphLimits(cells=40)
    assert add_similar_pairs(start, codes, 0.0, 400, limits=row_by_row) is start
    assert codes.read == 40 + 11  # the threshold reads all; then ten rows are 400 pairs, and the eleventh exceeds them
    assert add_similar_pairs(start, codes, 0.0, 1600, limits=row_by_row).nnz == 1600


class CountsBlocks(torch.Tensor):
    """Codes that count how many blocks of rows were read."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # what is computed from them counts nothing

    @classmethod
    def of(cls, codes):
        found = codes.as_subclass(cls)
        found.read = 0
        return found

    def __getitem__(self, rows):
        self.read += 1
        return self.as_subclass(torch.Tensor)[rows]


def test_above_the_limit_the_best_pairs_of_each_row_are_kept():
    codes = torch.randn(20, 8, generator=torch.Generator().manual_seed(0))
    limits = GraphLimits(exact_rows=10, pairs=60)
    near = off_diagonal(add_similar_pairs(graph(20), codes, -100.0, math.inf, limits=limits))
    best = (codes @ codes.T).topk(3, dim=1).indices.tolist()
    assert near == {(min(i, j), max(i, j)) for i in range(20) for j in best[i] if i != j}


def test_a_pair_costs_a_few_bytes_also_while_graphs_are_joined():
    """Whole numbers for the entries and wide ones for their places took 13.5 GB for 50,000 images."""
    rng = np.random.default_rng(0)
    near = np.stack([np.r_[i, rng.permutation(2000)[:199]] for i in range(2000)])
    codes = torch.tanh(torch.from_numpy(rng.normal(size=(2000, 16)).astype(np.float32)))
    tracemalloc.start()
    first = neighbour_pairs(near, 0, "nn")
    built = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    grown = add_similar_pairs(first, codes, 0.5, np.inf, limits=GraphLimits(cells=1 << 16))
    joined = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert grown.nnz > 1.5 * first.nnz
    assert grown.dtype == bool
    assert grown.indices.dtype == np.int32
    assert built < 20 * first.nnz
    assert joined < 30 * grown.nnz


def test_neighbours_are_the_brute_force_ones_and_start_with_the_row():
    points = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32) + 100
    points[7] = points[3]
    found = nearest_rows(FeatureSet(points), 6)
    distances = ((points[:, None] - points[None]) ** 2).sum(2)
    assert (found[:, 0] == np.arange(60)).all()
    for row in range(60):
        assert len(set(found[row])) == 6
        assert np.sort(distances[row])[:6] == pytest.approx(np.sort(distances[row][found[row]]), abs=1e-4)


def test_copies_of_one_image_find_themselves():
    assert (nearest_rows(FeatureSet(np.ones((9, 3), np.float32)), 2)[:, 0] == np.arange(9)).all()


def test_beyond_many_rows_inverted_lists_find_nearly_all_and_fill_up_with_the_row_itself():
    points = torch.from_numpy(np.random.default_rng(0).normal(size=(3000, 6)).astype(np.float32))
    exact, found = (nearest_points(lambda: [points], 3000, 11, **limits) for limits in ({}, {"exact_rows": 100}))
    assert (found[:, 0] == np.arange(3000)).all()
    assert np.mean([len(set(a) & set(b)) / 11 for a, b in zip(exact, found, strict=True)]) > 0.95
    short = nearest_points(lambda: [points], 3000, 200, exact_rows=100, lists_read=1)  # a list holds 14 on average
    assert short.min() == 0
    assert (short[5] == 5).sum() > 100


@pytest.mark.parametrize("init", ["both", "nn", "union", "inter"])
def test_first_graphs_are_their_definitions(init):
    points = np.random.default_rng(5).normal(size=(40, 3)).astype(np.float32)
    near = nearest_rows(FeatureSet(points), 7)
    first = [set(row.tolist()) for row in near]
    second = []
    for i in range(40):
        order = sorted(range(40), key=lambda j: (-len(first[i] & first[j]), j))
        second.append(set(order[:5]))
    rule = {
        "nn": lambda i: first[i],
        "both": lambda i: first[i] & second[i],
        "union": lambda i: set.union(*(first[k] for k in second[i])),
        "inter": lambda i: set.intersection(*(first[k] for k in second[i])),
    }[init]
    wanted = {(min(i, j), max(i, j)) for i in range(40) for j in rule(i) if i != j}
    made = neighbour_pairs(near, 5, init)
    assert off_diagonal(made) == wanted
    assert made.diagonal().all()


@pytest.mark.parametrize(
    ("init", "per_row", "precision"), [("both", 49, 0.900), ("union", None, 0.475), ("inter", 2, 0.979)]
)
def test_first_graphs_on_digits_are_as_pure_as_published(init, per_row, precision):
    _, (x, y) = unlabelled_split()
    made = neighbour_pairs(nearest_rows(FeatureSet(x), 51), 50, init)
    rows, columns = made.nonzero()
    apart = rows != columns
    assert (y[rows] == y[columns])[apart].mean() == pytest.approx(precision, abs=0.02)
    if per_row:
        assert apart.sum() / len(x) == pytest.approx(per_row, abs=1.0)


def test_a_growth_that_would_fill_the_graph_is_left_out():
    images = np.random.default_rng(0).normal(size=(80, 6)).astype(np.float32)
    grown = learn("dsah", 8, images, epochs=2, every=1, strictness=0.0)
    kept = learn("dsah", 8, images, epochs=2, every=1, strictness=-100.0)
    still = learn("dsah", 8, images, epochs=2, every=0)
    assert kept.pairs.nnz == still.pairs.nnz <= grown.pairs.nnz


@pytest.mark.parametrize(("groups", "grown"), [([4, 2, 1, 1, 1, 1], 24), ([4, 2, 2, 1, 1], 12)])
def test_a_growth_that_would_more_than_double_the_graph_is_left_out(groups, grown):
    """Equal codes are similar: 7 pairs double the 12 entries of the first graph, and 8 pairs exceed that."""
    method = make(graph(10, (0, 1)), bits=8, every=1)
    codes = torch.from_numpy(hadamard(8)[np.repeat(np.arange(len(groups)), groups)]).float()
    method.outputs = lambda train: LARGE * codes
    method.end_epoch(0, FeatureSet(np.zeros((10, 3), np.float32)))
    assert method.pairs.nnz == grown


def test_resuming_keeps_the_grown_graph(tmp_path):
    images = np.random.default_rng(0).normal(size=(120, 6)).astype(np.float32)
    again, whole = resumed_and_whole(
        "dsah", Spec(8, 6, 120), (images,), tmp_path, epochs=4, batch_size=40, at=7, every=1, strictness=0.5
    )
    assert len(whole["_extra_state"]) > 120
    assert all(torch.equal(again[key], whole[key]) for key in whole)


def test_too_few_rows_or_pairs_are_refused():
    images = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    with pytest.raises(DataError, match="give at most 19"):
        learn("dsah", 8, images, neighbours=20, epochs=1)
    with pytest.raises(DataError, match="raise neighbours"):
        learn("dsah", 8, images, neighbours=1, second=15, init="inter", epochs=1)
    with pytest.raises(UsageError, match="prepare"):
        make().loss(batch_of(rows=torch.arange(3)), H)


@pytest.mark.parametrize("params", [{"temperature": 0.0}, {"beta": -1.0}, {"init": "none"}, {"quant_on": "b"}])
def test_values_out_of_range_are_refused(params):
    with pytest.raises(UsageError):
        make(**params)


def test_digits_both_parts_help():
    """At 32 bits without quantization, as published: growth helps, information helps; all beat ITQ's start, LSH."""
    queries, database = unlabelled_split()
    common = {"epochs": 30, "neighbours": 50, "beta": 0.0}
    full = score(learn("dsah", 32, database[0], every=10, **common), queries, database)
    no_growth = score(learn("dsah", 32, database[0], every=0, **common), queries, database)
    no_weights = score(learn("dsah", 32, database[0], every=10, pic=False, **common), queries, database)
    assert full > no_growth + 0.01
    assert full > no_weights
    assert full > score(learn("lsh", 32, database[0]), queries, database) + 0.15


def test_digits_with_the_defaults_beats_itq():
    queries, train, database = split()
    method = learn("dsah", 32, train[0], epochs=60)
    assert score(method, queries, database) > score(learn("itq", 32, train[0]), queries, database)
