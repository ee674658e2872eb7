"""DSG: the sheet's numbers, the loss in plain loops, clusters, resuming, digits."""

import itertools
import math

import numpy as np
import pytest
import torch
from digits import batch_of, learn, resumed_and_whole, score, unlabelled_split
from torch import nn

from kinbits import DataError, UsageError
from kinbits.methods import Spec, build_method
from kinbits.methods.blocks import FeatureDistances, SplitNormal, cluster_rows
from kinbits.training import FeatureSet, PixelSet, TrainingSettings, train

H = torch.tensor([[1.0, 1, 1, 1], [1, 1, 1, -1], [-1, -1, 1, 1]])
LARGE = 40.0
WORKED = SplitNormal(0.3, 0.1, 0.1)


def blobs(rows=90, groups=3, seed=0):
    rng = np.random.default_rng(seed)
    return (4 * np.eye(groups, 6)[np.arange(rows) % groups] + rng.normal(size=(rows, 6))).astype(np.float32)


def prepared(images, bits=8, **params):
    method = build_method("dsg", Spec(bits, images.shape[1], len(images)), **params)
    method.prepare(FeatureSet(images))
    return method


def test_the_worked_confidences():
    distances = torch.tensor([0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0])
    wanted = [1.0, 0.9258, 0.6731, 0, 0.0984, 0.4642, 0.9756, 1.0]
    assert WORKED.confidence(distances, 0.15).tolist() == pytest.approx(wanted, abs=6e-5)
    cut = WORKED.confidence(distances[:3], 0.15, exact=False)
    assert cut.tolist() == pytest.approx([0.9798, 0.9071, 0.6595], abs=6e-5)


def test_pairs_stay_only_where_distance_and_cluster_agree():
    method = build_method("dsg", Spec(4, 3, 4), confidence=0.0)
    method.shape.copy_(torch.tensor([0.15, 0.3, 0.1, 0.1]))
    near, far = 0.1, 0.5
    distances = torch.tensor([[0, near, far, near], [near, 0, far, far], [far, far, 0, far], [near, far, far, 0]])
    signs, weights = method.guidance(distances, torch.tensor([0, 0, 0, 1]))
    same_near, same_far, other_near, other_far = (0, 1), (0, 2), (0, 3), (1, 3)
    assert [int(weights[pair]) for pair in (same_near, same_far, other_near, other_far)] == [1, 0, 0, 1]
    assert [int(signs[pair]) for pair in (same_near, same_far, other_near, other_far)] == [1, -1, 1, -1]


def worked(monkeypatch, removed):
    signs = torch.tensor([[1.0, 1, -1], [1, 1, removed], [-1, removed, 1]])
    weights = torch.tensor([[1, 0.5, 0.8], [0.5, 1, 0], [0.8, 0, 1]])
    method = build_method("dsg", Spec(4, 3, 3))
    method.shape.fill_(1)
    monkeypatch.setattr(method, "guidance", lambda *_: (signs, weights))
    return float(method.loss(batch_of(features=torch.randn(3, 3)), LARGE * H)["priority"])


def test_the_worked_loss_and_that_a_removed_pair_has_no_say(monkeypatch):
    assert worked(monkeypatch, -1.0) == pytest.approx(0.205556, abs=1e-5)
    assert worked(monkeypatch, 1.0) == worked(monkeypatch, -1.0)


def test_the_loss_and_its_gradient_are_the_equations():
    images, rows = blobs(), list(range(0, 90, 7))
    method = prepared(images, 6, centre=False, positives=0.12, confidence=1.0)
    method.cluster_of.copy_(torch.arange(90) // 20)  # clusters that contradict some pairs of either kind
    t, mode, left, right = method.shape.tolist()
    logits = torch.randn(13, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    value = method.loss(batch_of(features=torch.from_numpy(images[rows]), rows=torch.tensor(rows)), logits)["priority"]
    phi = lambda d, s: 0.5 * (1 + math.erf((d - mode) / s / math.sqrt(2)))  # noqa: E731
    h, c, x = torch.tanh(logits.detach().double()).numpy(), method.cluster_of.tolist(), images.astype(float)
    wanted, slope, seen = 0.0, np.zeros((13, 6)), set()
    for i, j in itertools.product(range(13), repeat=2):
        a, b = x[rows[i]], x[rows[j]]
        d = max(0.0, 1 - a @ b / math.sqrt((a @ a) * (b @ b)))
        s, same = (1 if d <= t else -1), c[rows[i]] == c[rows[j]]
        if d <= t:
            w = (phi(t, left) - phi(d, left)) / (phi(t, left) - phi(0, left))
        else:
            w = (phi(d, right) - phi(t, right)) / (phi(2, right) - phi(t, right))
        w = 1.0 if i == j else w * (same == (s == 1))
        seen.add((s, bool(w)))
        miss = h[i] @ h[j] / 6 - s
        wanted += w * miss**2 / 169
        slope[i] += 4 / (169 * 6) * w * miss * h[j]
    assert len(seen) == 4, "every kind of pair takes part"
    assert value.item() == pytest.approx(wanted, rel=1e-5)
    value.backward()
    assert logits.grad.numpy() == pytest.approx(slope * (1 - h**2), abs=1e-6)


def test_a_batch_without_kept_pairs_teaches_nothing(monkeypatch):
    method = build_method("dsg", Spec(4, 3, 3))
    method.shape.fill_(1)
    monkeypatch.setattr(method, "guidance", lambda *_: (torch.ones(3, 3), torch.zeros(3, 3)))
    logits = torch.randn(3, 4, requires_grad=True)
    term = method.loss(batch_of(features=torch.randn(3, 3)), logits)["priority"]
    term.backward()
    assert term.item() == 0
    assert not logits.grad.any()


def test_the_bell_is_that_of_the_mirrored_halves():
    rng = np.random.default_rng(0)
    d = torch.from_numpy(
        np.concatenate([0.5 - abs(rng.normal(0, 0.1, 50_000)), 0.5 + abs(rng.normal(0, 0.05, 50_000))])
    )
    bell = SplitNormal.fit(d)
    assert bell.mode == pytest.approx(0.5, abs=0.011)
    below, above = d[d <= bell.mode], d[d > bell.mode]
    assert bell.left == pytest.approx(float((below - bell.mode).square().mean()) ** 0.5)
    assert bell.right == pytest.approx(float((above - bell.mode).square().mean()) ** 0.5)


def test_equal_distances_make_a_narrow_bell_not_a_division_by_zero():
    confidence = SplitNormal.fit(torch.full((100,), 0.4)).confidence(torch.tensor([0.0, 0.4, 1.0]), 0.4)
    assert torch.isfinite(confidence).all()


def test_a_sample_of_rows_gives_nearly_the_distances_of_all():
    images = blobs(600)
    distances = FeatureDistances(6, centre=True)
    data = FeatureSet(images)
    distances.prepare(data)
    whole = distances.sample(data, np.random.default_rng(0))
    some = distances.sample(data, np.random.default_rng(0), most=200)
    assert (len(whole), len(some)) == (600 * 599 // 2, 200 * 199 // 2)
    assert float(some.quantile(0.05)) == pytest.approx(float(whole.quantile(0.05)), rel=0.1)
    assert torch.equal(some, distances.sample(data, np.random.default_rng(0), most=200))


def test_the_threshold_makes_the_asked_share_of_pairs_similar():
    images = blobs(200)
    method = prepared(images, positives=0.03)
    distances = method.distances.among(batch_of(features=torch.from_numpy(images)))
    similar = (distances <= method.shape[0]).sum() - len(images)
    assert float(similar) / (200 * 199) == pytest.approx(0.03, abs=1e-3)


@pytest.mark.parametrize("kind", ["kmeans", "spectral"])
def test_clusters_are_found_on_a_sample_and_reach_every_row(kind):
    images = blobs(300)
    points = lambda rows: [torch.from_numpy(images if rows is None else images[rows])]  # noqa: E731
    found = cluster_rows(points, 300, 3, kind, np.random.default_rng(0), spectral_rows=100)
    assert all(np.bincount(found[start::3], minlength=3).max() > 95 for start in range(3))
    assert len(np.unique(found)) == 3
    assert np.array_equal(found, cluster_rows(points, 300, 3, kind, np.random.default_rng(0), spectral_rows=100))


class Halved(nn.Module):
    """A backbone whose features training changes."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 6)

    def forward(self, pixels):
        return self.layer(pixels[:, 0].flatten(1))


class Grey:
    def __init__(self, images):
        self.images = (images * 255).astype(np.uint8).reshape(-1, 1, 8, 8).repeat(3, axis=1)

    def __len__(self):
        return len(self.images)

    def read(self, rows):
        return self.images[rows]


def test_a_trained_backbone_is_judged_by_its_features_before_training():
    images = unlabelled_split()[1][0][:60]
    torch.manual_seed(0)
    data = PixelSet(Grey(images), Halved())
    method = build_method("dsg", Spec(8, 6, 60), clusters=3)
    train(method, data, TrainingSettings(epochs=1, batch_size=30, backbone_lr=0.1, progress=False, accelerator="cpu"))
    batch = data.batch(np.arange(60), [0])
    kept = method.distances.among(batch)
    method.distances.kept = None
    assert (kept - method.distances.among(batch)).abs().max() > 0.05
    torch.manual_seed(0)
    data.backbone.load_state_dict(Halved().state_dict())
    batch = data.batch(np.arange(60), [0])
    assert kept.numpy() == pytest.approx(method.distances.among(batch).detach().numpy(), abs=5e-3)


def test_resuming_keeps_clusters_and_distances(tmp_path):
    again, whole = resumed_and_whole("dsg", Spec(8, 6, 90), (blobs(),), tmp_path, epochs=4, batch_size=30, at=7)
    assert whole["cluster_of"].any()
    assert all(torch.equal(again[key], whole[key]) for key in whole)


def test_bad_data_are_refused_with_a_remedy():
    images = blobs()
    with pytest.raises(DataError, match="some images for each cluster"):
        prepared(images, clusters=90)
    broken = images.copy()
    broken[7] = 0
    with pytest.raises(DataError, match="training image 7"):
        prepared(broken, centre=False)
    with pytest.warns(UserWarning, match="similar"), pytest.raises(DataError, match="one cluster"):
        prepared(np.repeat(images[:1], 50, axis=0), centre=False)
    with pytest.warns(UserWarning, match="positives=0.05"):
        prepared(images, threshold=1.9)
    with pytest.raises(UsageError, match="prepare"):
        build_method("dsg", Spec(8, 6, 90)).loss(batch_of(rows=torch.arange(3)), torch.zeros(3, 8))


@pytest.mark.parametrize(
    "params",
    [
        {"threshold": 2.0},
        {"confidence": -1.0},
        {"positives": 0.0},
        {"clusters": -1},
        {"hidden": -1},
        {"clustering": "dbscan"},
    ],
)
def test_values_out_of_range_are_refused_by_their_name(params):
    with pytest.raises(UsageError, match=f"^{next(iter(params))} is [^,]*;"):
        build_method("dsg", Spec(8, 6, 90), **params)


def test_clusters_make_the_pairs_of_digits_purer_as_published():
    """On 1,500 raw digits with t = .15 and 20 clusters: positives .766 -> .947, negatives .943 -> .957."""
    _, (x, y) = unlabelled_split()
    method = prepared(x, threshold=0.15, clusters=20, centre=False, confidence=1.0)
    assert method.shape.tolist() == pytest.approx([0.15, 0.30, 0.0977, 0.1063], abs=0.011)
    distances = method.distances.among(batch_of(features=torch.from_numpy(x)))
    signs, weights = method.guidance(distances, method.cluster_of)
    same, apart = torch.from_numpy(y[:, None] == y), ~torch.eye(len(x), dtype=torch.bool)
    near, kept = (signs > 0) & apart, weights > 0
    assert float(same[near].float().mean()) == pytest.approx(0.766, abs=0.02)
    assert float(same[near & kept].float().mean()) == pytest.approx(0.947, abs=0.025)
    assert float((~same)[~near & apart].float().mean()) == pytest.approx(0.943, abs=0.01)
    assert float((~same)[~near & kept & apart].float().mean()) == pytest.approx(0.957, abs=0.01)
    assert float((same * weights)[near].sum() / weights[near].sum()) == pytest.approx(0.971, abs=0.02)


@pytest.mark.slow
def test_digits_clusters_help_and_confidence_hurts():
    """As published for the first; the second is what this confidence does on digits."""
    queries, database = unlabelled_split()
    common = {"epochs": 30, "threshold": 0.15, "clusters": 20, "centre": False}
    reached = {
        (confidence, distill): score(
            learn("dsg", 32, database[0], confidence=confidence, distill=distill, **common), queries, database
        )
        for confidence, distill in itertools.product((0.0, 1.0), (False, True))
    }
    assert reached[0.0, True] > reached[0.0, False] + 0.01, reached
    assert reached[0.0, False] > reached[1.0, False], reached
    assert min(reached.values()) > score(learn("lsh", 32, database[0]), queries, database) + 0.1, reached
