"""Parameters of the attacks of a report: of all that have them or of one, in names, and in what is kept."""

import json

import pytest

from kinbits.attacks import build_attack
from kinbits.errors import PlatformError, UsageError
from kinbits.robustness import attacks_with, measure_robustness
from kinbits.robustness.named_attacks import attacks_of, params_of_attacks

FEW = {"edits": (), "curve": (), "queries": 6}


def made(given, **options):
    found = attacks_of(given, **{"labelled": True, "epsilon": 0.1, "params": {}, **options})
    return {one.name: one.attack for one in found}


def test_a_parameter_is_of_all_attacks_that_have_it_or_of_one():
    found = made(["noise", "pgd", "dhta"], params={"steps": 9, "dhta.steps": 3, "dhta.images": 5, "pgd.epsilon": 0.25})
    assert list(found) == [
        "noise",
        "pgd, own code (steps=9, epsilon=0.25)",
        "pgd, mainstay code (steps=9, epsilon=0.25)",
        "dhta (steps=3, images=5)",
    ]
    noise, own, mainstay, dhta = found.values()
    assert (own.steps, mainstay.steps, mainstay.code) == (9, 9, "mainstay")
    assert (dhta.steps, dhta.images) == (3, 5)
    assert (noise.epsilon, own.epsilon, dhta.epsilon) == (0.1, 0.25, 0.1)


def test_one_attack_wins_over_all_in_any_order():
    for params in ({"steps": 9, "dhta.steps": 3}, {"dhta.steps": 3, "steps": 9}):
        assert params_of_attacks(params, ["pgd", "dhta"]) == {"pgd": {"steps": 9}, "dhta": {"steps": 3}}


def test_a_given_code_is_the_only_one():
    assert list(made(["pgd"], params={"pgd.code": "mainstay"})) == ["pgd (code=mainstay)"]


def test_attacks_that_are_made_already_take_no_parameters():
    assert made([build_attack("hag", steps=2), "pgd"], params={"steps": 9})["hag (steps=2)"].steps == 2
    with pytest.raises(UsageError, match=r"unknown attack 'hag' of parameter 'hag.steps'; known: \(none\)"):
        made([build_attack("hag", steps=2)], params={"hag.steps": 9})


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("stepz", r"unknown parameter 'stepz' of noise, pgd; did you mean steps"),
        ("images", "unknown parameter 'images' of noise, pgd; known: code, form"),
        ("dhta.images", r"unknown attack 'dhta' of parameter 'dhta.images'; known: noise, pgd"),
        ("noise.steps", "unknown parameter 'steps' of noise; known: epsilon"),
        ("epsilon", r"epsilon is the budget of all attacks, and no parameter; name an attack: pgd\.epsilon"),
    ],
)
def test_a_parameter_of_no_attack_is_refused(key, message):
    with pytest.raises(UsageError, match=message):
        attacks_with(key, ["noise", "pgd"])
    with pytest.raises(UsageError, match=message):
        made(["noise", "pgd"], params={key: 1})


@pytest.mark.parametrize(
    ("params", "message"), [({"steps": "many"}, "give a whole number"), ({"steps": 0}, "steps is 0")]
)
def test_impossible_values_are_refused(params, message):
    with pytest.raises(UsageError, match=message):
        made(["pgd"], params=params)


def test_other_parameters_are_measured_again_and_recorded(fitted, splits, tmp_path):
    lines = []
    few = {**FEW, "attacks": ["noise", "pgd"], "folder": tmp_path, "tell": lines.append}
    first = measure_robustness(fitted, splits, **few, params={"steps": 1})
    second = measure_robustness(fitted, splits, **few, params={"steps": 12, "pgd.code": "own"}, resume=True)
    assert lines[1].startswith("4 of 5 rows are done; 1 to measure")  # clean, noise and the bounds are the same
    assert second["pgd (steps=12, code=own)"].map < first["pgd, own code (steps=1)"].map
    assert second.facts["attacks"]["pgd (steps=12, code=own)"]["params"] == {
        "epsilon": 8 / 255,
        "steps": 12,
        "code": "own",
    }
    again = measure_robustness(fitted, splits, **few, params={"steps": 1}, resume=True)
    assert len(lines) == 2  # both are kept
    assert again.to_dict() == first.to_dict()


def test_curves_keep_the_parameters(fitted, splits):
    options = {**FEW, "attacks": ["pgd"], "params": {"pgd.steps": 2, "pgd.code": "own"}, "curve": (0.3,)}
    found = measure_robustness(fitted, splits, **options)
    (row,) = found.group("curve")
    assert (row.name, row.epsilon) == ("pgd (steps=2, code=own)", 0.3)
    assert row.linf <= 2 * 0.03 + 1 / 255  # two steps of a tenth of the budget


def test_two_runs_measure_into_one_folder_one_after_the_other(fitted, splits, tmp_path):
    few = {**FEW, "attacks": (), "folder": tmp_path}
    refused = []

    def begin_another(line):
        with pytest.raises(
            PlatformError, match=r"process \d+ is writing .*rows\.json; wait until it ends, or choose"
        ) as e:
            measure_robustness(fitted, splits, **few, force=True)
        refused.append(str(e.value))

    report = measure_robustness(fitted, splits, **few, tell=begin_another)
    assert len(refused) == 1
    assert "\n" not in refused[0]
    assert len(json.loads((tmp_path / "rows.json").read_text())["done"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["rows.json"]
    assert measure_robustness(fitted, splits, **few, resume=True).to_dict() == report.to_dict()
