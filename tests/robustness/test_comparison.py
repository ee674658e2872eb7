"""Two reports side by side: rows of both, differences, paired tests, and reports that are no reports."""

import json
from dataclasses import replace

import numpy as np
import pytest

from kinbits.errors import ArtefactError
from kinbits.metrics import compare_many
from kinbits.robustness import RobustnessReport, RobustnessRow

FACTS = {
    "checksum": "c" * 8,
    "queries": 40,
    "database": 100,
    "bits": 16,
    "method": "hashnet",
    "backbone": "convnet-small",
    "size": 16,
    "seed": 0,
    "target": None,
    "epsilon": 8 / 255,
    "defence": None,
    "fingerprint": "f" * 64,
    "transfer": None,
    "attacks": {},
}
QUERIES = [f"query {row}" for row in range(40)]


def row(group, name, precisions, **more):
    counted = [one for one in precisions if one is not None]
    return RobustnessRow(group, name, float(np.mean(counted)), precisions=tuple(precisions), **more)


def made(seed=0, shift=0.0, names=QUERIES, **facts):
    """A report whose attacked queries got ``shift`` more than those of the report without."""
    base, noise = np.random.default_rng(0).uniform(0.3, 0.6, 40), np.random.default_rng(seed).normal(0, 0.01, (3, 40))
    rows = [
        row("clean", "clean", (base + noise[0]).tolist(), target_map=0.1),
        row("edit", "jpeg 30", (base + noise[1]).tolist(), target_map=0.1),
        row("attack", "pgd, own code", (base + noise[2] + shift).tolist(), target_map=0.2, epsilon=8 / 255),
        row("curve", "pgd, own code", (base + shift).tolist(), target_map=0.2, epsilon=4 / 255),
    ]
    return RobustnessReport("photos", {**FACTS, **facts}, rows, ["a note"], names)


def test_rows_of_both_have_differences_and_paired_tests():
    found = made().compare(made(seed=1, shift=0.2, defence={"name": "saat"}))
    names = [one.name for one in found.rows]
    assert names == ["clean", "jpeg 30", "pgd, own code", "pgd, own code, 4/255"]
    for one, first, second in zip(found.rows, made().rows, made(seed=1, shift=0.2).rows, strict=True):
        assert (one.first, one.second) == (first.map, second.map)
        assert one.difference == pytest.approx(second.map - first.map)
    p = {one.name: one.p_value for one in found.rows}
    assert p["pgd, own code"] < 0.01 < 0.05 < p["clean"]
    assert {one.paired for one in found.rows} == {40}
    gaps = [
        np.subtract(b.precisions, a.precisions) for a, b in zip(made().rows, made(seed=1, shift=0.2).rows, strict=True)
    ]
    assert list(p.values()) == pytest.approx(compare_many(np.zeros(40), -np.array(gaps)).tolist())


def test_rows_of_one_alone_are_named():
    one, other = made(), made(seed=1)
    other = replace(other, rows=[*other.rows[:1], row("attack", "hag", [0.5] * 40)])
    found = one.compare(other)
    assert [shown.name for shown in found.rows] == ["clean"]
    assert found.only_first == ["jpeg 30", "pgd, own code", "pgd, own code, 4/255"]
    assert found.only_second == ["hag"]
    assert "only B has 'hag'" in str(found)
    assert "only A has 'jpeg 30', 'pgd, own code', 'pgd, own code, 4/255'" in " ".join(str(found).split())


def test_queries_are_paired_by_name_and_those_without_an_answer_are_left_out():
    order = np.random.default_rng(3).permutation(40)
    other = made(seed=1, shift=0.2)
    rows = [replace(one, precisions=tuple(one.precisions[place] for place in order)) for one in other.rows]
    shuffled = replace(other, rows=rows, queries=[QUERIES[place] for place in order])
    assert made().compare(shuffled).rows == made().compare(other).rows
    gap = replace(made(), rows=[replace(one, precisions=(None, *one.precisions[1:])) for one in made().rows])
    assert {one.paired for one in gap.compare(other).rows} == {39}
    part = replace(
        other, queries=QUERIES[:30], rows=[replace(one, precisions=one.precisions[:30]) for one in other.rows]
    )
    assert {one.paired for one in made().compare(part).rows} == {30}


@pytest.mark.parametrize(
    ("other", "note"),
    [
        (made(checksum="d"), "the two have another split"),
        (replace(made(), queries=()), "not both keep the same queries"),
        (made(names=[f"other {row}" for row in range(40)]), "not both keep the same queries"),
    ],
)
def test_what_is_not_comparable_is_said_and_not_paired(other, note):
    found = made().compare(other)
    assert note in " ".join(str(found).split())
    assert {one.p_value for one in found.rows} == {None}
    assert " p " not in str(found)


def test_other_settings_are_said():
    found = made().compare(replace(made(seed=1), protocol="other", facts={**FACTS, "seed": 3, "epsilon": 0.1}))
    assert "the two have another data and seed" in found.notes[0]
    assert "attacks by name had another budget" in found.notes


def test_a_comparison_is_shown_in_80_columns_and_in_a_line():
    found = made().compare(made(seed=1, shift=0.2, defence={"name": "saat", "params": {}}))
    lines = str(found).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("A: photos: hashnet, 16 bits, 40 queries")
    assert lines[1].startswith("B: photos: hashnet, 16 bits, defended by saat, 40 queries")
    assert "+0.2" in str(found)
    assert "\n" not in repr(found)
    assert found["jpeg 30"].group == "edit"
    with pytest.raises(KeyError):
        found["jpg"]
    assert json.loads(json.dumps(found.to_dict()))["rows"][0]["name"] == "clean"


def test_a_saved_report_is_read_as_it_was(tmp_path):
    report = made(names=['a, "b"', "=1+1", "=1+1\nc", *QUERIES[3:]])
    report = replace(report, rows=[replace(one, precisions=(None, *one.precisions[1:])) for one in report.rows])
    paths = report.save(tmp_path / "r")
    assert [path.name for path in paths] == ["report.html", "report.json", "queries.csv"]
    again = RobustnessReport.open(tmp_path / "r")
    assert again.to_dict() == report.to_dict()
    assert list(again.queries) == list(report.queries)
    assert [one.precisions for one in again.rows] == [one.precisions for one in report.rows]
    assert str(again) == str(report)
    assert again.compare(report).rows == report.compare(again).rows


def test_a_report_of_unknown_queries_has_no_table_of_them(tmp_path):
    bare = replace(made(), queries=(), rows=[replace(one, precisions=()) for one in made().rows])
    assert [path.name for path in bare.save(tmp_path)] == ["report.html", "report.json"]
    assert RobustnessReport.open(tmp_path).compare(made()).rows[0].p_value is None


@pytest.mark.parametrize(
    ("forge", "message"),
    [
        (lambda told: None, "holds no report of robustness"),
        (lambda told: "{", "damaged report"),
        (lambda told: "[]", "damaged report"),
        (lambda told: json.dumps({**told, "rows": []}), "damaged report"),
        (lambda told: json.dumps({**told, "rows": [{"group": "clean"}]}), "damaged report"),
        (lambda told: json.dumps({**told, "rows": [{**told["rows"][0], "map": "x"}]}), "damaged report"),
        (lambda told: json.dumps({**told, "queries": None}), "damaged report"),
    ],
)
def test_what_is_no_report_is_refused(forge, message, tmp_path):
    path = made().save(tmp_path)[1]
    text = forge(json.loads(path.read_text()))
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(ArtefactError, match=message):
        RobustnessReport.open(tmp_path)


@pytest.mark.parametrize("text", ["", "query,clean\na\n", "query,clean\na,x\n", '"'])
def test_a_damaged_table_of_queries_is_refused(text, tmp_path):
    made().save(tmp_path)[2].write_text(text)
    with pytest.raises(ArtefactError, match="damaged report"):
        RobustnessReport.open(tmp_path)
