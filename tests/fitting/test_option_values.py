"""Values of options as callers have them: scalars of NumPy, paths as text, and what cannot be meant."""

from pathlib import Path

import numpy as np
import pytest
import torch

import kinbits
from kinbits import PlatformError, UsageError
from kinbits.fitting import FeatureSettings, FitSettings, SupervisionSettings
from kinbits.labelling import build_expansion
from kinbits.methods import Spec, build_method
from kinbits.training import FeatureSet, TrainingSettings, train

ROWS = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
LABELLED = kinbits.open_dataset(ROWS, labels=np.arange(40) % 2)


def test_scalars_of_numpy_become_pythons_own():
    settings = FitSettings(bits=np.int64(8), params={"margin": np.float32(0.5)}).with_options(
        lr=np.float32(0.5), epochs=np.int32(2), seed=np.uint8(3), resume=np.bool_(False), batch_size=torch.tensor(4)
    )
    training = settings.training
    found = (settings.bits, training.lr, training.epochs, training.seed, training.resume, training.batch_size)
    assert found == (8, 0.5, 2, 3, False, 4)
    assert [type(value) for value in found] == [int, float, int, int, bool, int]
    assert type(settings.params["margin"]) is float


def test_a_model_fitted_with_scalars_of_numpy_is_the_same_and_can_be_saved(tmp_path):
    plain = {"method": "orthohash", "bits": 8, "epochs": 1, "lr": 0.5, "seed": 3, "params": {"margin": 0.25}}
    numpy = {"bits": np.int64(8), "epochs": np.int64(1), "lr": np.float32(0.5), "seed": np.int64(3)}
    numpy = {"method": "orthohash", **numpy, "params": {"margin": np.float32(0.25)}}
    one, two = (kinbits.fit(LABELLED, progress=False, **options) for options in (plain, numpy))
    assert one.fingerprint == two.fingerprint
    two.save_pretrained(tmp_path / "m")
    assert kinbits.HashModel.from_pretrained(tmp_path / "m").fingerprint == one.fingerprint


def test_checkpoints_may_be_text(tmp_path):
    folder = str(tmp_path / "checkpoints")
    assert TrainingSettings(checkpoints=folder).checkpoints == Path(folder)
    kinbits.fit(LABELLED, method="orthohash", bits=8, epochs=1, progress=False, checkpoints=folder)
    assert list(Path(folder).iterdir())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: kinbits.fit(ROWS, {"bits": 8}), "settings is {'bits': 8}; give a FitSettings"),
        (lambda: kinbits.fit(ROWS, {}), "settings is {}; give a FitSettings"),
        (lambda: kinbits.fit(ROWS, 5), "settings is 5; give a FitSettings"),
        (lambda: kinbits.fit(LABELLED, method="", progress=False), "unknown method ''"),
        (lambda: kinbits.fit(LABELLED, method="bcdh", bits=8, pairs=5, progress=False), "5 is no path"),
        (lambda: FitSettings(training={}), "training is {}; give a TrainingSettings"),
        (lambda: FitSettings(params={1: 1}), "params is {1: 1}; give `name: value` pairs"),
        (lambda: SupervisionSettings(expansion_params={1: 1}), "expansion_params is {1: 1}; give `name: value` pairs"),
        (lambda: FeatureSettings(cache="x"), "cache is 'x'; give a FeatureCache"),
        (lambda: kinbits.fit(ROWS, method="lsh", bits=8).encode(ROWS, cache="x"), "cache is 'x'; give a FeatureCache"),
        (lambda: TrainingSettings(seed=10**20), "seed is 100000000000000000000; it must be from 0 to 4294967295"),
        (lambda: TrainingSettings(accelerator="banana"), "accelerator is 'banana'; give one of auto, cpu, cuda"),
        (lambda: train(None, FeatureSet(ROWS), 5), "settings is 5; give a TrainingSettings"),
        (lambda: build_method("orthohash", Spec(8, 8, 40), margin="0.3"), "margin is '0.3'; give a number"),
        (lambda: build_expansion("prl", rounds=2.5), "rounds is 2.5; give a whole number"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_with_what_is_allowed(make, said):
    with pytest.raises(UsageError, match=said):
        make()


def test_hardware_that_is_not_there_is_named_before_anything_is_done(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(PlatformError, match="accelerator is cuda, and PyTorch finds no GPU here"):
        kinbits.fit(LABELLED, method="orthohash", bits=8, epochs=1, progress=False, accelerator="cuda")
    with pytest.raises(PlatformError, match="finds no GPU here"):
        train(None, FeatureSet(ROWS), TrainingSettings(accelerator="cuda"))
