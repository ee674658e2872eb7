"""The options of fit: written once, given by name or in one object, and the same everywhere."""

import runpy
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from kinbits import UsageError
from kinbits._util import options_of
from kinbits.fitting import FeatureSettings, FitSettings, SupervisionSettings
from kinbits.fitting.options import FitOptions
from kinbits.training import TrainingSettings

ROOT = Path(__file__).parent.parent.parent


def test_keyword_arguments_and_the_docs_follow_from_the_settings():
    script = runpy.run_path(str(ROOT / "experiments" / "fill_options.py"))
    advice = "run experiments/fill_options.py"
    assert script["STUB"].read_text() == script["stub"](), advice
    for path in script["PAGES"]:
        assert path.read_text() == script["page"](path), advice


def test_every_option_has_one_name_and_a_help_that_says_what_no_value_means():
    options = list(options_of(FitSettings))
    names = [option.name for option in options]
    assert len(set(names)) == len(names)
    assert set(names) == set(FitOptions.__annotations__)
    for option in options:
        assert option.help.endswith("."), option.name
        assert ("Default: " in option.help) == (option.default in (None, {})), option.name


def test_options_by_name_go_into_the_part_that_holds_them():
    settings = FitSettings(bits=32).with_options(epochs=5, backbone="convnet-small", labels_fraction=0.5)
    assert (settings.bits, settings.training.epochs, settings.features.backbone) == (32, 5, "convnet-small")
    assert settings.with_options(epochs=7).supervision.labels_fraction == 0.5
    with pytest.raises(FrozenInstanceError):
        settings.bits = 8


@pytest.mark.parametrize(
    ("settings", "given", "said"),
    [
        (FitSettings, {"bits": 3}, "bits is 3; it must be at least 4"),
        (FitSettings, {"bits": True}, "bits is True; give a whole number"),
        (FeatureSettings, {"image_size": 0}, "image_size is 0; it must be at least 1"),
        (FeatureSettings, {"finetune": "yes"}, "finetune is 'yes'; give true or false"),
        (SupervisionSettings, {"labels_fraction": 0}, "labels_fraction is 0; it must be above 0 and up to 1"),
        (SupervisionSettings, {"min_overlap": 0.2}, "min_overlap .* no pairs are given"),
        (TrainingSettings, {"lr": 0.0}, "lr is 0.0; it must be above 0"),
        (TrainingSettings, {"lr": float("nan")}, "lr is nan; it must be above 0"),
        (TrainingSettings, {"validation": 0.6}, "validation is 0.6; it must be from 0 to 0.5"),
        (TrainingSettings, {"seed": -1}, "seed is -1; it must be from 0 to 4294967295"),
    ],
)
def test_a_value_out_of_range_is_refused_with_what_is_allowed(settings, given, said):
    with pytest.raises(UsageError, match=said):
        settings(**given)
