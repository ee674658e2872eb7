"""Pre-training: what learns, what is dropped, resuming in either stage, and what is refused."""

import json
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

import kinbits
from kinbits import DataError, UsageError
from kinbits.bench import Experiment
from kinbits.data import LabelSpace
from kinbits.errors import ArtefactError
from kinbits.fitting import FitSettings, Job
from kinbits.methods import Method, Recipe, Spec, build_method, describe_method, get_method, list_methods, register
from kinbits.training import FeatureSet, PixelSet, TrainingSettings, pretrain, train
from kinbits.training import loop as run_module

ROWS, CLASSES = 40, 4
SPACE = LabelSpace(tuple("abcd"))


def images():
    rng = np.random.default_rng(0)
    colour = rng.integers(40, 215, (CLASSES, 1, 1, 3))
    return np.clip(colour[np.arange(ROWS) % CLASSES] + rng.integers(-40, 40, (ROWS, 16, 16, 3)), 0, 255).astype(
        np.uint8
    )


def classes(count=200):
    """Features of images and texts, and labels, of five classes."""
    rng, labels = np.random.default_rng(1), np.arange(count) % 5
    features, texts = (
        (rng.normal(size=(5, width))[labels] + 0.7 * rng.normal(size=(count, width))).astype(np.float32)
        for width in (24, 20)
    )
    return features, texts, labels


def data():
    return kinbits.open_dataset(images(), labels=np.arange(ROWS) % CLASSES)


OPTIONS = {
    "method": "hashnet",
    "bits": 8,
    "backbone": "convnet-small",
    "image_size": 16,
    "epochs": 2,
    "batch_size": 20,
    "pretrain": "barlow-twins",
    "pretrain_epochs": 3,
    "progress": False,
    "cache": None,
}


@pytest.fixture(autouse=True)
def few_outputs(monkeypatch):
    """A projector that suits the few images of these tests."""
    from kinbits.methods import Projector

    monkeypatch.setattr(Projector.__init__, "__defaults__", (32,))


def fit(**options):
    return kinbits.fit(data(), **{**OPTIONS, **options})


def settings(**more):
    return TrainingSettings(
        **{"pretrain": "barlow-twins", "pretrain_epochs": 3, "batch_size": 20, "progress": False, **more}
    )


def state(module):
    return {key: value.clone() for key, value in module.state_dict().items()}


def changed(before, module):
    return [key for key, value in module.state_dict().items() if not torch.equal(before[key], value)]


def test_a_trained_backbone_learns_and_the_head_waits():
    job = Job.from_dataset(data(), FitSettings().with_options(**OPTIONS))
    method = job.build_method()
    backbone, head = state(job.train.backbone), state(method)
    told = pretrain(method, job.train, settings())
    assert "stages.0.0.weight" in changed(backbone, job.train.backbone)
    assert changed(head, method) == []
    assert (told["method"], told["trained"], told["epochs"]) == ("barlow-twins", "backbone", 3)


def test_before_a_frozen_backbone_the_head_of_the_method_learns():
    features, _, labels = classes()
    views = [features + 0.3 * np.random.default_rng(v).normal(size=features.shape).astype(np.float32) for v in (1, 2)]
    torch.manual_seed(0)
    method = build_method("hashnet", Spec(16, 24, len(features), SPACE))
    head = state(method)
    told = pretrain(method, FeatureSet(features, labels, None, views), settings(pretrain_epochs=10))
    assert told["trained"] == "head"
    assert told["history"][-1]["loss"] < 0.9 * told["history"][0]["loss"]
    assert {"head.layers.weight", "head.threshold"} <= set(changed(head, method))
    ones = method.head.encode(torch.from_numpy(features)).float().mean(0)
    assert (ones - 0.5).abs().max() < 0.01


def test_the_stage_is_told_by_the_model_and_changes_it(tmp_path):
    model, plain = unbroken(True), fit(pretrain=None, pretrain_epochs=None)
    assert model.fingerprint == fit().fingerprint != plain.fingerprint
    model.save_pretrained(tmp_path / "model")
    told = json.loads((tmp_path / "model" / "training.json").read_text())["pretraining"]
    assert (told["method"], told["trained"], told["epochs"], len(told["history"])) == (
        "barlow-twins",
        "backbone",
        3,
        3,
    )
    assert (told["recipe"]["epochs"], told["recipe"]["batch_size"], told["recipe"]["optimizer"]) == (3, 20, "adamw")
    assert "pretraining" not in plain.training
    assert model.training["epochs"] == 2


def test_a_computed_head_follows_a_pretrained_backbone():
    assert fit(method="itq").fingerprint != fit(method="itq", pretrain=None, pretrain_epochs=None).fingerprint


def killed(monkeypatch, at, **options):
    """Fit, and stop before the given epoch of both stages taken together."""
    left, original = [at], run_module.TrainingLoop._epoch

    def epoch(self, *arguments):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(run_module.TrainingLoop, "_epoch", epoch)
        with pytest.raises(KeyboardInterrupt):
            fit(**options)


@cache
def unbroken(finetune):
    return fit(finetune=finetune)


@pytest.mark.parametrize(("finetune", "at"), [(True, 1), (True, 4), pytest.param(False, 1, marks=pytest.mark.slow)])
def test_a_run_stopped_in_either_stage_goes_on_to_the_same_codes(tmp_path, monkeypatch, at, finetune):
    options = {"checkpoints": tmp_path / "kept", "finetune": finetune}
    whole = unbroken(finetune)
    killed(monkeypatch, at, **options)
    again = fit(**options, resume=True)
    assert again.fingerprint == whole.fingerprint
    assert again.training["pretraining"]["history"] == whole.training["pretraining"]["history"]


def test_a_new_run_forgets_what_an_older_one_finished(tmp_path, monkeypatch):
    fit(checkpoints=tmp_path)
    finished = torch.load(tmp_path / "last.ckpt", weights_only=True)
    killed(monkeypatch, 1, checkpoints=tmp_path)
    assert len(finished["epochs"]) == 2
    assert not (tmp_path / "last.ckpt").exists()


def test_another_runs_checkpoint_is_refused(tmp_path):
    fit(checkpoints=tmp_path)
    for other in ({"pretrain_epochs": 4}, {"method": "dsh"}, {"pretrain": None, "pretrain_epochs": None}):
        with pytest.raises(ArtefactError, match="another"):
            fit(checkpoints=tmp_path, resume=True, **other)


TRAINABLE = [name for name in list_methods() if get_method(name).recipe.epochs]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:correlations of 384 outputs")  # dvsq has as many as a word vector
@pytest.mark.parametrize("name", TRAINABLE)
def test_any_method_that_trains_a_head_can_go_on_from_a_pretrained_one(name):
    cls = get_method(name)
    images, texts, labels = classes()
    space = LabelSpace.with_levels(list("abcde"), [([0, 1, 0, 1, 0], ("even", "odd"))])
    spec = Spec(
        16, 24, len(images), space, 20 if cls.reads_text else None, map_shape=(6, 2, 2) if cls.reads_maps else None
    )
    train_set = FeatureSet(
        images, labels, texts if cls.reads_text else None, [images + 0.1, images - 0.1, 1.1 * images]
    )
    torch.manual_seed(0)
    params = {"words": 16} if describe_method(name).codes_name == "product codes" else {}
    method, run = build_method(name, spec, **params), settings(epochs=1, pretrain_epochs=1)
    pretrain(method, train_set, run)
    history = train(method, train_set, run)
    assert np.isfinite(history.epochs[0]["loss"])


@register("makes-all-equal")
class MakesAllEqual(Method):
    """Another method that can pre-train."""

    supervision, can_pretrain, recipe = "none", True, Recipe(epochs=1, lr=0.01)

    def __init__(self, spec):
        super().__init__(spec)
        self.head = kinbits.heads.Linear(spec.feature_dim, spec.bits)

    def loss(self, batch, logits):
        return {"size": (logits - 1).square().mean()}


def test_any_method_can_declare_that_it_pretrains():
    features, _, _ = classes()
    method = build_method("dsah", Spec(8, 24, len(features)))
    told = pretrain(method, FeatureSet(features), settings(pretrain="makes-all-equal", pretrain_epochs=60))
    assert told["history"][-1]["size"] < 0.1 * told["history"][0]["size"]
    assert (method.head(torch.from_numpy(features)) > 0).all()


@pytest.mark.slow
def test_two_processes_pretrain_as_one():
    """Correlations span both processes; 13 rows do not divide evenly between them.

    Three steps are compared: with batches so small, later ones blow up the rounding of the sums.
    """
    found = []
    for devices in (1, 2):
        torch.manual_seed(0)
        backbone = nn.Sequential(nn.Flatten(), nn.Linear(768, 12), nn.ReLU())
        method = build_method("hashnet", Spec(8, 12, ROWS, SPACE))
        pixels = PixelSet(Pixels(), backbone, None, Noise())
        run = settings(devices=devices, batch_size=13, backbone_lr=1e-3, pretrain_epochs=1, accelerator="cpu")
        told = pretrain(method, pixels, run)
        found.append(([record["loss"] for record in told["history"]], backbone.state_dict()))
    (alone, weights), (together, others) = found
    np.testing.assert_allclose(together, alone, rtol=1e-5)
    # A bias of a unit that is never cut off has no gradient but rounding, which Adam makes a full step of.
    torch.testing.assert_close(others["1.weight"], weights["1.weight"], rtol=1e-3, atol=1e-4)


class Pixels:
    def __len__(self):
        return ROWS

    def read(self, rows):
        return images().transpose(0, 3, 1, 2)[rows]


class Noise(nn.Module):
    """The same noise for a picture on any process."""

    def forward(self, pixels):
        return pixels.roll(1, -1)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"pretrain": "barlow-twin"}, "did you mean barlow-twins"),
        ({"pretrain": "itq"}, "use one that can: barlow-twins"),
        ({"pretrain": None}, "pretrain_epochs needs pretrain"),
        ({"pretrain_epochs": 0}, "pretrain_epochs is 0; it must be at least 1"),
        ({"batch_size": 1}, "batch_size is 1; it must be at least 2"),
    ],
)
def test_settings_that_cannot_work_are_refused(wrong, told):
    with pytest.raises(UsageError, match=told):
        settings(**wrong)


def test_a_computed_head_before_a_frozen_backbone_is_refused():
    with pytest.raises(UsageError, match="nothing to pre-train"):
        fit(method="itq", finetune=False)


def test_vectors_are_refused_since_they_have_no_views():
    vectors = kinbits.open_dataset(classes()[0], labels=classes()[2])
    with pytest.raises(DataError, match="the data are vectors"):
        kinbits.fit(vectors, method="hashnet", pretrain="barlow-twins", progress=False)


def test_experiments_take_it_where_they_take_epochs():
    settings = {"epochs": 2, "pretrain": "barlow-twins", "pretrain_epochs": 3}
    plan = {"protocols": "cifar10-1k-5k-54k", "methods": [{"method": "hashnet", "training": settings}]}
    (trial,) = Experiment.from_dict({**plan, "baselines": False}).trials()
    assert trial.training == settings
    plan["methods"][0]["training"] = {"pretrain": "barlow"}
    with pytest.raises(UsageError, match="barlow-twins"):
        Experiment.from_dict(plan)


def test_pretraining_learns_from_images_whose_labels_are_hidden():
    job = Job.from_dataset(data(), FitSettings().with_options(**OPTIONS, labels_fraction=0.2, validation=0.5))
    held = len(job.rows.validation)
    assert (len(job.train), held, len(job.pretraining_set)) == (4, 4, ROWS - 4)
    assert pretrain(job.build_method(), job.pretraining_set, settings(pretrain_epochs=1))["epochs"] == 1
