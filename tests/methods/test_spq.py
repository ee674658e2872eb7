"""SPQ: the sheet's numbers, both forms of the loss in plain loops, limits of the soft codes, digits."""

import math

import numpy as np
import pytest
import torch
from digits import batch_of, learn, noisy_views, resumed_and_whole, score, split, unlabelled_split

from kinbits import DataError, UsageError
from kinbits.methods import Spec, build_method

FAR = 1e3
ONE = torch.tensor([[0.9, 0.8, 0.7, 0.2], [0.1, 0.3, 0.2, 0.9]])
TWO = torch.tensor([[0.8, 1.0, 0.9, 0.1], [0.2, 0.1, 0.1, 0.8]])


@torch.no_grad()
def sheet_method(**params):
    """Return M = 2 parts whose first two words are those of the sheet; the other 14 are far away."""
    method = build_method("spq", Spec(8, 4, 10), words=16, width=2, hidden=0, **params)
    method.head.books.fill_(FAR)
    method.head.books[0, :2] = torch.tensor([[0.0, 0], [1, 1]])
    method.head.books[1, :2] = torch.tensor([[1.0, 0], [0, 1]])
    return method


@torch.no_grad()
def contrast(method, one, two):
    return float(method.loss(batch_of(rows=torch.arange(len(one))), torch.cat([one, two]))["contrast"])


@pytest.mark.parametrize(("negatives", "wanted"), [("all", 0.757661), ("crossed", 0.411956)])
def test_worked_values(negatives, wanted):
    method = sheet_method(negatives=negatives)
    soft = method.soft(ONE)[0].tolist()
    assert soft == pytest.approx([0.999089, 0.999089, 0.993307, 0.006693], abs=1e-6)
    assert contrast(method, ONE, TWO) == pytest.approx(wanted, abs=1e-6)


def test_a_sharp_soft_code_is_the_nearest_word_and_a_flat_one_the_mean_of_all():
    sharp, flat = sheet_method(sharpness=1e4), sheet_method(sharpness=0.0)
    assert torch.equal(sharp.soft(ONE), sharp.head.decode(sharp.head.codes_of(ONE)))
    with torch.no_grad():
        flat.head.books[:, 2:] = flat.head.books[:, :2].repeat(1, 7, 1)
    assert flat.soft(ONE).flatten().tolist() == pytest.approx([0.5] * 8, abs=1e-6)


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def softened(method, x):
    """Return the soft codes in plain loops."""
    books = method.head.books.tolist()
    width, made = len(books[0][0]), []
    for row in x.tolist():
        made.append([])
        for m, book in enumerate(books):
            part = row[m * width : (m + 1) * width]
            near = [math.exp(-method.sharpness * sum((a - b) ** 2 for a, b in zip(part, w, strict=True))) for w in book]
            made[-1] += [sum(n * w[d] for n, w in zip(near, book, strict=True)) / sum(near) for d in range(width)]
    return made


def naive(method, one, two):
    total, count = 0.0, len(one)
    for x, z in ((one.tolist(), softened(method, two)), (two.tolist(), softened(method, one))):
        for i in range(count):
            if method.negatives == "crossed":
                below = sum(math.exp(cosine(x[i], other) / method.temperature) for other in z)
                total -= math.log(math.exp(cosine(x[i], z[i]) / method.temperature) / below) / count
        if method.negatives == "all":
            every = x + z
            for i in range(2 * count):
                s = [math.exp(cosine(every[i], other) / method.temperature) for other in every]
                total -= math.log(s[(i + count) % (2 * count)] / (sum(s) - s[i])) / (2 * count)
    return total


@pytest.mark.parametrize("negatives", ["all", "crossed"])
def test_the_loss_is_the_equation(negatives):
    torch.manual_seed(0)
    method = build_method("spq", Spec(12, 5, 10), words=16, width=3, temperature=0.3, negatives=negatives)
    one, two = torch.randn(2, 5, 9)
    assert contrast(method, one, two) == pytest.approx(naive(method, one, two), abs=1e-4)


def test_gradients_reach_the_words_and_the_vectors():
    torch.manual_seed(0)
    method = build_method("spq", Spec(8, 5, 10), words=16, width=3)
    x = torch.randn(8, 6, requires_grad=True)
    method.loss(batch_of(rows=torch.arange(4)), x)["contrast"].backward()
    assert float(x.grad.abs().sum()) > 0
    assert float(method.head.books.grad.abs().sum()) > 0


def test_distances_are_squared_or_the_norms_of_parts():
    squared, norms = (sheet_method(distance=distance) for distance in ("squared", "norms"))
    assert np.allclose(squared.head.tables_of(ONE), norms.head.tables_of(ONE) ** 2, rtol=1e-4)
    assert norms.head.tables_of(ONE)[0, 0, :2].tolist() == pytest.approx([1.45**0.5, 0.05**0.5], abs=1e-5)


def test_vectors_need_dropout_to_make_views():
    vectors = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)
    with pytest.raises(DataError, match="dropout"):
        learn("spq", 8, vectors, epochs=1, words=16)
    learn("spq", 8, vectors, epochs=1, words=16, dropout=0.2)


def test_vectors_of_one_view_are_refused():
    with pytest.raises(UsageError, match="both views"):
        sheet_method().loss(batch_of(rows=torch.arange(4)), torch.randn(4, 4))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"sharpness": -1.0}, "sharpness >= 0"),
        ({"temperature": 0.0}, "temperature > 0"),
        ({"words": 12}, "words=12"),
        ({"width": 0}, "width >= 1"),
        ({"negatives": "none"}, "all, crossed"),
        ({"distance": "l3"}, "squared, norms"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_values_out_of_range_are_refused(params, message):
    with pytest.raises(UsageError, match=message):
        build_method("spq", Spec(16, 8, 100), **params)


def test_a_resumed_run_is_the_same(tmp_path):
    _, (images, _) = unlabelled_split()
    data, spec = (images, None, None, noisy_views(images, 2)), Spec(8, 64, len(images))
    again, whole = resumed_and_whole("spq", spec, data, tmp_path, epochs=3, batch_size=300, at=8, words=16, hidden=16)
    assert all(torch.equal(again[name], whole[name]) for name in whole)


def words_in_use(method, images):
    with torch.no_grad():
        numbers = method.head.numbers(method.head(torch.from_numpy(images)))
    return [len(part.unique()) for part in numbers.T]


def test_digits_training_beats_pq_on_pixels_and_uses_the_words():
    queries, (images, _), database = split()
    options = {"views": noisy_views(images, 8), "lr": 3e-3, "words": 16, "width": 8, "hidden": 128}
    fresh, trained = (learn("spq", 16, images, epochs=epochs, **options) for epochs in (0, 40))
    reached = score(trained, queries, database)
    assert reached > 0.72  # 0.692 is that of pq on pixels
    assert reached > score(fresh, queries, database) + 0.1
    assert min(words_in_use(trained, database[0])) >= 13
