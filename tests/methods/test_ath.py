"""ATH: the sheet's numbers, triplets drawn one by one, the gate, resuming, and digits with four rare classes."""

import numpy as np
import pytest
import torch
from digits import batch_of, codes, map_all, resumed_and_whole, split
from map_digits import learn_maps

from kinbits import DataError, UsageError
from kinbits.data import LabelSpace
from kinbits.heads import SpatialAttention, SpatialGate
from kinbits.methods import Spec, build_method
from kinbits.methods.ath import Ath
from kinbits.methods.blocks import triplets
from kinbits.training import FeatureSet

SPACE = LabelSpace(tuple("abc"))
MAP = (6, 2, 2)


def make(bits=4, **params):
    return build_method("ath", Spec(bits, 24, 30, SPACE, map_shape=MAP), **params)


def interleaved(q, p, n):
    """Lay anchors, positives and negatives out as a batch of triplets."""
    return torch.stack([torch.tensor(x) for x in (q, p, n)], 1).flatten(0, 1)


class Once:
    """Takes the loss and no step."""

    def minimise(self, loss):
        self.loss = loss


@pytest.mark.parametrize(("flips", "wanted"), [(1, 1.0), (2, 0.0), (4, 0.0)])
def test_the_published_hinge_on_four_bits(flips, wanted):
    q = torch.tensor([1.0, 1, -1, -1])
    n = q.clone()
    n[:flips] *= -1
    logits = torch.stack([q, q, n])
    assert float(make(distance="paper").hinge(logits)) == pytest.approx(wanted)


@pytest.mark.parametrize(("bits", "wanted"), [(8, 0.0), (16, 4.0), (36, 14.0), (64, 28.0)])
def test_the_published_margin_is_out_of_reach_of_long_codes_and_ours_is_not(bits, wanted):
    q = torch.ones(bits)
    logits = torch.stack([q, q, -q])
    assert float(make(bits, distance="paper").hinge(logits)) == pytest.approx(wanted)
    assert float(make(bits).hinge(20 * logits)) == 0


def test_bits_are_counted_as_bits():
    q = torch.ones(16)
    n = q.clone()
    n[:3] *= -1  # three bits apart
    p = q.clone()
    p[:1] *= -1  # one bit apart: two bits further, four wanted
    assert float(make(16).hinge(20 * torch.stack([q, p, n]))) == pytest.approx(2)
    assert float(make(16, margin=5).hinge(20 * torch.stack([q, p, n]))) == pytest.approx(3)


def test_the_worked_batch():
    q, p = [[0.5, -1, 0.3, 0.8], [1.2, 0.1, -0.4, -0.9]], [[0.4, -0.7, 0.1, 1], [0.9, 0.3, -0.2, -1.1]]
    n = [[-0.6, 0.9, 0.2, -0.5], [0.8, -0.2, 0.5, 0.7]]
    t = interleaved([[2.0, 0, 0], [0, 1, 0]], [[1.0, 0, 0], [0, 2, 0]], [[0.0, 0, 1], [1, 0, 0]])
    method = make(distance="paper")
    vectors = torch.cat([interleaved(q, p, n), t], 1)  # the first four are hashed, the last three name the class
    method.head.vectors = lambda features: vectors
    method.head.logits = lambda vectors: vectors[:, :4]
    method.classes = torch.nn.Linear(7, 3, bias=False).requires_grad_(False)
    method.classes.weight.copy_(torch.eye(3, 7).roll(4, 1))
    batch = batch_of(interleaved([0, 1], [0, 1], [2, 0]))
    once = Once()
    terms = method.step(batch, [once])
    assert float(terms["triplet"]) == pytest.approx(0.781250, abs=1e-6)
    assert float(terms["classification"]) == pytest.approx(1.342434, abs=1e-6)
    assert float(once.loss) == pytest.approx(2.123684, abs=1e-6)


def test_the_hinge_is_the_equation():
    logits = torch.randn(15, 6, generator=torch.Generator().manual_seed(0)).mul(2)
    total = 0.0
    for i in range(0, 15, 3):
        q, p, n = torch.tanh(logits[i : i + 3]).tolist()
        near, far = (sum((a - b) ** 2 for a, b in zip(q, other, strict=True)) / 4 for other in (p, n))
        total += max(0.0, 6 / 4 - far + near)
    assert float(make(6).hinge(logits)) == pytest.approx(total / 5, abs=1e-6)


def test_the_gate_on_counted_numbers():
    gate = SpatialGate()
    maps = torch.arange(16.0).view(1, 4, 2, 2)
    torch.nn.init.zeros_(gate.conv.weight)
    assert gate(maps).tolist() == [[[[0.5, 0.5], [0.5, 0.5]]]]
    with torch.no_grad():
        gate.conv.weight[0, :, 1, 1] = torch.tensor([1.0, -1.0])
        assert gate(maps).flatten().tolist() == pytest.approx([0.0024726] * 4, abs=1e-7)


def test_the_gate_weighs_the_maps_that_the_block_reads():
    torch.manual_seed(0)
    head = SpatialAttention(24, 8, MAP).eval()
    maps = torch.randn(5, 24)
    gated = head.gate(maps.view(5, *MAP)) * maps.view(5, *MAP)
    head_without = SpatialAttention(24, 8, MAP, attention=False).eval()
    head_without.load_state_dict({k: v for k, v in head.state_dict().items() if not k.startswith("gate")})
    assert torch.allclose(head(maps), head_without(gated.flatten(1)), atol=1e-5)
    assert not torch.allclose(head(maps), head_without(maps), atol=1e-2)


def test_triplets_hold_each_anchor_once_and_tell_the_class():
    labels = np.array([2, 0, 1, 0, -1, 2, 0, 3, 2, -1])  # class 1 and 3 have one image, two rows have no label
    seen = {}
    for seed in range(200):
        drawn = triplets(labels, np.random.default_rng(seed))
        assert sorted(drawn[:, 0]) == [0, 1, 3, 5, 6, 8]
        for q, p, n in drawn:
            assert labels[p] == labels[q]
            assert p != q
            assert labels[n] not in (labels[q], -1)
            seen.setdefault(q, (set(), set()))[0].add(p)
            seen[q][1].add(n)
    assert seen[1] == ({3, 6}, {0, 2, 5, 7, 8})  # all that can be drawn, the single images too
    assert seen[8] == ({0, 5}, {1, 2, 3, 6, 7})


def test_negatives_are_drawn_evenly():
    labels = np.array([0] * 500 + [1] * 300 + [2] * 200)
    drawn = np.concatenate([triplets(labels, np.random.default_rng(seed)) for seed in range(40)])
    others = np.bincount(labels[drawn[labels[drawn[:, 0]] == 0, 2]], minlength=3)
    assert others[1] / others.sum() == pytest.approx(0.6, abs=0.01)


def test_many_rows_are_drawn_at_once():
    labels = np.random.default_rng(0).integers(0, 1000, 300_000)
    drawn = triplets(labels, np.random.default_rng(0))
    assert len(drawn) == 300_000
    assert (labels[drawn[:, 0]] == labels[drawn[:, 1]]).all()
    assert (labels[drawn[:, 0]] != labels[drawn[:, 2]]).all()


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2], [-1, -1, -1], [-1, 0, 0]])
def test_labels_without_a_triplet_are_refused(labels):
    with pytest.raises(DataError, match="at least two classes"):
        triplets(np.array(labels), np.random.default_rng(0))


def test_triplets_are_drawn_again_only_if_wanted():
    data = FeatureSet(np.zeros((30, 24), np.float32), np.arange(30) % 3)
    for resample in (True, False):
        method = make(resample=resample)
        drawn = []
        for epoch in (0, 1):
            data.rng = np.random.default_rng(epoch)
            drawn.append(method.epoch_rows(epoch, data))
        assert torch.equal(*drawn) != resample


@pytest.mark.parametrize("params", [{"margin": -1}, {"margin": 5}, {"classification": -1}, {"width": 0}])
def test_values_out_of_range_are_refused(params):
    with pytest.raises(UsageError, match="need a margin"):
        make(4, **params)


def test_an_unknown_distance_is_refused():
    with pytest.raises(UsageError, match="give one of bits, paper"):
        make(distance="cosine")


def test_data_without_labels_are_refused():
    with pytest.raises(DataError, match="the data have none"):
        make().epoch_rows(0, FeatureSet(np.zeros((30, 24), np.float32)))


def test_without_cross_entropy_the_class_branch_stays_as_it_is():
    method = make(classification=0)
    method.head.vectors = lambda features: features.requires_grad_()
    method.head.logits = lambda vectors: vectors[:, :4]
    once = Once()
    batch = batch_of(torch.tensor([0, 0, 1]), torch.randn(3, 64))
    assert list(method.step(batch, [once])) == ["triplet"]
    once.loss.backward()
    assert method.classes.weight.grad is None


@pytest.mark.parametrize("at", [2, 6])
def test_resuming_gives_the_same_weights(tmp_path, at):
    rng = np.random.default_rng(0)
    labels = np.arange(48) % 3
    maps = (np.repeat(np.eye(6)[labels], 4, axis=1) + rng.normal(size=(48, 24))).astype(np.float32)
    spec = Spec(8, 24, 48, SPACE, map_shape=MAP)
    again, whole = resumed_and_whole("ath", spec, (maps, labels), tmp_path, epochs=4, batch_size=45, at=at)
    assert all(torch.equal(again[key], whole[key]) for key in whole)


def imbalanced(seed=0):
    """Six classes of 100 training images and four of 12."""
    _, (x, y), _ = split()
    rows = np.concatenate([np.flatnonzero(y == c)[: 100 if c < 6 else 12] for c in range(10)])
    return x[rows], y[rows]


def reached(seed, epochs=12, **params):
    """Return mAP of all queries, and of those of the small classes."""
    queries, _, database = split()
    method, network = learn_maps("ath", 16, *imbalanced(), epochs=epochs, batch_size=96, seed=seed, **params)
    ours, theirs = (codes(method.head, part[0], network) for part in (queries, database))
    rare = queries[1] >= 6
    return map_all(ours, queries[1], theirs, database[1]), map_all(ours[rare], queries[1][rare], theirs, database[1])


def test_digits_with_rare_classes():
    everything, rare = reached(0, epochs=8)
    assert everything > 0.6
    assert rare > 0.35


class HeadUntaught(Ath):
    """Cross-entropy alone, which never reaches the hash layer."""

    def hinge(self, logits):
        return 0 * logits.sum()


@pytest.mark.slow
@pytest.mark.exhaustive
def test_the_parts_of_the_loss_on_digits(monkeypatch):
    from kinbits.methods import registry

    kinds = {"full": {}, "no attention": {"attention": False}, "triplets only": {"classification": 0.0}}
    scores = {name: np.mean([reached(seed, **params) for seed in range(3)], axis=0) for name, params in kinds.items()}
    monkeypatch.setitem(registry._REGISTRY, "ath", HeadUntaught)
    scores["cross-entropy only"] = np.mean([reached(seed) for seed in range(3)], axis=0)
    assert scores["full"][0] > scores["triplets only"][0]
    assert min(scores[name][0] for name in kinds) > scores["cross-entropy only"][0] + 0.05
