"""A backbone whose weights are a folder of this machine: found in a data folder, and known by its name alone."""

import os
import re
import shutil

import pytest
import torch
from safetensors.torch import save_file

from kinbits.bench import Experiment, bench
from kinbits.bench.weights import backbone_of, config_of_trial, is_config_of
from kinbits.errors import DataError, UsageError

PLAN = {"protocols": "folder:nowhere", "methods": ["lsh"], "backbones": "tiny", "weights": {"tiny": "weights/tiny"}}


@pytest.fixture
def trials(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KINBITS_DATA", str(tmp_path))
    return list(Experiment.from_dict(PLAN | {"baselines": False}).trials())


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "weights" / "tiny"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    save_file({"a": torch.zeros(1)}, folder / "model.safetensors")
    return folder


def test_the_folder_is_searched_in_the_data_folders(trials, tmp_path):
    (trial,) = trials
    with pytest.raises(DataError, match="weights/tiny"):
        backbone_of(trial)
    (tmp_path / "weights" / "tiny").mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "weights" / "tiny" / name).touch()
    assert backbone_of(trial) == f"hf:{tmp_path / 'weights' / 'tiny'}"
    assert trial.columns["backbone"] == "tiny"


def test_the_contents_of_the_folder_belong_to_the_hash_of_a_row_and_its_place_does_not(trials, folder, tmp_path):
    (trial,) = trials
    made = config_of_trial(trial)
    assert re.fullmatch(trial.config + "-[0-9a-f]{12}", made)
    (folder / "README.md").write_text("other words")
    os.utime(folder / "model.safetensors", ns=(0, 0))
    assert is_config_of(trial, made)
    named = Experiment.from_dict(
        PLAN | {"weights": {}, "backbones": f"hf:{folder}", "text-backbone": f"hf-text:{folder}", "baselines": False}
    )
    (direct,) = named.trials()
    assert config_of_trial(direct).split("-")[1:] == made.split("-")[1:] * 2
    save_file({"a": torch.ones(1)}, folder / "model.safetensors")
    assert not is_config_of(trial, made)
    assert not is_config_of(direct, config_of_trial(trial))
    assert not is_config_of(trial, trial.config)  # a row that does not know its weights


def test_a_row_is_compared_as_far_as_possible_where_the_weights_are_missing(trials, folder):
    (trial,) = trials
    made = config_of_trial(trial)
    shutil.rmtree(folder)
    assert is_config_of(trial, made)
    assert not is_config_of(trial, "0" * 12 + made[12:])


def test_trials_without_their_weights_are_left_out_with_a_message(trials, tmp_path):
    told = []
    ran = bench(Experiment.from_dict(PLAN), tmp_path / "x.csv", tell=told.append)
    results, failures = ran.results, ran.failures
    assert (len(results), failures) == (0, ())
    assert told[-1] == (
        "5 trials left out: no data folder (KINBITS_DATA) has weights/tiny with config.json and model.safetensors"
    )


def test_weights_belong_to_a_backbone_of_the_experiment():
    with pytest.raises(UsageError, match="weights are given for 'tiny'"):
        Experiment.from_dict(PLAN | {"backbones": "convnet-small"})
    with pytest.raises(UsageError, match="names and null"):
        Experiment.from_dict(PLAN | {"backbones": ["tiny", None]})
