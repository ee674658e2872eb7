"""A backbone whose weights are a folder of this machine: found in a data folder, and known by its name alone."""

import pytest
import torch
from safetensors.torch import save_file

from kinbits.bench import Experiment, bench
from kinbits.bench.weights import backbone_of
from kinbits.errors import DataError, UsageError

PLAN = {"protocols": "folder:nowhere", "methods": ["lsh"], "backbones": "tiny", "weights": {"tiny": "weights/tiny"}}


@pytest.fixture
def trials(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KINBITS_DATA", str(tmp_path))
    return list(Experiment.from_dict(PLAN | {"baselines": False}).trials())


def test_the_folder_is_searched_in_the_data_folders_and_is_no_part_of_the_hash(trials, tmp_path):
    (trial,) = trials
    config = trial.config
    with pytest.raises(DataError, match="weights/tiny"):
        backbone_of(trial)
    folder = tmp_path / "weights" / "tiny"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    save_file({"a": torch.zeros(1)}, folder / "model.safetensors")
    assert backbone_of(trial) == f"hf:{folder}"
    assert trial.config == config
    assert trial.columns["backbone"] == "tiny"


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
