"""DJSRH: the sheet's numbers, the equation in plain loops, ranges of features, digits cut in halves."""

import math

import numpy as np
import pytest
import torch
from digits import batch_of, both_ways, halves, learn, resumed_and_whole

from kinbits import DataError, UsageError
from kinbits.methods import Spec, build_method
from kinbits.training import FeatureSet

IMAGES = torch.tensor([[1.0, 0], [0.8, 0.6], [0, 1]])
TEXTS = torch.tensor([[1.0, 1, 0], [0, 1, 1], [0, 0, 1]])
ONE = torch.tensor([[0.9, -0.8, 0.7, 0.6], [0.5, -0.9, 0.8, -0.3], [-0.7, 0.6, 0.9, -0.8]])
TWO = torch.tensor([[0.8, -0.7, 0.9, 0.4], [0.6, -0.6, 0.5, -0.7], [-0.9, 0.8, 0.7, -0.6]])
PAPER = {"beta": 0.9, "eta": 0.4, "mu": 1.5, "centred": False, "feature_range": "nonnegative"}


class Fixed(torch.nn.Module):
    """A text tower with a given output."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, texts):
        return self.outputs


def made(images=IMAGES, texts=TEXTS, outputs=None, **params):
    """Return a method that has looked at these features."""
    spec = Spec(4, images.shape[1], len(images), text_dim=texts.shape[1])
    method = build_method("djsrh", spec, **{**PAPER, **params})
    method.prepare(FeatureSet(images.numpy(), texts=texts.numpy()))
    if outputs is not None:
        method.text_head = Fixed(outputs)
    return method


def terms(method, codes, images=IMAGES, texts=TEXTS):
    """Return the loss for these values of tanh(z)."""
    return method.loss(batch_of(features=images, texts=texts), torch.atanh(codes) / method.alpha)


def test_the_worked_similarities():
    mixed = made(eta=0.0).joint(IMAGES, TEXTS)
    assert mixed[[0, 0, 1], [1, 2, 2]].tolist() == pytest.approx([0.54, -1, 0.221421], abs=1e-5)
    wanted = [[1.358320, 0.657716, -1.276087], [0.657716, 1.168125, 0.179848], [-1.276087, 0.179848, 1.309805]]
    assert 1.5 * made().joint(IMAGES, TEXTS).numpy() == pytest.approx(np.array(wanted), abs=1e-5)


def test_the_worked_loss():
    got = terms(made(outputs=torch.atanh(TWO)), ONE)
    assert float(got["across"]) == pytest.approx(0.238685, abs=1e-5)
    assert float(got["images"]) == pytest.approx(0.1 * 0.199129, abs=1e-5)
    assert float(got["texts"]) == pytest.approx(0.1 * 0.219417, abs=1e-5)
    assert float(sum(got.values())) == pytest.approx(0.280540, abs=1e-5)


def test_a_target_beyond_one_cannot_be_reached():
    target = 1.5 * made().joint(IMAGES, TEXTS)
    assert float((target.clamp(-1, 1) - target).square().mean()) == pytest.approx(0.045010, abs=1e-5)


def test_equal_pairs_are_wholly_similar():
    same = IMAGES[1:2].repeat(5, 1), TEXTS[1:2].repeat(5, 1)
    for beta in (0.2, 0.9):
        assert made(beta=beta).joint(*same).numpy() == pytest.approx(1.0, abs=1e-5)


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def test_the_loss_is_the_equation():
    generator = torch.Generator().manual_seed(0)
    images, texts = torch.rand(5, 6, generator=generator), torch.rand(5, 7, generator=generator)
    one, two = torch.randn(5, 4, generator=generator), torch.randn(5, 4, generator=generator)
    method = made(images, texts, two, beta=0.3, eta=0.2, mu=1.2, lam=0.4)
    method.start_epoch(3, None)
    got = method.loss(batch_of(features=images, texts=texts), one)
    rows = range(5)
    part = lambda x, i, j: 2 * cosine(x[i].tolist(), x[j].tolist()) - 1  # noqa: E731
    mixed = [[0.3 * part(images, i, j) + 0.7 * part(texts, i, j) for j in rows] for i in rows]
    joint = [[0.8 * mixed[i][j] + 0.2 * sum(mixed[i][k] * mixed[j][k] for k in rows) / 5 for j in rows] for i in rows]
    codes = {"images": torch.tanh(2 * one).tolist(), "texts": torch.tanh(2 * two).tolist()}
    for name, a, b, weight in (("across", "images", "texts", 1), ("images",) * 3 + (0.4,), ("texts",) * 3 + (0.4,)):
        wanted = np.mean([(cosine(codes[a][i], codes[b][j]) - 1.2 * joint[i][j]) ** 2 for i in rows for j in rows])
        assert float(got[name]) == pytest.approx(weight * wanted, abs=1e-5)


def test_signed_features_keep_similarities_within_their_range():
    signed = torch.tensor([[1.0, 0], [-1.0, 0.01], [0, 1]])
    rough, found = made(signed), made(signed, feature_range="auto")
    assert float(rough.joint(signed, TEXTS).min()) < -1.5
    assert found.signed.tolist() == [True, False]
    assert float(found.joint(signed, TEXTS).min()) >= -1
    assert made(feature_range="auto").signed.tolist() == [False, False]
    assert made(feature_range="auto", centred=True).signed.tolist() == [True, True]


def test_centring_removes_what_all_features_share():
    far = IMAGES + 100
    centred = {"centred": True, "feature_range": "auto"}
    near = made(**centred).joint(IMAGES, TEXTS)
    assert made(far, **centred).joint(far, TEXTS).numpy() == pytest.approx(near.numpy(), abs=1e-4)


def test_pairs_without_words_teach_nothing():
    texts = torch.cat([TEXTS, torch.zeros(1, 3)])
    images = torch.cat([IMAGES, torch.tensor([[0.3, 0.4]])])
    more = torch.cat([ONE, ONE[:1]])
    method = made(outputs=torch.atanh(TWO))
    both = [terms(method, ONE), terms(method, more, images, texts)]
    for name in both[0]:
        assert float(both[1][name]) == pytest.approx(float(both[0][name]), abs=1e-6)
    silent = torch.randn(3, 4, requires_grad=True)
    lost = method.loss(batch_of(features=IMAGES, texts=torch.zeros(3, 3)), silent)
    assert float(sum(lost.values()).detach()) == 0


def test_the_tanh_sharpens_with_the_epochs():
    method, plain = made(), made(anneal=False)
    for epoch, wanted in ((0, 1.0), (8, 3.0)):
        method.start_epoch(epoch, None)
        plain.start_epoch(epoch, None)
        assert (method.alpha, plain.alpha) == (wanted, 1.0)


@pytest.mark.slow
def test_digits_both_modalities_together_beat_either_alone():
    queries, database = halves()

    def reached(**params):
        runs = [learn("djsrh", 16, database[0], texts=database[1], seed=s, **params) for s in range(2)]
        return np.mean([both_ways(run, queries, database) for run in runs])

    full = reached(epochs=10)
    assert full > reached(epochs=10, beta=0.0) + 0.01
    assert full > reached(epochs=10, beta=1.0) + 0.01
    assert full > reached(epochs=0) + 0.2


def test_resuming_gives_the_same_towers(tmp_path):
    left, right, _ = (part[:90] for part in halves()[1])
    spec = Spec(8, 32, 90, text_dim=32)
    again, whole = resumed_and_whole("djsrh", spec, (left, None, right), tmp_path, epochs=4, batch_size=30, at=7)
    assert all(torch.equal(again[key], whole[key]) for key in whole)


def test_data_without_text_and_values_out_of_range_are_refused():
    with pytest.raises(DataError, match="no text"):
        build_method("djsrh", Spec(8, 6, 80))
    for params in ({"beta": 1.5}, {"eta": -0.1}, {"mu": 0.0}, {"lam": -1.0}, {"feature_range": "any"}):
        with pytest.raises(UsageError):
            build_method("djsrh", Spec(8, 6, 80, text_dim=5), **params)
