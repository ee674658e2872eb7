"""ExchNet: the sheet's numbers, the exchange with class anchors, sweeps by class sums, resuming, and digits."""

import itertools

import numpy as np
import pytest
import torch
from digits import batch_of, codes, deep_score, learn, map_all, resumed_and_whole, split
from map_digits import learn_maps

from kinbits import DataError, UsageError
from kinbits.data import LabelSpace
from kinbits.heads import PartAttention
from kinbits.methods import Spec, build_method
from kinbits.methods.blocks import similar, sum_over_similar
from kinbits.methods.exchnet import channel_overlap, mean_hellinger, spatial_overlap
from kinbits.training import FeatureSet, TrainingSettings, train

MAP = (6, 2, 2)
SPACE = LabelSpace(tuple("abc"))
THREE = torch.tensor([[[[0.4, 0.3], [0.2, 0.1]], [[0.1, 0.2], [0.3, 0.4]], [[0.25, 0.25], [0.25, 0.25]]]])


class AnyBits(Spec):
    """A task whose codes may be as short as the sheet's example."""

    def __post_init__(self):
        pass


class Once:
    """Takes the gradient and no step."""

    def minimise(self, loss):
        loss.backward()


def make(bits=8, rows=30, space=SPACE, **params):
    torch.manual_seed(0)
    params = {"parts": 3, "width": 5, **params}
    return build_method("exchnet", AnyBits(bits, 24, rows, space, map_shape=MAP), **params)


def begun(labels, rows=None, bits=8, **params):
    """Return a method in its first round on random maps, the set, and the batch of the round's rows."""
    space = LabelSpace(tuple(map(str, range(int(labels.max()) + 1))))
    method = make(bits, len(labels), space, samples=len(rows) if rows else len(labels), **params)
    maps = torch.randn(len(labels), 24, generator=torch.Generator().manual_seed(1))
    data = FeatureSet(maps.numpy(), labels.numpy())
    if rows is not None:
        data.rng = type("Chosen", (), {"choice": lambda self, *_, **__: np.array(rows)})()
    chosen = method.epoch_rows(0, data)
    method.start_epoch(0, data)
    return method, data, batch_of(labels[chosen], maps[chosen], rows=chosen)


def test_parts_that_never_meet_and_parts_that_are_one():
    apart = torch.tensor([[[[0.5, 0.5], [0, 0]], [[0, 0], [0.5, 0.5]]]])
    assert float(spatial_overlap(apart)) == pytest.approx(0, abs=2e-6)
    assert float(spatial_overlap(THREE[:, [1, 1]])) == 1
    assert float(spatial_overlap(7 * apart * torch.tensor([1, 3]).view(1, 2, 1, 1))) == pytest.approx(0, abs=2e-6)


def test_the_worked_overlaps():
    assert float(mean_hellinger(THREE.flatten(2))) == pytest.approx(0.222539, abs=1e-6)
    assert float(spatial_overlap(THREE)) == pytest.approx(0.777461, abs=1e-6)
    parts = THREE.flatten(2).log()  # their softmax is what stood there
    assert float(channel_overlap(parts, 0.5)) == pytest.approx(0.277461, abs=1e-6)
    assert float(channel_overlap(parts, 0.2)) == 0


def test_equal_parts_have_a_finite_gradient():
    maps = torch.zeros(2, 3, 2, 2)
    maps[1] = 0.5
    maps.requires_grad_()
    (spatial_overlap(maps).sum() + channel_overlap(maps.flatten(2), 0.5).sum()).backward()
    assert torch.isfinite(maps.grad).all()


def test_the_worked_fit_and_the_sweep_to_the_best_codes():
    U, V = torch.tensor([[0.9, -0.8], [-0.7, 0.6]]), torch.tensor([[1, -1], [-1, 1], [1, 1]])
    # the sheet's S = [[1, -1, -1], [-1, 1, -1]] is that of three classes
    method, data, batch = begun(torch.tensor([0, 1, 2]), [0, 1], bits=2, soft=False)
    method.database.copy_(V)
    method.start_epoch(0, data)
    assert float(method.loss(batch, torch.atanh(U))["fit"]) == pytest.approx(9.18 / 6, abs=1e-5)
    assert objective(U, -V, batch.require_labels(), torch.tensor([0, 1, 2]), 1.0) == pytest.approx(57.18, abs=1e-4)
    method.database.copy_(-V)
    method._sweep(slice(0, len(data)), data.labels)
    best = min(
        objective(U, torch.tensor(c).view(3, 2), batch.require_labels(), torch.arange(3), 1.0)
        for c in itertools.product([-1, 1], repeat=6)
    )
    assert best == pytest.approx(9.18, abs=1e-4)
    swept = method.database.clone()
    swept[2] = V[2]  # nobody of its class was in the round, so it kept its code
    assert objective(U, swept, batch.require_labels(), torch.arange(3), 1.0) == pytest.approx(best, abs=1e-4)


def objective(U, V, own, labels, r):
    """Sum the squares pair by pair."""
    total, q = 0.0, V.shape[1]
    for (i, u), (j, v) in itertools.product(enumerate(U.tolist()), enumerate(V.tolist())):
        wanted = q * (1.0 if own[i] == labels[j] else -r)
        total += (sum(a * b for a, b in zip(u, v, strict=True)) - wanted) ** 2
    return total


@pytest.mark.parametrize("soft", [True, False])
def test_the_fit_is_the_equation_and_a_sweep_never_raises_it(soft):
    labels = torch.randint(0, 4, (40,), generator=torch.Generator().manual_seed(0))
    method, data, batch = begun(labels, list(range(5, 25)), soft=soft, exchange=0.0, inner=1)
    same = (labels[5:25, None] == labels[None]).float()
    r = float(same.sum() / (1 - same).sum()) if soft else 1.0
    assert float(method.ratio) == pytest.approx(r, rel=1e-5)
    terms = method.step(batch, [Once()])
    U = method.recorded
    before = objective(U, method.database, labels[5:25], labels, r)
    assert float(terms["fit"].detach()) == pytest.approx(before / (40 * 20 * 64 * r), rel=1e-4)
    method.end_epoch(0, data)
    assert objective(U, method.database, labels[5:25], labels, r) < before


def test_sums_of_classes_are_the_product_with_all_pairs():
    generator = torch.Generator().manual_seed(0)
    labels, others = (torch.randint(-1, 6, (n,), generator=generator) for n in (50, 80))
    values = torch.randn(80, 7, generator=generator)
    assert torch.allclose(sum_over_similar(labels, others, values, 6), similar(labels, others) @ values, atol=1e-5)


def test_a_part_is_what_weighing_the_map_first_would_give():
    torch.manual_seed(0)
    head = PartAttention(24, 8, MAP, parts=3, width=5).eval()
    maps = torch.randn(4, *MAP)
    attention, parts, _ = head.look(maps.flatten(1))
    for j in range(3):
        weighed = head.local(attention[:, j : j + 1] * maps)
        assert torch.allclose(torch.relu(head.local_norm(weighed)).mean((2, 3)), parts[:, j], atol=1e-6)


def test_without_anchors_and_without_chance_nothing_is_exchanged():
    labels, parts = torch.tensor([0, 1, 1]), torch.randn(3, 3, 5)
    assert torch.equal(make().exchanged(parts, labels), parts)
    method = make(exchange=0.0)
    method.anchored.fill_(True)
    assert torch.equal(method.exchanged(parts, labels), parts)


def test_what_is_exchanged_is_the_anchor_of_the_class_about_every_other_time():
    method, labels = make(), torch.tensor([0, 1, 2]).repeat(500)
    method.anchors.copy_(torch.arange(45.0).view(3, 3, 5))
    method.anchored[:2] = True
    got = method.exchanged(torch.full((1500, 3, 5), -1.0), labels)
    swapped = (got != -1).all(2)
    assert torch.equal(got[swapped], method.anchors[labels][swapped])
    assert not swapped[labels == 2].any()
    assert float(swapped[labels < 2].float().mean()) == pytest.approx(0.5, abs=0.05)


def test_when_all_parts_are_exchanged_the_fit_teaches_no_part():
    method, _, batch = begun(torch.arange(30) % 3, exchange=1.0, spatial=0.0, channel=0.0)
    method.anchored.fill_(True)
    method.step(batch, [Once()])
    head = method.head
    for part in (head.attend, head.local, head.local_norm):
        assert all(float(p.grad.abs().sum()) == 0 for p in part.parameters())
    assert float(head.whole[0].weight.grad.abs().sum()) > 0
    assert not method.anchors.requires_grad


def test_anchors_are_the_means_of_a_class_before_the_exchange():
    labels = torch.arange(30) % 3
    method, data, batch = begun(labels, inner=1)
    method.anchors.fill_(100.0)
    method.anchored.fill_(True)
    with torch.no_grad():
        _, parts, _ = method.head.look(batch.features)
    method.step(batch, [Once()])
    method.end_epoch(0, data)
    for c in range(3):
        assert torch.allclose(method.anchors[c], parts[batch.require_labels() == c].mean(0), atol=1e-5)


def test_a_class_outside_the_round_keeps_its_anchor():
    method, data, batch = begun(torch.tensor([0, 0, 1, 1, 2, 2]), [0, 1, 2, 3], inner=1)
    method.anchors.fill_(100.0)
    method.step(batch, [Once()])
    method.end_epoch(0, data)
    assert (method.anchors[2] == 100).all()
    assert method.anchored.tolist() == [True, True, False]


def test_codes_know_no_chance():
    method = make().eval()
    method.anchored.fill_(True)
    maps = torch.randn(5, 24)
    assert torch.equal(method.head(maps), method.head(maps))


@pytest.mark.parametrize(
    "params",
    [{"parts": 1}, {"spatial": -1.0}, {"threshold": 1.5}, {"exchange": -0.1}, {"samples": 0}, {"inner": 0}],
)
def test_values_out_of_range_are_refused(params):
    with pytest.raises(UsageError, match=next(iter(params))):
        make(**params)


def test_vectors_and_sets_of_labels_are_refused():
    with pytest.raises(DataError, match="the features are no maps"):
        build_method("exchnet", Spec(8, 24, 30, SPACE))
    with pytest.raises(DataError, match="one label per image"):
        make(space=LabelSpace(("a", "b"), multi=True))


def test_a_class_with_one_image_and_unlabelled_rows_are_learned_around():
    labels = np.arange(60) % 2
    labels[7], labels[20:25] = 2, -1
    maps = (np.repeat(np.eye(6)[labels], 4, axis=1) + np.random.default_rng(0).normal(size=(60, 24))).astype(np.float32)
    torch.manual_seed(0)
    method = build_method("exchnet", Spec(8, 24, 60, SPACE, map_shape=MAP), parts=2, width=8)
    train(method, FeatureSet(maps, labels), TrainingSettings(epochs=6, progress=False, accelerator="cpu"))
    assert method.anchored.all()
    assert torch.isfinite(method.anchors).all()
    own = method.eval().head.encode(torch.from_numpy(maps))
    assert torch.equal(method.train_codes()[20:25], own[20:25])


@pytest.mark.parametrize("at", [6, 9])
def test_resuming_inside_a_round_gives_the_same_codes(tmp_path, at):
    rng = np.random.default_rng(0)
    labels = np.arange(48) % 3
    maps = (np.repeat(np.eye(6)[labels], 4, axis=1) + rng.normal(size=(48, 24))).astype(np.float32)
    spec = Spec(8, 24, 48, SPACE, map_shape=MAP)
    again, whole = resumed_and_whole(
        "exchnet", spec, (maps, labels), tmp_path, epochs=6, batch_size=20, at=at, samples=40, parts=2, width=8
    )
    assert again.keys() == whole.keys()
    assert all(torch.equal(again[key], whole[key]) for key in whole)


def digits(seed=0, epochs=15, **params):
    """Return mAP with the network's codes on both sides, the mean L_sp, and the distinct free codes."""
    queries, known, database = split()
    params = {"parts": 3, "width": 64, **params}
    method, network = learn_maps("exchnet", 16, *known, epochs=epochs, seed=seed, **params)
    with torch.no_grad():
        overlap = float(spatial_overlap(method.head.eval().look(network(torch.from_numpy(queries[0])))[0]).mean())
    distinct = len(torch.unique(method.database, dim=0))
    return deep_score(method, network, queries, database), overlap, distinct


def test_digits_are_learned_above_itq():
    queries, known, database = split()
    found, _, _ = digits(epochs=9)
    itq = learn("itq", 16, known[0])
    rival = map_all(codes(itq.head, queries[0]), queries[1], codes(itq.head, database[0]), database[1])
    assert found > rival + 0.1


@pytest.mark.slow
@pytest.mark.exhaustive
def test_what_the_parts_of_the_objective_do_on_digits():
    kinds = {"full": {}, "plain": {"spatial": 0.0, "channel": 0.0}, "hard": {"soft": False}}
    runs = {name: np.array([digits(seed, **params) for seed in range(3)]) for name, params in kinds.items()}
    assert (runs["full"][:, 1] < 0.5).all()
    assert (runs["plain"][:, 1] > 0.8).all()
    assert (runs["full"][:, 2] >= runs["hard"][:, 2]).all()
    assert runs["full"][:, 0].mean() > runs["hard"][:, 0].mean()
