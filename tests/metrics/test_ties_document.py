"""docs/ties.md says what results/ties.csv holds."""

import importlib
from pathlib import Path

import pytest

from kinbits.metrics import legacy_definitions

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "experiments")
        return importlib.import_module("ties")


def test_the_document_is_made_from_the_measured_numbers(script):
    assert script.DOC.read_text() == script.document(script.read()), "run experiments/ties.py"


def test_another_number_makes_the_document_stale(script):
    rows = [dict(row) for row in script.read()]
    rows[0]["value"] = "0.123456"
    assert script.DOC.read_text() != script.document(rows)


def test_every_definition_has_been_measured_on_every_model(script):
    measured = {(row["method"], row["bits"], row["definition"]) for row in script.read()}
    for method, bits in script.MODELS:
        for definition in legacy_definitions():
            assert (method, str(bits), definition.name) in measured, "run experiments/ties.py"


def test_the_measured_expectation_lies_between_its_bounds_and_meets_the_shuffles(script):
    values = script.Values(script.read())
    for model in values.models:
        expected, worst, best = (values.number(model, name, "map@all") for name in ("expected", "worst", "best"))
        shuffled = values.row(model, "random", "map@all")
        assert worst < expected < best
        assert abs(expected - float(shuffled["value"])) < 4 * float(shuffled["spread"]) / script.SHUFFLES**0.5
