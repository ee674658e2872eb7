"""DistillHash: the theorem, the sheet's numbers, the losses in plain loops, stages, resuming, digits."""

import itertools
import math

import numpy as np
import pytest
import torch
from digits import batch_of, learn, resumed_and_whole, score, unlabelled_split

from kinbits import DataError, UsageError
from kinbits.methods import Spec, build_method
from kinbits.methods.blocks import (
    DistilledLabels,
    certain_labels,
    default_neighbours,
    nearest_points,
    neighbour_pairs,
    noisy_sample,
)
from kinbits.training import FeatureSet

LARGE = 40.0
H = torch.tensor([[1.0, 1, 1, 1], [1, 1, 1, -1], [-1, -1, -1, -1]])


def blobs(rows=90, groups=3, seed=0):
    rng = np.random.default_rng(seed)
    return (4 * np.eye(groups, 6)[np.arange(rows) % groups] + rng.normal(size=(rows, 6))).astype(np.float32)


def distilled(n=12, bits=6, p=3, kind="linear", rule="neighbours"):
    generator = torch.Generator().manual_seed(3)
    made = DistilledLabels(n, bits, p, kind, rule)
    groups = torch.randn(3, bits, generator=generator)
    groups[1] = -groups[0]
    made.codes.copy_(torch.tanh(2 * groups[torch.arange(n) % 3] + 0.2 * torch.randn(n, bits, generator=generator)))
    made.near.copy_(torch.stack([torch.randperm(n, generator=generator)[:p] for _ in range(n)]))
    made.line.copy_(torch.tensor([4.0, -0.7]))
    return made


def test_kept_labels_are_those_of_the_bayes_classifier():
    eta = torch.linspace(0, 1, 100_001, dtype=torch.float64)
    p = 0.2 + 0.7 * eta
    labels = certain_labels(p, p.min(), p.max())
    assert (float(p.min()), 1 - float(p.max())) == pytest.approx((0.2, 0.1))
    assert float(eta[labels > 0].min()) == pytest.approx(0.5714, abs=1e-4)
    assert float(eta[labels < 0].max()) == pytest.approx(0.3571, abs=1e-4)
    assert float((labels != 0).double().mean()) == pytest.approx(0.7857, abs=1e-4)
    assert ((labels > 0) == (eta >= 0.5))[labels != 0].all()


def test_both_forms_of_the_rule_agree():
    p = torch.rand(40, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    low, high = p.amin(1, keepdim=True), p.amax(1, keepdim=True)
    other = (1 - p < (1 - low) / 2).double() - (p < high / 2).double()
    assert torch.equal(certain_labels(p, low, high).double(), other)


@pytest.mark.parametrize("kind", ["linear", "sigmoid", "calibrated"])
@pytest.mark.parametrize("rule", ["neighbours", "self"])
def test_labels_of_a_batch_are_the_rule_pair_by_pair(kind, rule):
    made = distilled(kind=kind, rule=rule)
    h, near, rows = made.codes.double().numpy(), made.near.tolist(), [7, 0, 3, 11, 5, 2, 9]
    chance = {
        "linear": lambda g: (1 + g / 6) / 2,
        "sigmoid": lambda g: 1 / (1 + math.exp(-g / 2)),
        "calibrated": lambda g: 1 / (1 + math.exp(-(4 * g / 6 - 0.7))),
    }[kind]

    def label(i, j):
        around = itertools.product(near[i], near[j]) if rule == "neighbours" else [(b, b) for b in near[j]]
        p, others = chance(h[i] @ h[j]), [chance(h[a] @ h[b]) for a, b in around]
        if p > (1 + min(others)) / 2:
            return 1
        return -1 if p < (1 - min(1 - q for q in others)) / 2 else 0

    wanted = np.zeros((7, 7))
    for (x, i), (y, j) in itertools.permutations(enumerate(rows), 2):
        wanted[x, y] = label(i, j) if label(i, j) == label(j, i) else 0
    found = made.among(torch.tensor(rows))
    assert found.tolist() == wanted.tolist()
    assert found.any()


def noisy(method, n=3):
    method.pairs = neighbour_pairs(np.arange(n)[:, None], 1, "nn")
    return method


def final(monkeypatch, signs, **params):
    method = build_method("distillhash", Spec(4, 3, 3), neighbours=1, **params)
    method.distilled.codes.fill_(1)
    monkeypatch.setattr(method.distilled, "among", lambda rows: torch.tensor(signs))
    return method


WORKED = [[0.0, 1, -1], [1, 0, 0], [-1, 0, 0]]


def test_the_worked_likelihood(monkeypatch):
    method = final(monkeypatch, WORKED, loss="nll", balance_pairs=False)
    assert float(method.loss(batch_of(rows=torch.arange(3)), LARGE * H)["pairs"]) == pytest.approx(0.2201, abs=5e-5)
    kinds = final(monkeypatch, WORKED, loss="nll")
    assert float(kinds.loss(batch_of(rows=torch.arange(3)), LARGE * H)["pairs"]) == pytest.approx(
        (0.31326 + 0.12693) / 2, abs=1e-5
    )


@pytest.mark.parametrize(("loss", "balance_pairs"), itertools.product(["nll", "l2"], [True, False]))
def test_the_final_loss_is_the_equation(monkeypatch, loss, balance_pairs):
    signs = [[0.0, 1, -1, 0], [1, 0, 0, -1], [-1, 0, 0, -1], [0, -1, -1, 0]]
    method = final(monkeypatch, signs, loss=loss, balance_pairs=balance_pairs, quantization=0.3)
    logits = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    terms = method.loss(batch_of(rows=torch.arange(4)), logits)
    h = torch.tanh(logits.double()).numpy()
    kinds = {1: [], -1: []}
    for i, j in itertools.permutations(range(4), 2):
        if signs[i][j]:
            g = float(h[i] @ h[j])
            likely = math.log(1 + math.exp(g / 2)) - (signs[i][j] > 0) * g / 2
            kinds[int(signs[i][j])].append(likely if loss == "nll" else (g / 4 - signs[i][j]) ** 2)
    wanted = np.mean([np.mean(kinds[1]), np.mean(kinds[-1])]) if balance_pairs else np.mean(kinds[1] + kinds[-1])
    assert float(terms["pairs"]) == pytest.approx(wanted, abs=1e-6)
    assert float(terms["quantization"]) == pytest.approx(0.3 * np.mean((np.where(h >= 0, 1, -1) - h) ** 2), abs=1e-6)


def test_the_first_loss_counts_every_pair_and_each_image_with_itself():
    method = noisy(build_method("distillhash", Spec(4, 3, 3), neighbours=1))
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    h = torch.tanh(logits.double()).numpy()
    wanted = np.mean([(h[i] @ h[j] / 4 - (1 if i == j else -1)) ** 2 for i, j in itertools.product(range(3), repeat=2)])
    assert float(method.loss(batch_of(rows=torch.arange(3)), logits)["noisy"]) == pytest.approx(wanted, abs=1e-6)


def test_a_batch_without_known_pairs_teaches_nothing(monkeypatch):
    for balance_pairs in (True, False):
        method = final(monkeypatch, np.zeros((3, 3), np.float32).tolist(), balance_pairs=balance_pairs)
        logits = torch.randn(3, 4, requires_grad=True)
        terms = method.loss(batch_of(rows=torch.arange(3)), logits)
        sum(terms.values()).backward()
        assert terms["pairs"].item() == 0
        assert not logits.grad.any()


def test_calibration_finds_the_line_that_made_the_labels():
    rng = np.random.default_rng(0)
    products = torch.from_numpy(rng.uniform(-8, 8, 200_000))
    similar = torch.from_numpy(rng.random(200_000) < 1 / (1 + np.exp(-(6 * products.numpy() / 8 - 2))))
    made = DistilledLabels(5, 8, 2, "calibrated", "neighbours")
    made.fit(torch.ones(5, 8), (products, similar, torch.full((200_000,), 1 / 200_000)))
    assert made.line.tolist() == pytest.approx([6, -2], abs=0.1)


def test_drawn_pairs_stand_for_all_pairs():
    images = torch.from_numpy(blobs(300))
    pairs = neighbour_pairs(nearest_points(lambda: [images], 300, 7), 1, "nn")
    products, similar, weights = noisy_sample(pairs, images, np.random.default_rng(0))
    whole, held = images @ images.T, torch.from_numpy(pairs.toarray())
    apart = ~torch.eye(300, dtype=torch.bool)
    assert float(weights[similar].sum()) == pytest.approx(float(held[apart].float().mean()), rel=1e-6)
    for kind in (True, False):
        mean = (products * weights)[similar == kind].sum() / weights[similar == kind].sum()
        assert float(mean) == pytest.approx(float(whole[apart & (held == kind)].mean()), rel=0.02)


def test_neighbours_default_to_a_share_of_the_rows_within_memory():
    assert [default_neighbours(n) for n in (5, 200, 5000, 50_000, 10**6)] == [4, 10, 150, 1500, 100]


def test_the_second_network_starts_afresh_on_distilled_pairs():
    method = learn("distillhash", 8, blobs(), epochs=3, batch_size=30, neighbours=5)
    assert method.codes_ready
    assert method.pairs is None
    assert (method.kept > 0).all()
    short = learn("distillhash", 8, blobs(), epochs=1, batch_size=30, neighbours=5)
    assert not short.codes_ready
    assert learn("distillhash", 8, blobs(), epochs=2, batch_size=30, neighbours=5, first=1.0).codes_ready


def test_labels_by_the_histogram_of_distances_are_that_rule():
    images = blobs()
    method = build_method("distillhash", Spec(8, 6, 90), init="ssdh", neighbours=5, centre=False)
    method.prepare(FeatureSet(images))
    unit = images / np.linalg.norm(images, axis=1, keepdims=True)
    d = 1 - unit @ unit.T
    off = d[~np.eye(90, dtype=bool)]
    counts, edges = np.histogram(off, 200, (0, 2))
    mode = edges[counts.argmax()]
    cut = mode - 2 * math.sqrt(((off[off <= mode] - mode) ** 2).mean())
    assert ((d < cut) | np.eye(90, dtype=bool) == method.pairs.toarray()).mean() > 0.999


@pytest.mark.parametrize("n", [4, 5, 10, 20, 40])
def test_a_handful_of_images_needs_no_settings(n):
    images = np.random.default_rng(n).normal(size=(n, 16)).astype(np.float32)
    assert learn("distillhash", 8, images).codes_ready


@pytest.mark.parametrize("at", [2, 7])
def test_resuming_keeps_noisy_pairs_and_distilled_ones(tmp_path, at):
    again, whole = resumed_and_whole(
        "distillhash", Spec(8, 6, 90), (blobs(),), tmp_path, epochs=5, batch_size=30, at=at, neighbours=5, first=0.4
    )
    assert whole["distilled.codes"].any()
    assert all(torch.equal(again[key], whole[key]) for key in whole)


def test_bad_data_are_refused_with_a_remedy():
    images = blobs(20)
    for name, other in (("neighbours", "similar"), ("similar", "neighbours")):
        with pytest.raises(DataError, match=f"^{name} is 20, of 20 training images") as told:
            learn("distillhash", 8, images, **{name: 20}, epochs=1)
        assert other not in str(told.value)
    with pytest.raises(DataError, match="not finite or point nowhere"):
        learn("distillhash", 8, np.ones((40, 4), np.float32), epochs=1)
    with pytest.raises(UsageError, match="prepare"):
        build_method("distillhash", Spec(8, 6, 90)).loss(batch_of(rows=torch.arange(3)), torch.zeros(3, 8))


def test_equal_probabilities_keep_nothing_and_say_so():
    data = FeatureSet(blobs())
    data.epochs = 3
    method = build_method("distillhash", Spec(8, 6, 90), neighbours=5, probability="sigmoid")
    method.prepare(data)
    torch.nn.init.zeros_(method.head.layers.weight)  # one code for all images
    with pytest.raises(DataError, match="raise neighbours"):
        method.start_epoch(1, data)


@pytest.mark.parametrize(
    "params",
    [{"init": "both"}, {"rule": "none"}, {"loss": "l1"}, {"probability": "p"}, {"first": 1.1}, {"neighbours": -1}],
)
def test_values_out_of_range_are_refused_by_their_name(params):
    with pytest.raises(UsageError, match=f"^{next(iter(params))} is [^,]*;"):
        build_method("distillhash", Spec(8, 6, 90), **params)


def purity(signs, y):
    same = torch.from_numpy(y[:, None] == y)
    return float(same[signs > 0].float().mean()), float((~same)[signs < 0].float().mean())


@pytest.mark.slow
def test_distilling_makes_similar_pairs_of_digits_purer():
    """1,500 raw digits, 50 neighbours, 32 bits: similar pairs from .80 to .96; different ones gain nothing."""
    _, (x, y) = unlabelled_split()
    method = learn("distillhash", 32, x, epochs=16, similar=50, centre=False, first=15 / 16)
    near = neighbour_pairs(nearest_points(lambda: method.distances.units(FeatureSet(x)), len(x), 51), 1, "nn")
    start = torch.from_numpy(near.toarray()).float().mul(2).sub(1).fill_diagonal_(0)
    before, after = purity(start, y), purity(method.distilled.among(torch.arange(len(x))), y)
    assert before == pytest.approx((0.81, 0.93), abs=0.02)
    assert after[0] > 0.95, (before, after)
    assert after[1] < before[1] + 0.02, (before, after)


@pytest.mark.slow
def test_digits_far_above_random_codes():
    queries, database = unlabelled_split()
    reached = score(learn("distillhash", 32, database[0], similar=50), queries, database)
    assert reached > score(learn("lsh", 32, database[0]), queries, database) + 0.1
