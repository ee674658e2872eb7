"""Operating points in a model: kept by protocol, shown, found again, and dropped in time."""

import json

import numpy as np
import pytest

import kinbits
from kinbits import UsageError
from kinbits.data import split_folder
from kinbits.model import append_metrics, with_measured
from kinbits.model.operating_points import stored_radius

WIDTH = 16


def known(**radii):
    return {
        name: {"mrr": 0.5, "operating_points": {"precision=0.9": {"radius": radius}}} for name, radius in radii.items()
    }


@pytest.fixture(scope="module")
def evaluated():
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 4
    vectors = rng.normal(size=(4, WIDTH))[labels] + 0.7 * rng.normal(size=(200, WIDTH))
    data = split_folder(kinbits.open_dataset(vectors.astype(np.float32), labels=labels), seed=0)
    model = kinbits.fit(data.train, bits=16, method="itq", progress=False, cache=None)
    at = ["precision=0.8", "recall=0.5"]
    return model, kinbits.evaluate(model, data, metric_names=["mrr"], baselines=False, at=at)


def test_a_model_remembers_its_operating_points_on_disk_and_shows_them(evaluated, tmp_path):
    model, report = evaluated
    one, two = report.rows[0].operating_points
    folder = model.save_pretrained(tmp_path / "m")
    report.record(folder)
    report.record(model)
    loaded = kinbits.HashModel.from_pretrained(folder)
    assert loaded.metrics == json.loads(json.dumps(model.metrics))
    for found in (model, loaded):
        assert found.radius("precision=0.80") == one.radius
        assert found.radius("recall=.5", "folder") == two.radius
    saved = (loaded.save_pretrained(tmp_path / "again") / "README.md").read_text()
    card = (folder / "README.md").read_text()
    assert card == saved  # recording updates the card of the folder, as saving anew does
    assert f"| folder | precision=0.8 | {one.radius} | {one.precision:.4f} | {one.recall:.4f} |" in card
    assert f"| folder | mrr | {report.rows[0].values['mrr']:.4f} |" in card


def test_a_card_keeps_the_sections_that_people_wrote(tmp_path):
    card = "# M\n\n{}## Ours\n\nmine\n\n{}## Limits\n\nnone\n"
    (tmp_path / "README.md").write_text(card.format("## Measured\n\nold\n\n", ""))
    for value in (0.5, 0.25):
        append_metrics(tmp_path, "a", {"mrr": value})
    table = "## Measured\n\n| protocol | metric | value |\n| --- | --- | --- |\n| a | mrr | 0.2500 |\n\n"
    assert (tmp_path / "README.md").read_text() == card.format("", table)


def test_the_radius_holds_in_a_search(evaluated):
    """What an index finds within the radius is what the evaluation counted."""
    model, report = evaluated
    report.record(model)
    data = np.random.default_rng(1).normal(size=(50, WIDTH)).astype(np.float32)
    index = kinbits.Index.create(model=model).add(data)
    radius = model.radius("recall=0.5")
    near = kinbits.hamming.distances(model.encode(data[:1]), model.encode(data))[0]
    assert len(index.search(data[0], radius=radius)) == int((near <= radius).sum())


def test_a_calibrated_model_has_no_radius_of_before(evaluated):
    model, report = evaluated
    report.record(model)
    model.calibrate(np.random.default_rng(0).normal(size=(20, WIDTH)).astype(np.float32))
    with pytest.raises(UsageError, match=r"no operating point recall=0\.5; it has: none"):
        model.radius("recall=0.5")


def test_newer_numbers_replace_their_like_and_leave_the_others(tmp_path):
    (tmp_path / "metrics.json").write_text("{}")
    point = {"radius": 3}
    append_metrics(tmp_path, "a", {"mrr": 0.5, "operating_points": {"recall=0.9": point}})
    append_metrics(tmp_path, "a", {"map@all": 0.25})
    append_metrics(tmp_path, "a", {"mrr": 0.75, "operating_points": {"precision=0.9": point}})
    append_metrics(tmp_path, "b", {"mrr": 0.5})
    assert json.loads((tmp_path / "metrics.json").read_text()) == {
        "a": {"mrr": 0.75, "operating_points": {"recall=0.9": point, "precision=0.9": point}, "map@all": 0.25},
        "b": {"mrr": 0.5},
    }
    assert with_measured({}, "b", {"mrr": 0.5}) == {"b": {"mrr": 0.5}}


def test_protocols_that_agree_need_no_name_and_others_do():
    assert stored_radius(known(a=4, b=4), "precision=0.9", None) == 4
    assert stored_radius(known(a=4, b=5), "precision=0.9", "b") == 5
    with pytest.raises(UsageError, match=r"depends on the protocol: 4 on a, 5 on b; name the protocol"):
        stored_radius(known(a=4, b=5), "precision=0.9", None)


@pytest.mark.parametrize(
    ("metrics", "target", "told"),
    [
        ({}, "precision=0.9", r"no operating point precision=0\.9; it has: none\. Evaluate it at precision=0\.9 first"),
        (known(a=4), "precision=0.8", r"no operating point precision=0\.8; it has: precision=0\.9 on a\."),
        (known(a=None), "precision=0.9", r"no radius reaches precision=0\.9 on a; choose a lower target"),
        ({"a": {"operating_points": [3]}}, "precision=0.9", "it has: none"),
        (known(a=4), "0.9", "cannot be read"),
    ],
)
def test_a_radius_that_is_not_there_says_what_is(metrics, target, told):
    with pytest.raises(UsageError, match=told):
        stored_radius(metrics, target, None)
