"""Files of experiments: a mistake is named before anything runs."""

import re
from dataclasses import MISSING, fields
from pathlib import Path

import pytest
import yaml

from kinbits.bench import Experiment
from kinbits.bench.experiment import Entry
from kinbits.errors import UsageError
from kinbits.fitting import FeatureSettings, SupervisionSettings

PAGE = Path(__file__).parents[2] / "docs" / "evaluation.md"


def made(given):
    return Experiment.from_dict(given)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"method": ["lsh"]}, "methods"),
        ({"methods": []}, "'methods' is missing"),
        ({"methods": ["ortohash"]}, "orthohash"),
        ({"methods": [{"name": "lsh"}]}, "write a name"),
        ({"methods": [{"method": "lsh", "parms": {}}]}, "params"),
        ({"methods": [{"method": "orthohash", "params": {"scal": 1}}]}, "scale"),
        ({"methods": ["orthohash", "orthohash"]}, "another `label`"),
        ({"bits": ["16"]}, "whole numbers"),
        ({"seeds": [-1]}, "whole numbers"),
        ({"metrics": ["map"]}, "map@1000"),
        ({"training": {"epoch": 3}}, "epochs"),
        ({"training": {"lr": -1}}, "lr is -1"),
        ({"training": {"seed": 3}}, "seed"),
        ({"finetune": True}, "baselines: false"),
        ({"protocols": 3}, "protocols is 3; give text"),
        ({"metrics": [2]}, "metrics is 2; give text"),
        ({"image_size": "big"}, "image_size is 'big'; give a whole number"),
        ({"training": {"lr": "fast"}}, "lr is 'fast'; give a number"),
        ({"training": {"epochs": [3]}}, "epochs is .3.; give a whole number"),
        ({"training": {"optimizer": "sdg"}}, "optimizer is 'sdg'; give one of adam, adamw, sgd"),
        ({"training": 3}, "training is 3; give `name: value` pairs"),
        ({"methods": [{"method": 3}]}, "method is 3; give text"),
        ({"methods": [{"method": "lsh", "training": [1]}]}, "training is .1.; give `name: value` pairs"),
        ({"methods": [{"method": "orthohash", "params": {"scale": "x"}}]}, "scale is 'x'; give a number"),
        ({"methods": [{"method": "lsh", "labels-fraction": "few"}]}, "labels_fraction is 'few'; give a number"),
    ],
)
def test_a_mistake_in_the_file_is_named_before_anything_runs(small, tmp_path, change, told):
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(small | change))
    with pytest.raises(UsageError, match=told):
        Experiment.from_file(path)


def test_numbers_that_yaml_takes_for_text_are_numbers(small):
    given = yaml.safe_load("{lr: 1e-3, weight_decay: 0}")
    assert given["lr"] == "1e-3"
    (run, *_) = made(small | {"baselines": False, "training": given}).trials()
    assert run.training == {"lr": 0.001, "weight_decay": 0}


def test_dashes_and_underscores_are_one_key_at_every_level(small):
    def trial(write):
        training = {write("batch_size"): 32}
        expansion = {write("class_cap"): 7}
        method = {
            "method": "dch",
            "params": {write("self_pairs"): True},
            "training": {write("weight_decay"): 0},
        }
        method |= {write("label_expansion"): "prl", write("expansion_params"): expansion}
        (one, *_) = made(small | {"methods": [method], "baselines": False, "training": training}).trials()
        return one

    dashed = trial(lambda name: name.replace("_", "-"))
    assert dashed == trial(str)
    assert dashed.training == {"batch_size": 32, "weight_decay": 0}
    with pytest.raises(UsageError, match="'batch_size' is given twice"):
        made(small | {"training": {"batch-size": 32, "batch_size": 64}})


@pytest.mark.parametrize(
    "text", ["- a", "a: [", "[" * 5000, "", "!!python/object/apply:os.system ['true']", "a: 1\na: 2"]
)
def test_a_file_that_is_no_experiment_is_refused(tmp_path, text):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"x\.yaml"):
        Experiment.from_file(path)
    with pytest.raises(UsageError, match=r"cannot read"):
        Experiment.from_file(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"labels-fraction": 2}, "above 0 and up to 1"),
        ({"label-expansion": "plr"}, "did you mean prl"),
        ({"label-expansion": "prl", "expansion-params": {"round": 1}}, "did you mean rounds"),
        ({"expansion-params": {"rounds": 1}}, "expansion_params"),
        ({"labels-fracton": 0.1}, "did you mean labels_fraction"),
    ],
)
def test_wrong_settings_of_labels_are_named_before_any_run(small, given, told):
    with pytest.raises(UsageError, match=told):
        made(small | {"methods": [{"method": "orthohash", **given}]})


@pytest.mark.parametrize(
    ("heading", "classes", "others"),
    [
        ("key", (Experiment, FeatureSettings), {"features", "backbone", "cache"}),
        ("key of a method", (Entry, SupervisionSettings), {"supervision", "pairs", "min_shared", "min_overlap"}),
    ],
)
def test_the_page_lists_all_keys_with_their_defaults(heading, classes, others):
    table = PAGE.read_text().partition(f"| {heading} | what it is | default |\n| --- | --- | --- |\n")[2]
    rows = re.findall(r"\| `(.*)` \| .* \| (.*) \|\n", table.partition("\n\n")[0] + "\n")
    listed = {key.replace("-", "_"): default for key, default in rows}
    known = {one.name: one.default for owner in classes for one in fields(owner) if one.name not in others}
    assert listed.keys() == known.keys()
    values = {key: yaml.safe_load(text.strip("`")) for key, text in listed.items() if text.startswith("`")}
    for key, value in values.items():
        assert known[key] == (tuple(value) if isinstance(value, list) else value)
    assert {key for key, text in listed.items() if text == "required"} >= {"method", "methods"} & known.keys()
    assert MISSING not in {known[key] for key in values}
