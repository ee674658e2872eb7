"""MeCoQ: all terms in plain loops, the floor of the negatives, the memory, words of length 1, digits."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from digits import batch_of, learn, noisy_views, resumed_and_whole, score, split, unlabelled_split

from kinbits import DataError, UsageError
from kinbits.methods import Spec, build_method

SMALL = {"words": 16, "width": 3}


def make(seed=0, **params):
    torch.manual_seed(seed)
    return build_method("mecoq", Spec(8, 5, 10), **{**SMALL, **params})


@torch.no_grad()
def values(method, one, two):
    terms = method.loss(batch_of(rows=torch.arange(len(one))), torch.cat([one, two]))
    return {name: float(term) for name, term in terms.items()}


def unit(row):
    length = math.sqrt(sum(a * a for a in row))
    return [a / length for a in row]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def soft(method, x):
    """Return p, and z of length 1, of vectors in plain loops."""
    books = method.head.books.tolist()
    width, all_p, all_z = len(books[0][0]), [], []
    for row in x.tolist():
        p_row, z_row = [], []
        for m, book in enumerate(books):
            part = unit(row[m * width : (m + 1) * width])
            weights = [math.exp(method.sharpness * dot(part, word)) for word in book]
            p = [weight / sum(weights) for weight in weights]
            p_row.append(p)
            z_row += [sum(p[k] * book[k][d] for k in range(len(book))) for d in range(width)]
        all_p.append(p_row)
        all_z.append(unit(z_row))
    return all_p, all_z


def naive(method, one, two, past=()):
    """Return the terms in plain loops; ``past`` are vectors of the memory."""
    (p, z), temperature, prior = soft(method, torch.cat([one, two])), method.temperature, method.prior
    count, terms = len(z), {"contrast": 0.0, "certainty": 0.0, "spread": 0.0}
    for i in range(count):
        partner = (i + count // 2) % count
        others = [z[j] for j in range(count) if j not in (i, partner)] + list(past)
        positive = math.exp(dot(z[i], z[partner]) / temperature)
        below = sum(math.exp(dot(z[i], other) / temperature) for other in others)
        below = (below - prior * len(others) * positive) / (1 - prior)
        below = max(below, len(others) * math.exp(-1 / temperature))
        terms["contrast"] -= math.log(positive / (positive + below)) / count
    entropies = [-sum(v * math.log(v) for v in part) for row in p for part in row]
    terms["certainty"] = method.certainty * sum(entropies) / len(entropies)
    products = [dot(a, b) for book in method.head.books.tolist() for a in book for b in book]
    terms["spread"] = method.spread * sum(products) / len(products)
    return terms


@pytest.mark.parametrize("prior", [0.0, 0.1, 0.5])
def test_the_loss_is_the_equation(prior):
    method = make(prior=prior)
    one, two = torch.randn(2, 4, 6)
    assert values(method, one, two) == pytest.approx(naive(method, one, two), abs=1e-4)


def test_negatives_have_a_floor():
    method = make(prior=0.9, temperature=0.5)
    z = F.normalize(torch.tensor([[1.0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0]])).repeat(2, 1)
    positive, least = math.exp(1 / 0.5), 2 * math.exp(-1 / 0.5)
    reached = float(method.contrast(z, z[:0]))
    assert reached == pytest.approx(-math.log(positive / (positive + least)), abs=1e-6)


def test_the_memory_joins_the_negatives_from_its_epoch_on():
    method, (one, two) = make(memory=6, memory_from=3), torch.randn(2, 4, 6)
    method.start_epoch(2, None)
    first = values(method, one, two)
    assert int(method.remembered) == 6
    assert values(method, one, two) == pytest.approx(first)  # not yet used
    method.start_epoch(3, None)
    past = soft(method, torch.cat([one, two])[2:])[1]  # the latest six of eight
    assert values(method, one, two) == pytest.approx(naive(method, one, two, past), abs=1e-4)


def test_a_memory_that_fills_up_holds_the_latest_codes_only():
    method = make(memory=10, memory_from=0)
    first, second = torch.randn(2, 6, 6)
    values(method, first[:3], first[3:])
    assert int(method.remembered) == 6
    past = soft(method, first)[1]
    assert values(method, second[:3], second[3:]) == pytest.approx(
        naive(method, second[:3], second[3:], past), abs=1e-4
    )
    kept = torch.tensor(soft(method, torch.cat([first[2:], second]))[0])
    assert torch.allclose(method.memory, kept, atol=1e-5)
    assert int(method.remembered) == 10


def test_a_memory_of_zero_is_none():
    method, (one, two) = make(memory=0, memory_from=0), torch.randn(2, 4, 6)
    assert values(method, one, two) == pytest.approx(values(method, one, two))


def test_gradients_reach_the_words_through_the_memory_too():
    method, x = make(memory=8, memory_from=0), torch.randn(8, 6, requires_grad=True)
    batch = batch_of(rows=torch.arange(4))
    method.loss(batch, x)
    method.loss(batch, x)["contrast"].backward()
    assert float(x.grad.abs().sum()) > 0
    assert float(method.head.books.grad.abs().sum()) > 0


def test_the_length_of_a_part_counts_for_no_term_and_no_code():
    method, (one, two) = make(memory=0), torch.randn(2, 4, 6)
    stretched = one * torch.tensor([3.0, 3, 3, 0.5, 0.5, 0.5])
    assert values(method, stretched, two) == pytest.approx(values(method, one, two), abs=1e-5)
    assert np.array_equal(method.head.codes_of(stretched), method.head.codes_of(one))


def test_codes_have_the_largest_inner_products_and_queries_are_ranked_by_them():
    method, x = make(), torch.randn(5, 6)
    products = torch.einsum("nmd,mkd->nmk", x.view(5, 2, 3), method.head.books).detach()
    assert torch.equal(method.head.numbers(x), products.argmax(2))
    assert np.allclose(method.head.tables_of(x), -products, atol=1e-5)


def test_vectors_need_dropout_to_make_views():
    vectors = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)
    with pytest.raises(DataError, match="dropout"):
        learn("mecoq", 8, vectors, epochs=1, words=16)
    learn("mecoq", 8, vectors, epochs=1, words=16, dropout=0.2)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"sharpness": 0.0}, "sharpness > 0"),
        ({"temperature": 0.01}, "temperature >= 0.02"),
        ({"prior": 1.0}, "prior < 1"),
        ({"certainty": -1.0}, "need >= 0"),
        ({"memory": -1}, "need >= 0"),
        ({"words": 12}, "words=12"),
        ({"hidden": -1}, "hidden >= 0"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_values_out_of_range_are_refused(params, message):
    with pytest.raises(UsageError, match=message):
        make(**params)


def test_a_resumed_run_is_the_same(tmp_path):
    _, (images, _) = unlabelled_split()
    data, spec = (images, None, None, noisy_views(images, 2)), Spec(8, 64, len(images))
    options = {"epochs": 4, "batch_size": 300, "at": 13, "words": 16, "memory": 100, "memory_from": 1}
    again, whole = resumed_and_whole("mecoq", spec, data, tmp_path, **options)
    assert int(whole["remembered"]) == 100
    assert all(torch.equal(again[name], whole[name]) for name in whole)
    assert torch.allclose(whole["head.books"].norm(dim=2), torch.ones(2, 16), atol=1e-5)


def test_digits_training_beats_pq_on_pixels():
    queries, (images, _), database = split()
    options = {"views": noisy_views(images, 8), "lr": 3e-3, "words": 16, "width": 8, "hidden": 128}
    fresh, trained = (learn("mecoq", 16, images, epochs=epochs, **options) for epochs in (0, 40))
    reached = score(trained, queries, database)
    assert reached > 0.7  # 0.692 is that of pq on pixels
    assert reached > score(fresh, queries, database) + 0.1
