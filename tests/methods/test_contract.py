"""What the contract offers beside batches of vectors: groups of rows that stay together, and feature maps."""

import numpy as np
import pytest
import torch

from kinbits import DataError, HashModel, UsageError, evaluation, fit, open_dataset
from kinbits.data import FeatureCache, LabelSpace, split_folder
from kinbits.heads import MapHead, register_head
from kinbits.methods import Method, Recipe, Spec
from kinbits.training import FeatureSet, TrainingSettings, train


@register_head("test-map-head")
class Places(MapHead):
    """One convolution, averaged."""

    def __init__(self, features, bits, shape):
        super().__init__(features, bits, shape)
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(shape[0], bits, 1), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
        )


class Triplets(Method):
    """Pulls the first two rows of a triplet together; remembers what it saw."""

    name, reads_maps = "test-triplets", True
    recipe = Recipe(epochs=2, batch_size=10)

    supervision = "none"

    def __init__(self, spec, *, flat: bool = False):
        super().__init__(spec)
        self.flat, self.seen = flat, []
        self.head = Places(spec.feature_dim, spec.bits, spec.require_map_shape())

    def epoch_rows(self, epoch, train):
        rows = torch.arange(len(train) // 3 * 3)
        return rows if self.flat else rows.view(-1, 3)

    def loss(self, batch, logits):
        self.seen.append(batch.rows)
        return {"pull": logits.square().mean()}


@pytest.fixture
def registered(monkeypatch):
    from kinbits.methods import registry

    monkeypatch.setitem(registry._REGISTRY, "test-triplets", Triplets)


def pictures(rows):
    images = np.random.default_rng(0).integers(0, 256, (rows, 32, 32, 3), dtype=np.uint8)
    return images, open_dataset(images, labels=np.arange(rows) % 2)


def trained(**params):
    spec = Spec(8, 24, 32, LabelSpace(("a", "b")), map_shape=(6, 2, 2))
    method = Triplets(spec, **params)
    maps = np.random.default_rng(0).normal(size=(32, 24)).astype(np.float32) + 5
    train(method, FeatureSet(maps, np.arange(32) % 2), TrainingSettings(progress=False, accelerator="cpu"))
    return method


def test_groups_stay_together_in_one_batch():
    seen = trained().seen
    assert [len(rows) for rows in seen[:4]] == [9, 9, 9, 3]
    triplets = torch.cat(seen[:4]).view(-1, 3)
    assert (triplets[:, 1] == triplets[:, 0] + 1).all()
    assert (triplets[:, 2] == triplets[:, 0] + 2).all()
    assert triplets[:, 0].tolist() != sorted(triplets[:, 0].tolist())
    assert sorted(torch.cat(seen[:4]).tolist()) == list(range(30))


def test_single_rows_are_shuffled():
    assert [len(rows) for rows in trained(flat=True).seen[:3]] == [10, 10, 10]


def test_groups_of_groups_are_refused(monkeypatch):
    monkeypatch.setattr(Triplets, "epoch_rows", lambda self, epoch, train: torch.zeros(2, 2, 2, dtype=torch.int64))
    with pytest.raises(UsageError, match="give \\(m,\\) or \\(m, g\\)"):
        trained()


def test_maps_are_centred_by_channel():
    head = trained().head
    centre = head.centre.view(6, 4)
    assert (centre == centre[:, :1]).all()
    assert float(centre.mean()) == pytest.approx(5, abs=0.3)


def test_a_map_head_of_another_shape_is_refused():
    with pytest.raises(UsageError, match="vectors of 25"):
        Places(25, 8, (6, 2, 2))


def test_a_method_for_maps_is_fitted_saved_and_measured(tmp_path, registered):
    images, data = pictures(24)
    splits, cache = split_folder(data), FeatureCache(tmp_path / "cache")
    options = {"method": "test-triplets", "bits": 8, "backbone": "convnet-small", "finetune": False}
    model = fit(splits.train, **options, cache=cache, progress=False)
    backbone = model.towers["image"].backbone
    assert (backbone.name, backbone.feature_dim) == ("map:convnet-small", 384 * 16)
    again = HashModel.from_pretrained(model.save_pretrained(tmp_path / "model"))
    assert again.fingerprint == model.fingerprint
    assert np.array_equal(again.encode(images), model.encode(images))
    report = evaluation.evaluate(again, splits, metric_names=["map@all"], cache=cache)
    assert {"test-triplets", "itq", "features (cosine)"} <= {row.name for row in report.rows}


def test_a_backbone_is_trained_through_its_map(registered):
    _, data = pictures(12)
    model = fit(data, method="test-triplets", bits=8, backbone="convnet-small", epochs=1, progress=False)
    assert model.training["backbone_trained"]


def test_vectors_have_no_map(registered):
    data = open_dataset(np.zeros((9, 4), np.float32), labels=np.arange(9) % 2)
    with pytest.raises(UsageError, match="'features' has no feature map"):
        fit(data, method="test-triplets", progress=False)


def test_a_method_for_maps_needs_their_shape():
    with pytest.raises(DataError, match="the features are no maps"):
        Triplets(Spec(8, 24, 32))
