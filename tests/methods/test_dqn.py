"""DQN: the sheet's numbers, the equation in plain loops, when words count, and digits."""

import math

import pytest
import torch
from digits import SPACE, batch_of, learn, resumed_and_whole, score, split

from kinbits import DataError, UsageError
from kinbits.data import LabelSpace
from kinbits.methods import Spec, build_method

SINGLE = torch.tensor([0, 0, 1, -1, 2])
SETS = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 0], [0, 0, 1]]).float()


def small(multi=False, epoch=0, **params):
    """Return a method with two parts of two numbers and 16 words each, drawn at random."""
    torch.manual_seed(0)
    method = build_method("dqn", Spec(8, 3, 20, LabelSpace(tuple("abc"), multi=multi)), words=16, width=2, **params)
    method.head.books.normal_()
    method.start_epoch(epoch, None)
    return method


def naive(method, logits, labels, weight):
    """Use sets of labels; an empty set is an unlabelled row."""
    rows, total, pairs, away = logits.tolist(), 0.0, 0, 0.0
    for one, own in zip(rows, labels, strict=True):
        for other, theirs in zip(rows, labels, strict=True):
            if own and theirs:
                product = sum(a * b for a, b in zip(one, other, strict=True))
                total += ((1 if own & theirs else -1) - product / (math.hypot(*one) * math.hypot(*other))) ** 2
                pairs += 1
    for row in rows:
        for part in range(2):
            words = method.head.books[part].tolist()
            away += min(sum((a - b) ** 2 for a, b in zip(row[2 * part :], word, strict=False)) for word in words)
    return total / pairs, weight * away / len(rows)


@pytest.mark.parametrize(
    ("labels", "sets"),
    [(SINGLE, [{0}, {0}, {1}, set(), {2}]), (SETS, [{0}, {0, 1}, {1, 2}, set(), {2}])],
    ids=["one label", "sets of labels"],
)
def test_the_loss_is_the_equation(labels, sets):
    method = small(labels.ndim == 2, epoch=1, quantization=0.3)
    logits = torch.randn(5, 4)
    terms = method.loss(batch_of(labels), logits)
    pairs, away = naive(method, logits, sets, 0.3)
    assert float(terms["pairs"]) == pytest.approx(pairs, abs=1e-5)
    assert float(terms["quantization"]) == pytest.approx(away, abs=1e-5)


def test_worked_loss_of_the_pairs():
    z = torch.tensor([[1, 0], [0.6, 0.8], [0, -1]])
    found = float(small().loss(batch_of(torch.tensor([0, 0, 1])), z)["pairs"])
    assert found == pytest.approx(0.266667, abs=1e-6)
    assert found * 9 / 6 == pytest.approx(0.4, abs=1e-6)  # a row with itself costs nothing


def test_words_count_from_the_second_epoch_on_and_have_no_gradient():
    logits = torch.randn(5, 4, requires_grad=True)
    assert list(small().loss(batch_of(SINGLE), logits)) == ["pairs"]
    method = small(epoch=1, quantization=1.0)
    method.loss(batch_of(SINGLE), logits)["quantization"].backward()
    y = method.head.decode(method.head.codes_of(logits.detach()))
    assert torch.allclose(logits.grad, 2 / 5 * (logits.detach() - y), atol=1e-6)
    assert not method.head.books.requires_grad


def test_a_batch_without_labels_or_with_zeros_is_finite():
    logits = torch.zeros(5, 4, requires_grad=True)
    loss = sum(small(epoch=1).loss(batch_of(torch.full((5,), -1)), logits).values())
    loss.backward()
    assert math.isfinite(float(loss.detach()))
    assert bool(logits.grad.isfinite().all())


def test_words_are_means_of_the_vectors_after_each_epoch():
    _, train, _ = split()
    head = learn("dqn", 8, *train, words=16, width=4, epochs=2).head
    with torch.no_grad():
        z = head(torch.from_numpy(train[0]))
        numbers = head.numbers(z)
        for part in range(2):
            for k in numbers[:, part].unique():
                own = z[numbers[:, part] == k, 4 * part : 4 * part + 4]
                assert torch.allclose(head.books[part, k], own.mean(0), atol=0.1)


def test_digits_are_found_better_than_by_pq():
    queries, train, database = split()
    method = learn("dqn", 16, *train, words=16)
    reached = score(method, queries, database)
    assert reached > score(learn("pq", 16, train[0], words=16), queries, database) + 0.15
    assert reached > 0.9


@pytest.mark.parametrize(
    ("spec", "params", "error", "message"),
    [
        (Spec(16, 8, 100, SPACE), {}, DataError, "100 training rows are too few for codebooks of 256 words"),
        (Spec(16, 8, 1000, SPACE), {"words": 12}, UsageError, "words"),
        (Spec(16, 8, 1000, SPACE), {"words": 2}, UsageError, "product codes have 16 or 256 words"),
        (Spec(12, 8, 1000, SPACE), {}, UsageError, "give a multiple of 8"),
        (Spec(16, 8, 1000, SPACE), {"width": 0}, UsageError, "width >= 1"),
        (Spec(16, 8, 1000, SPACE), {"quantization": -1.0}, UsageError, "need quantization >= 0"),
        (Spec(16, 8, 1000), {}, DataError, "learns from labels"),
    ],
)
def test_what_does_not_fit_is_refused(spec, params, error, message):
    with pytest.raises(error, match=message):
        build_method("dqn", spec, **params)


def test_a_resumed_run_is_the_whole_run(tmp_path):
    _, train, _ = split()
    spec = Spec(16, 64, len(train[0]), SPACE)
    again, whole = resumed_and_whole("dqn", spec, train, tmp_path, epochs=4, batch_size=100, at=25, words=16)
    assert all(torch.equal(again[name], whole[name]) for name in whole)
