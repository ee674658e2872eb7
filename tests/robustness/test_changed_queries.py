"""The report of robustness: one evaluator before and after, resumption, and what cannot be measured."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import kinbits
from kinbits.attacks import Attack, Reference, build_attack
from kinbits.backbones import load_backbone
from kinbits.errors import ArtefactError, DataError, UsageError
from kinbits.heads import build_head
from kinbits.model import HashModel, Tower
from kinbits.robustness import changes, clean_search, knowledge, measure_robustness, victim_of

EDITS = ("jpeg 30", "mirror")


def attacks():
    return [build_attack("noise"), build_attack("pgd", steps=8), build_attack("dhta", steps=8)]


def measured(model, splits, **options):
    return measure_robustness(model, splits, **{"edits": EDITS, "attacks": attacks(), "curve": (2 / 255,), **options})


@pytest.fixture(scope="module")
def other():
    """A second model, which reads larger images."""
    torch.manual_seed(1)
    head = build_head({"name": "linear", "features": 384, "bits": 16})
    return HashModel({"image": Tower(load_backbone("convnet-small", size=24), head)}, {"name": "other"}, {})


@pytest.fixture(scope="module")
def report(fitted, splits, other):
    return measured(fitted, splits, transfer_to=other)


def numbers(report):
    """Return a report's rows without the times."""
    return [{**row.to_dict(), "seconds": None} for row in report.rows]


def test_clean_queries_are_measured_as_evaluate_measures_them(report, fitted, splits, other):
    for model, value in ((fitted, report["clean"].map), (other, report["clean"].transfer_map)):
        told = kinbits.evaluate(model, splits, baselines=False, metric_names=["map@all"])
        assert value == pytest.approx(told.rows[0].values["map@all"], abs=1e-12)


def test_a_part_of_the_queries_is_measured_as_that_part(fitted, splits):
    rows = np.sort(np.random.default_rng(3).permutation(len(splits.query))[:7])
    part = replace(splits, query=splits.query.select(rows))
    found = measured(fitted, splits, queries=7, seed=3, edits=(), attacks=())
    assert found.facts["queries"] == 7
    told = kinbits.evaluate(fitted, part, baselines=False, metric_names=["map@all"])
    assert found["clean"].map == pytest.approx(told.rows[0].values["map@all"], abs=1e-12)


def test_aimed_changes_do_more_than_noise(report):
    noise, pgd, dhta = (report[name] for name in ("noise", "pgd (steps=8)", "dhta (steps=8)"))
    assert report["clean"].map >= noise.map > pgd.map + 0.1
    assert report["anchor code"].target_map >= dhta.target_map > report["clean"].target_map + 0.1
    assert report["opposite code"].map <= pgd.map


def test_images_are_bytes_within_the_budget(report):
    for row in report.group("attack", "curve"):
        assert 255 * row.linf == pytest.approx(round(255 * row.linf), abs=1e-4)
        assert 0 < row.linf <= row.epsilon + 1e-6
        assert 0 < row.ssim < 1
        assert row.seconds > 0


def test_curves_begin_at_the_clean_queries_and_hold_all_budgets(report):
    curves = report.curves()
    assert set(curves) == {"noise", "pgd (steps=8)"}
    budgets, values = zip(*curves["pgd (steps=8)"], strict=True)
    assert budgets == pytest.approx((0, 2 / 255, 8 / 255))
    assert (values[0], values[-1]) == (report["clean"].map, report["pgd (steps=8)"].map)


def test_the_example_is_the_query_that_lost_most(report):
    shown = report["pgd (steps=8)"].example
    assert shown.before.name == shown.after.name
    assert shown.before.score > shown.after.score
    assert shown.factor == 127 // 6  # 8 steps of a tenth of 8 levels
    assert all(picture.startswith("data:image/") for picture in (shown.after.picture, shown.difference))


def test_a_budget_of_zero_changes_nothing(fitted, splits):
    found = measured(fitted, splits, edits=(), attacks=[build_attack("pgd", epsilon=0.0, step_size=0.1, steps=2)])
    row = found.group("attack")[0]
    assert (row.map, row.linf) == (found["clean"].map, 0)


def test_an_interrupted_run_goes_on_to_the_same_table(fitted, splits, report, tmp_path, monkeypatch, other):
    settings = {"transfer_to": other, "folder": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        measured(fitted, splits, **settings, edits=(*EDITS, "grey"), attacks=[Interrupted()])
    lines = []
    found = measured(fitted, splits, **settings, resume=True, tell=lines.append)
    assert numbers(found) == numbers(report)
    assert lines[0].startswith("3 of 10 rows are done; 7 to measure, ")
    again = measured(fitted, splits, **settings, resume=True, tell=lines.append)
    assert len(lines) == 1  # nothing is left
    assert again.to_dict() == found.to_dict()
    assert [row.example for row in again.rows] == [row.example for row in found.rows]


class Interrupted(Attack):
    """An attack in whose middle a person interrupts the run."""

    name = "interrupted"

    def perturb(self, batch):
        raise KeyboardInterrupt


def test_rows_of_another_run_are_refused(fitted, splits, other, tmp_path):
    settings = {"folder": tmp_path, "edits": ("mirror",), "attacks": ()}
    measured(fitted, splits, **settings)
    for options, named in (({"seed": 1}, "seed"), ({"queries": 5}, "number of queries")):
        with pytest.raises(UsageError, match=f"begun with another {named}; give the same, another folder"):
            measured(fitted, splits, **settings, **options, resume=True)
    with pytest.raises(UsageError, match="begun with another model"):
        measured(other, splits, **settings, resume=True)
    (tmp_path / "rows.json").write_text('{"identity": {}}')
    with pytest.raises(ArtefactError, match="is damaged"):
        measured(fitted, splits, **settings, resume=True)
    assert measured(fitted, splits, **settings, seed=1, force=True).facts["seed"] == 1


def test_a_report_is_not_overwritten_unasked(fitted, splits, tmp_path):
    few = {"edits": (), "attacks": (), "folder": tmp_path, "queries": 5}
    first = measure_robustness(fitted, splits, **few)
    with pytest.raises(UsageError, match="holds a report; resume it"):
        measure_robustness(fitted, splits, **few)
    assert numbers(measure_robustness(fitted, splits, **few, force=True)) == numbers(first)
    assert any("5 queries are few" in note for note in first.notes)


def test_classes_that_training_or_database_lack_stop_no_report(fitted, splits):
    names = splits.train.label_space.names
    labels = splits.train.labels
    red, rest = labels == names.index("red"), splits.database.labels != names.index("red")
    others = replace(
        splits,
        train=splits.train.select(np.flatnonzero(red)),
        query=splits.query.select(np.flatnonzero(splits.query.labels != names.index("red"))),
        database=splits.database.select(np.flatnonzero(rest)),
    )
    report = measure_robustness(fitted, others, edits=("mirror",), attacks=("noise",), curve=())
    assert {row.target_map for row in report.rows} == {None}
    with pytest.raises(UsageError, match="none has target label 'red'"):
        measure_robustness(fitted, others, edits=(), attacks=(), target="red")


def test_attacks_of_one_name_are_told_apart(fitted, splits):
    twice = [
        build_attack("noise", epsilon=0.01),
        build_attack("noise", epsilon=0.02),
        build_attack("noise", epsilon=0.02),
    ]
    report = measure_robustness(fitted, splits, edits=(), attacks=twice, curve=())
    assert [row.name for row in report.group("attack")] == ["noise, epsilon 0.01", "noise, epsilon 0.02"]


@pytest.mark.parametrize(
    "forge",
    [
        lambda rows: rows | {"identity": "x"},
        lambda rows: rows | {"done": [one | {"rows": []} for one in rows["done"]]},
        lambda rows: rows | {"done": [forged(rows["done"][0], map="x")]},
        lambda rows: rows | {"done": [forged(rows["done"][0], group="zzz")]},
        lambda rows: rows | {"done": [forged(rows["done"][1], difference="https://a.b/x.png")]},
    ],
)
def test_forged_rows_are_refused(forge, fitted, splits, tmp_path):
    few = {"edits": ("mirror",), "attacks": (), "folder": tmp_path, "queries": 5}
    measure_robustness(fitted, splits, **few)
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(forge(json.loads(path.read_text()))))
    with pytest.raises((ArtefactError, UsageError), match=r"damaged|begun with another"):
        measure_robustness(fitted, splits, **few, resume=True)


def forged(done, **values):
    (row,) = done["rows"]
    if "difference" in values:
        return done | {"rows": [row | {"example": row["example"] | values}]}
    return done | {"rows": [row | values]}


def test_a_prototype_is_a_bound_near_the_middle_of_its_label(report):
    names = [row.name for row in report.group("bound")]
    assert names == ["opposite code", "mainstay code", "anchor code", "prototype code"]
    prototype, mainstay, clean = (report[name] for name in ("prototype code", "mainstay code", "clean"))
    assert prototype.target_map > clean.target_map + 0.3
    assert prototype.target_map > mainstay.target_map - 0.05
    assert prototype.map < clean.map - 0.3


def test_a_report_of_edits_trains_no_prototypes(fitted, splits):
    found = measured(fitted, splits, edits=(), attacks=(), targeted=False)
    assert [row.name for row in found.group("bound")] == ["opposite code", "mainstay code", "anchor code"]


def test_the_first_hits_are_measured_by_the_metric_of_that_name(fitted, splits, monkeypatch):
    for module in (clean_search, knowledge, changes):
        monkeypatch.setattr(module, "FIRST", "map@10")
    found = measured(fitted, splits, edits=(), attacks=())
    told = kinbits.evaluate(fitted, splits, baselines=False, metric_names=["map@10"])
    assert found["clean"].map_5000 == pytest.approx(told.rows[0].values["map@10"], abs=1e-12)
    assert found["clean"].map_5000 != found["clean"].map or found["clean"].map == 1
    assert found["opposite code"].map_5000 != found["opposite code"].map
    assert found["opposite code"].target_map_5000 != found["opposite code"].target_map


@pytest.mark.parametrize("batch", [1, 32])
def test_the_size_of_batches_changes_no_row(batch, fitted, splits, monkeypatch):
    few = {
        "edits": (),
        "attacks": ["noise", "p2p", build_attack("dhta", steps=2)],
        "params": {"p2p.steps": 2},
        "curve": (),
    }
    whole = measured(fitted, splits, **few)
    monkeypatch.setattr(changes, "BATCH", batch)
    found = measured(fitted, splits, **few)
    assert numbers(found)[:2] == numbers(whole)[:2]  # clean and noise
    for one, other in zip(found.group("attack")[1:], whole.group("attack")[1:], strict=True):
        assert (one.map, one.target_map) == (other.map, other.target_map)
        assert one.rmse == pytest.approx(other.rmse, rel=1e-3)  # convolutions round by the size of a batch


def test_one_target_label_for_all_queries(fitted, splits):
    found = measured(fitted, splits, edits=(), target="green", attacks=[build_attack("noise")])
    aimed = splits.query.labels != splits.label_space.names.index("green")
    assert found.facts["targets"] == int(aimed.sum())
    assert any("share a class with every target" in note for note in found.notes)
    with pytest.raises(UsageError, match="unknown target label 'grene'; did you mean green"):
        measured(fitted, splits, target="grene")


def test_a_trained_attack_is_given_as_its_folder(fitted, splits, other, tmp_path):
    victim = victim_of(fitted)
    codes = fitted.encode(splits.train)
    known = Reference.from_codes(codes, splits.train, fitted.bits)
    attack = build_attack("tha", steps=4, prototype_steps=20)
    attack.train(victim, np.zeros((len(codes), 3, 16, 16), np.uint8), known.labels, known)
    attack.save(tmp_path / "mine")
    found = measured(fitted, splits, edits=(), attacks=[tmp_path / "mine"])
    assert found["tha (mine)"].target_map > 0
    assert found.facts["attacks"]["tha (mine)"]["weights"]
    with pytest.raises(UsageError, match=r"was trained for .*train it again"):
        measured(other, splits, edits=(), attacks=[tmp_path / "mine"])


def test_what_cannot_be_measured_is_refused_in_one_line(fitted, splits):
    with pytest.raises(UsageError, match=r"unknown attack 'pdg'.*did you mean pgd"):
        measured(fitted, splits, attacks=["pdg"])
    with pytest.raises(UsageError, match="'tha' learns a network first"):
        measured(fitted, splits, attacks=["tha"])
    with pytest.raises(UsageError, match="unknown edit"):
        measured(fitted, splits, edits=["jpg 30"])
    with pytest.raises(UsageError, match="queries is 0"):
        measured(fitted, splits, queries=0)
    bare = replace(splits, **{part: unlabelled(getattr(splits, part)) for part in ("train", "query", "database")})
    with pytest.raises(DataError, match="no labels"):
        measured(fitted, bare, attacks=["noise"])


def unlabelled(dataset):
    return replace(dataset, labels=None, label_space=None)


def test_a_model_without_gradients_is_measured_on_edits_alone(fitted, splits):
    class Compiled(type(fitted.tower().backbone)):
        def forward(self, x):
            return super().forward(x).detach()

    backbone = load_backbone("convnet-small", size=16)
    backbone.__class__ = Compiled
    model = HashModel({"image": Tower(backbone, fitted.tower().head)}, {"name": "compiled"}, {})
    with pytest.raises(UsageError, match="no gradient reaches the pixels through backbone 'convnet-small'; attack one"):
        measured(model, splits)
    assert [row.group for row in measured(model, splits, attacks=()).rows[:3]] == ["clean", "edit", "edit"]


def test_vectors_are_refused(splits):
    vectors = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    with pytest.raises(UsageError, match="attacks change pixels, and this model reads vectors; take a model of images"):
        measured(kinbits.fit(vectors, method="itq", bits=8, progress=False), splits)


def test_without_labels_in_training_the_database_is_known(fitted, splits):
    part = replace(splits, train=splits.train.select(np.arange(0)))
    assert measured(fitted, part, edits=(), attacks=())["mainstay code"].target_map > 0
