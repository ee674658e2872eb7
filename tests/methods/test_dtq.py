"""DTQ: the sheet's triplet, the equation in plain loops, which triplets are drawn, and digits."""

import numpy as np
import pytest
import torch
from digits import SPACE, batch_of, learn, resumed_and_whole, score, split

from kinbits import DataError, UsageError
from kinbits.data import LabelSpace
from kinbits.methods import Spec, build_method
from kinbits.methods.dtq import hard_triplets
from kinbits.training import FeatureSet


def small(dims=2, **params):
    """Return a method with two codebooks of 16 words, drawn at random."""
    torch.manual_seed(0)
    method = build_method("dtq", Spec(8, 3, 20, LabelSpace(tuple("abc"))), words=16, dims=dims, **params)
    method.head.books.normal_()
    return method


@pytest.mark.parametrize(("margin", "wanted"), [(2.0, 0.0), (5.0, 1.0)])
def test_worked_triplet(margin, wanted):
    z = torch.tensor([[1.0, -1], [0.5, -0.5], [-0.5, 0.5]])
    terms = small(margin=margin).loss(batch_of(torch.tensor([0, 0, 1])), z)
    assert float(terms["triplets"]) == pytest.approx(wanted, abs=1e-6)


def test_the_loss_is_the_equation():
    method, z = small(dims=4, margin=3.0, quantization=0.2), torch.randn(12, 4)
    rows, books, hinge, away = z.tolist(), method.head.books.tolist(), 0.0, 0.0

    def apart(one, other):
        return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))

    for k in range(0, 12, 3):
        hinge += max(0, apart(rows[k], rows[k + 1]) - apart(rows[k], rows[k + 2]) + 3) / 4
    for row, (one, two) in zip(rows, method.head.numbers(z, tries=1).tolist(), strict=True):
        away += apart(row, [a + b for a, b in zip(books[0][one], books[1][two], strict=True)]) / 12
    terms = method.loss(batch_of(torch.zeros(12, dtype=torch.int64)), z)
    assert float(terms["triplets"]) == pytest.approx(hinge, abs=1e-5)
    assert float(terms["quantization"]) == pytest.approx(0.2 * away, abs=1e-5)


def test_words_have_no_gradient():
    method, z = small(quantization=1.0), torch.randn(3, 2, requires_grad=True)
    method.loss(batch_of(torch.tensor([0, 0, 1])), z)["quantization"].backward()
    y = method.head.rebuilt(method.head.numbers(z.detach(), tries=1))
    assert torch.allclose(z.grad, 2 / 3 * (z.detach() - y), atol=1e-6)


def drawn(z, labels, margin, times=300):
    rng = np.random.default_rng(0)
    return {tuple(row) for _ in range(times) for row in hard_triplets(z, labels, margin, rng).tolist()}


def test_all_positives_and_all_hard_negatives_are_drawn_and_no_others():
    z, labels = torch.tensor([[0.0], [1], [2], [1.4], [9], [30]]), torch.tensor([0, 0, 0, 1, 2, 2])
    wanted = set()
    for a in range(6):
        for p in range(6):
            if a == p or labels[a] != labels[p]:
                continue
            near = float((z[a] - z[p]) ** 2)
            others = [n for n in range(6) if labels[n] != labels[a]]
            hard = [n for n in others if float((z[a] - z[n]) ** 2) < near + 2]
            wanted |= {(a, p, n) for n in hard or others}
    assert drawn(z, labels, 2.0) == wanted
    assert 3 not in {a for a, _, _ in wanted}  # it has no positive


def test_with_sets_of_labels_a_positive_shares_one():
    labels = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1]]).float()
    found = drawn(torch.zeros(4, 1), labels, 1.0)
    assert found == {(0, 1, 2), (0, 1, 3), (1, 0, 3), (1, 2, 3), (2, 1, 0), (2, 1, 3)}


def test_rows_without_a_label_are_not_drawn_and_groups_are_kept():
    _, (images, labels), _ = split()
    labels = labels.copy()
    labels[::3] = -1
    torch.manual_seed(0)
    method = build_method("dtq", Spec(8, 64, len(images), SPACE), words=16, group=50)
    train = FeatureSet(images, labels)
    train.rng = np.random.default_rng(0)
    found = method.epoch_rows(0, train).numpy()
    assert set(found[:, 0]) <= set(np.flatnonzero(labels >= 0))
    assert (labels[found[:, 0]] == labels[found[:, 1]]).all()
    assert (labels[found[:, 0]] != labels[found[:, 2]]).all()
    assert (labels[found] >= 0).all()
    assert len(found) > 0.9 * (labels >= 0).sum()


def test_labels_without_any_triplet_are_refused():
    _, (images, _), _ = split()
    with pytest.raises(DataError, match="no triplet can be drawn"):
        learn("dtq", 8, images[:20], np.zeros(20, np.int64), words=16, epochs=1)


def test_digits_are_found_better_than_by_pq():
    queries, train, database = split()
    method = learn("dtq", 16, *train, words=16, epochs=20)
    assert score(method, queries, database) > score(learn("pq", 16, train[0], words=16), queries, database) + 0.2


@pytest.mark.parametrize(
    ("spec", "params", "error", "message"),
    [
        (Spec(16, 8, 100, SPACE), {}, DataError, "100 training rows are too few for codebooks of 256 words"),
        (Spec(16, 8, 1000, SPACE), {"words": 12}, UsageError, "words"),
        (Spec(16, 8, 1000, SPACE), {"dims": 0}, UsageError, "dims is 0"),
        (Spec(64, 8, 1000, SPACE), {"dims": 4}, UsageError, "at least dims=8, not 4"),
        (Spec(16, 8, 1000, SPACE), {"margin": 0.0}, UsageError, "need margin > 0"),
        (Spec(16, 8, 1000, SPACE), {"quantization": -1.0}, UsageError, "quantization >= 0"),
        (Spec(16, 8, 1000, SPACE), {"group": 2}, UsageError, "groups of 3 rows"),
        (Spec(16, 8, 1000), {}, DataError, "learns from labels"),
    ],
)
def test_what_does_not_fit_is_refused(spec, params, error, message):
    with pytest.raises(error, match=message):
        build_method("dtq", spec, **params)


def test_a_resumed_run_is_the_whole_run(tmp_path):
    _, train, _ = split()
    spec = Spec(16, 64, len(train[0]), SPACE)
    again, whole = resumed_and_whole("dtq", spec, train, tmp_path, epochs=4, batch_size=300, at=25, words=16)
    assert all(torch.equal(again[name], whole[name]) for name in whole)
