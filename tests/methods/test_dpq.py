"""DPQ: the sheet's numbers, the equation in plain loops, the straight-through gradient, digits."""

import math

import pytest
import torch
import torch.nn.functional as F
from digits import SPACE, batch_of, learn, resumed_and_whole, score, split

from kinbits import DataError, UsageError
from kinbits.data import LabelSpace
from kinbits.methods import Spec, build_method

WEIGHTS = {"centre": 1.0, "balance": 1.0, "certainty": 1.0}
X = torch.tensor([[1.0, -1, 0.5, 2], [0, 1, 1, -1]])


def sheet_method(monkeypatch):
    method = build_method("dpq", Spec(8, 4, 10, LabelSpace(("a", "b"))), words=16, width=2, **WEIGHTS)
    with torch.no_grad():
        method.head.maps[0, :, :2] = torch.eye(2)
        method.head.maps[1, :, :2] = torch.tensor([[1.0, 1], [-1, 0]])
        method.head.books[0, :2] = torch.tensor([[0.0, 0], [1, 0]])
        method.head.books[1, :2] = torch.tensor([[0.0, 1], [1, 1]])
        method.classifier.copy_(torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 1]]))
        method.centres.copy_(torch.tensor([[1.0, 0, 0.5, 1], [0, 0, 0.5, 1]]))
    scores = method.head.scores  # words after the first two are never chosen
    monkeypatch.setattr(method.head, "scores", lambda x: F.pad(scores(x)[..., :2], (0, 14), value=-1e9))
    return method


@torch.no_grad()
def values(method, batch, x):
    return {name: float(term) for name, term in method.loss(batch, x).items()}


def test_worked_values(monkeypatch):
    method = sheet_method(monkeypatch)
    p = method.head.scores(X).softmax(2)[..., :2].detach()
    one = pytest.approx([0.880797, 0.119203], abs=1e-6)
    other = pytest.approx([0.268941, 0.731059], abs=1e-6)
    assert p[0, 0].tolist() == one
    assert p[0, 1].flip(0).tolist() == one
    assert p[1, 0].tolist() == other
    assert p[1, 1].flip(0).tolist() == other
    soft = method.head.mix(method.head.scores(X).softmax(2)).detach()
    assert soft[0].tolist() == pytest.approx([0.119203, 0, 0.880797, 1], abs=1e-6)
    assert soft[1].tolist() == pytest.approx([0.731059, 0, 0.268941, 1], abs=1e-6)
    assert method.head.decode(method.head.codes_of(X)).tolist() == [[0, 0, 1, 1], [1, 0, 0, 1]]
    terms = values(method, batch_of(torch.tensor([0, 1])), X)
    wanted = {"soft": 0.897615, "hard": 1.003204, "centre": 1.002161}
    assert {name: terms[name] for name in wanted} == pytest.approx(wanted, abs=1e-6)
    assert terms["balance"] / 2 == pytest.approx(0.511211, abs=1e-6)
    assert terms["certainty"] / 2 == pytest.approx(-0.698394, abs=1e-6)


def cross_entropy(vector, classifier, label):
    scores = [sum(a * b for a, b in zip(row, vector, strict=True)) for row in classifier]
    return math.log(sum(math.exp(score) for score in scores)) - scores[label]


def naive(method, x, labels):
    """Return the terms with all weights 1, in plain loops; labels below 0 are unknown."""
    maps, books = method.head.maps.tolist(), method.head.books.tolist()
    classifier, centres = method.classifier.tolist(), method.centres.tolist()
    parts, width, words = len(maps), len(maps[0]), len(books[0])
    total = dict.fromkeys(("soft", "hard", "centre", "balance", "certainty"), 0.0)
    use = [[0.0] * words for _ in range(parts)]
    known = sum(label >= 0 for label in labels)
    for row, label in zip(x.tolist(), labels, strict=True):
        soft, hard = [], []
        for m in range(parts):
            part = row[m * width : (m + 1) * width]
            scores = [sum(part[d] * maps[m][d][k] for d in range(width)) for k in range(words)]
            below = sum(math.exp(score) for score in scores)
            p = [math.exp(score) / below for score in scores]
            soft += [sum(p[k] * books[m][k][d] for k in range(words)) for d in range(width)]
            hard += books[m][scores.index(max(scores))]
            for k in range(words):
                use[m][k] += p[k] / len(x)
            total["certainty"] -= sum(value**2 for value in p) / len(x)
        if label < 0:
            continue
        for name, vector in (("soft", soft), ("hard", hard)):
            total[name] += cross_entropy(vector, classifier, label) / known
            total["centre"] += sum((a - b) ** 2 for a, b in zip(vector, centres[label], strict=True)) / 2 / known
    total["balance"] = sum(value**2 for book in use for value in book)
    return total


def test_the_loss_is_the_equation():
    torch.manual_seed(0)
    method = build_method("dpq", Spec(8, 5, 10, LabelSpace(tuple("abc"))), words=16, width=3, **WEIGHTS)
    x, labels = 2 * torch.randn(6, 6), [0, 2, -1, 1, 1, -1]
    assert values(method, batch_of(torch.tensor(labels)), x) == pytest.approx(naive(method, x, labels), abs=1e-4)


def test_weights_scale_their_terms():
    torch.manual_seed(0)
    spec, batch, x = Spec(8, 5, 10, LabelSpace(tuple("abc"))), batch_of(torch.tensor([0, 2])), torch.randn(2, 4)
    one = build_method("dpq", spec, words=16, width=2, **WEIGHTS)
    other = build_method("dpq", spec, words=16, width=2, centre=0.5, balance=2.0, certainty=3.0)
    other.load_state_dict(one.state_dict())
    terms = values(one, batch, x)
    factors = {"soft": 1, "hard": 1, "centre": 0.5, "balance": 2, "certainty": 3}
    assert values(other, batch, x) == pytest.approx({name: terms[name] * by for name, by in factors.items()})


def test_the_strict_branch_teaches_the_maps_and_the_features():
    torch.manual_seed(0)
    method = build_method("dpq", Spec(8, 5, 10, LabelSpace(tuple("abc"))), words=16, width=2)
    x = torch.randn(4, 4, requires_grad=True)
    method.loss(batch_of(torch.tensor([0, 1, 2, 0])), x)["hard"].backward()
    assert all(float(part.grad.abs().sum()) > 0 for part in (x, method.head.maps, method.head.books, method.classifier))


def test_a_batch_without_any_label_has_no_loss_of_classes():
    torch.manual_seed(0)
    method = build_method("dpq", Spec(8, 5, 10, LabelSpace(tuple("abc"))), words=16)
    terms = values(method, batch_of(torch.full((3,), -1)), torch.randn(3, 32))
    assert [terms[name] for name in ("soft", "hard", "centre")] == [0, 0, 0]


def test_what_does_not_fit_is_refused():
    with pytest.raises(DataError, match="dpq"):
        build_method("dpq", Spec(16, 8, 100, LabelSpace(tuple("abc"), multi=True)), words=16)
    with pytest.raises(UsageError, match="need weights >= 0"):
        build_method("dpq", Spec(16, 8, 100, SPACE), words=16, centre=-1.0)
    with pytest.raises(UsageError, match="words=12"):
        build_method("dpq", Spec(16, 8, 100, SPACE), words=12)
    with pytest.raises(UsageError, match="width >= 1"):
        build_method("dpq", Spec(16, 8, 100, SPACE), words=16, width=0)


def test_a_resumed_run_is_the_same(tmp_path):
    _, train, _ = split()
    spec = Spec(8, 64, len(train[0]), SPACE)
    again, whole = resumed_and_whole("dpq", spec, train, tmp_path, epochs=3, batch_size=200, at=8, words=16)
    assert all(torch.equal(again[name], whole[name]) for name in whole)


def words_in_use(method, images):
    with torch.no_grad():
        numbers = method.head.numbers(method.head(torch.from_numpy(images)))
    return sum(len(part.unique()) for part in numbers.T)


def test_digits_beat_pq_on_pixels_and_all_terms_use_no_fewer_words():
    queries, train, database = split()
    full = learn("dpq", 16, *train, epochs=20, lr=3e-3, plain=True, words=16, width=8)
    no_terms = {"centre": 0.0, "balance": 0.0, "certainty": 0.0}
    bare = learn("dpq", 16, *train, epochs=20, lr=3e-3, plain=True, words=16, width=8, **no_terms)
    reached = score(full, queries, database)
    assert reached > 0.93  # 0.692 is that of pq on pixels
    assert reached > score(bare, queries, database)
    assert words_in_use(full, database[0]) >= words_in_use(bare, database[0])


@pytest.mark.slow
def test_digits_with_a_hidden_layer_reach_the_sheet():
    queries, train, database = split()
    method = learn("dpq", 16, *train, epochs=20, lr=1e-3, plain=True, words=16, width=8, hidden=128)
    assert score(method, queries, database) == pytest.approx(0.965, abs=0.015)
