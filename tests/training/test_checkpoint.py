"""Checkpoints: whom they continue, and what a full disk costs."""

import numpy as np
import pytest
import torch

import kinbits
from kinbits.errors import ArtefactError, PlatformError
from kinbits.training.checkpoint import FILE, Checkpoints

IDENTITY = {"method": "orthohash", "bits": 8}
STATE = {"identity": IDENTITY, "weights": {"a": torch.zeros(500), "b": torch.zeros(20_000)}, "epochs": []}
CPU = torch.device("cpu")
ROWS, CLASSES = 30, 3
OPTIONS = {"epochs": 2, "batch_size": 10, "validation": 0.2, "progress": False, "cache": None}


def images():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (ROWS, 16, 16, 3), dtype=np.uint8)
    return kinbits.open_dataset(pixels, labels=np.arange(ROWS) % CLASSES)


def fit(folder, **other):
    small = {"backbone": "convnet-small", "image_size": 16, "finetune": True}
    return kinbits.fit(images(), checkpoints=folder, **{**IDENTITY, **OPTIONS, **small, **other})


@pytest.mark.parametrize("size", [0, 300, 5_000, 50_000])
def test_a_full_disk_is_named_and_leaves_the_checkpoint_before(tmp_path, full_disk, size):
    kept = Checkpoints(tmp_path)
    kept.save({**STATE, "epochs": [{"loss": 1.0}]})
    with full_disk(size), pytest.raises(PlatformError, match=r"checkpoint.*File too large.*free space"):
        kept.save(STATE)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert kept.load(IDENTITY, CPU)["epochs"] == [{"loss": 1.0}]


def test_a_state_that_cannot_be_saved_is_no_fault_of_the_disk(tmp_path, monkeypatch):
    def wrong(*_):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(torch, "save", wrong)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        Checkpoints(tmp_path).save(STATE)


@pytest.mark.parametrize("written", [{"epochs": []}, {"identity": {}, "format": 1}, {"identity": 3, "format": 2}, 7])
def test_a_checkpoint_of_another_version_is_refused_with_a_remedy(tmp_path, written):
    torch.save(written, tmp_path / FILE)
    with pytest.raises(ArtefactError, match="start again"):
        Checkpoints(tmp_path).load(IDENTITY, CPU)


def test_a_checkpoint_from_before_formats_is_refused_although_all_it_tells_agrees(tmp_path):
    torch.save(STATE, tmp_path / FILE)
    with pytest.raises(ArtefactError, match="another version of kinbits"):
        Checkpoints(tmp_path).load(IDENTITY, CPU)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    fit(folder)
    return folder


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"augmentation": "two_view"}, "augmentation"),
        ({"precision": "bf16-mixed"}, "precision"),
        ({"patience": 1}, "patience"),
        ({"validation": 0.3}, "validation"),
        ({"seed": 1}, "seed"),
        ({"clip": 1.0}, r"recipe\.clip"),
        ({"schedule": "cosine"}, r"recipe\.schedule"),
        ({"finetune": False}, "finetune"),
        ({"image_size": 20}, "data"),
        ({"views": 2}, "data"),
        ({"params": {"scale": 5.0}}, r"params\.scale"),
    ],
)
def test_a_setting_that_changes_the_result_must_be_that_of_the_checkpoint(finished, other, named):
    with pytest.raises(ArtefactError, match=f"another .*{named}"):
        fit(finished, resume=True, **other)


def test_where_a_run_takes_place_may_change(finished):
    assert fit(finished, resume=True, accelerator="cpu").training["epochs"] == 2
