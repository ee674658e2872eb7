"""The hash of a run covers what makes its numbers: values however they are given, recipes, versions, named files."""

from dataclasses import replace

import numpy as np
import pytest
from user_method import CHANGED, OWN

from kinbits.bench import config_of, identity
from kinbits.fitting import FitSettings
from kinbits.labelling import get_expansion
from kinbits.methods import get_method


def config(method="hashnet", **options):
    return config_of(FitSettings(method, 16).with_options(cache=None, **options), protocol="p")


def test_a_value_counts_however_it_is_given(monkeypatch):
    default = config("orthohash", params={})
    assert config("orthohash", params={"scale": get_method("orthohash").__init__.__kwdefaults__["scale"]}) == default
    recipe = replace(get_method("hashnet").recipe, min_steps=0)  # else epochs that are given replace the steps
    monkeypatch.setattr(get_method("hashnet"), "recipe", recipe)
    assert config(epochs=recipe.epochs, lr=recipe.lr, clip=None) == config()
    assert config(weight_decay=0) == config(weight_decay=0.0)
    assert config("dmuh", params={"weights": "none"}) != config("dmuh")


@pytest.mark.parametrize(
    "changed",
    [
        {"epochs": 3},
        {"lr": 0.5},
        {"seed": 1},
        {"bits": 32},
        {"backbone": "convnet-small"},
        {"image_size": 96},
        {"finetune": False},
        {"views": 2},
        {"labels_fraction": 0.5},
        {"label_expansion": "prl"},
        {"label_expansion": "prl", "expansion_params": {"rounds": 2}},
        {"validation": 0.1},
        {"pretrain": "barlow-twins"},
        {"pretrain": "barlow-twins", "pretrain_epochs": 3},
    ],
)
def test_whatever_changes_numbers_changes_the_hash(changed):
    assert config(**changed) != config()
    assert config_of(FitSettings("hashnet", 16), protocol="other") != config()


@pytest.mark.parametrize(
    "changed", [{"progress": False}, {"devices": 2}, {"accelerator": "cpu"}, {"checkpoints": "folder"}]
)
def test_what_changes_no_number_does_not_count(changed):
    assert config(**changed) == config()


def test_a_default_or_a_recipe_that_changes_makes_rows_stale(monkeypatch):
    before, overridden = config(), config(epochs=7)
    hashnet = get_method("hashnet")
    monkeypatch.setattr(hashnet, "recipe", replace(hashnet.recipe, epochs=7, min_steps=0))
    assert config() == overridden != before
    assert config(epochs=7) == overridden
    monkeypatch.setitem(get_method("orthohash").__init__.__kwdefaults__, "scale", 3.0)
    assert config("orthohash") == config("orthohash", params={"scale": 3})


@pytest.mark.parametrize(
    ("raised", "options"),
    [
        ("hashnet", {}),
        ("barlow-twins", {"pretrain": "barlow-twins"}),
        ("dpsh", {"method": "nmlayer", "params": {"base": "dpsh"}}),
        ("hashnet", {"method": "nmlayer"}),
    ],
)
def test_a_version_that_is_raised_makes_rows_stale_also_inside_and_before_a_method(raised, options, monkeypatch):
    before, other = config(**options), config("csq")
    monkeypatch.setattr(get_method(raised), "version", 2)
    assert config(**options) != before
    assert config("csq") == other


def test_versions_of_label_expansions_and_of_all_that_is_shared_count(monkeypatch):
    options = {"label_expansion": "prl"}
    before, other = config(**options), config()
    monkeypatch.setattr(get_expansion("prl"), "version", 2)
    assert config(**options) != before
    assert config() == other
    monkeypatch.setattr(identity, "SHARED_VERSION", 2)
    assert config() != other


def test_a_file_that_a_hyper_parameter_names_counts_by_its_contents(tmp_path):
    found = []
    for name, value in (("a", 0.0), ("b", 0.0), ("a", 1.0)):
        np.save(tmp_path / f"{name}.npy", np.full((2, 2), value))
        found.append(config("shrewd", params={"embeddings": str(tmp_path / f"{name}.npy")}))
    assert found[0] == found[1] != found[2]


def test_the_code_of_a_users_own_file_counts_without_its_comments_and_its_path(tmp_path):
    def written(text, name="one.py"):
        (tmp_path / name).write_text(text)
        return config(str(tmp_path / name))

    assert written(OWN) == written(OWN.replace("a pull", "another comment")) == written(OWN, "two.py")
    assert written(CHANGED) != written(OWN)


def test_the_hash_stays_the_same_between_releases():
    """Rows of results are found by it: whoever changes how it is made has to make all rows anew."""
    assert identity.digest({"a": [1.0, None, "x"], "b": {"c": None, "d": True}}) == "6ee273e5a4e6"
