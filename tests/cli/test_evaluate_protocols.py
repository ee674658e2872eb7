"""kinbits evaluate: what a protocol measures, without being asked for it."""

import json
from pathlib import Path

import numpy as np
import pytest

import kinbits
from kinbits.data import GroundTruth, Protocol, SplitRows, register_protocol, unregister_protocol


@pytest.fixture
def landmarks(vectors):
    """A protocol with graded answers and no training part."""
    data = kinbits.open_dataset(vectors)
    rows = np.arange(len(data))
    truth = GroundTruth.from_rows([[1, 5], [2]], [[3], []], [[0], [4]], database=len(data) - 2)
    definition = Protocol(
        "toy-landmarks", 1, "", train=0, query=2, database=len(data) - 2, metrics=("map-revisited", "precision@5")
    )
    parts = SplitRows(rows[:0], rows[:2], rows[2:], truth)
    register_protocol(definition)(lambda folder, seed: (data, parts))
    yield definition.name
    unregister_protocol(definition.name)


def test_a_protocols_own_metrics_are_printed_the_published_one_first(run, model, landmarks):
    out = run("evaluate", model, landmarks).out
    assert "toy-landmarks (medium): 2 queries" in out
    assert max(map(len, out.splitlines())) <= 80
    values = json.loads(run("evaluate", model, landmarks, "--json").out)["rows"][0]["values"]
    assert list(values) == ["map-revisited", "precision@5"]
    asked = json.loads(run("evaluate", model, landmarks, "--metric", "mrr", "--json").out)["rows"][0]["values"]
    assert list(asked) == ["mrr"]


def test_difficulties_are_measured_and_remembered_apart(run, model, landmarks):
    found = {
        level: json.loads(run("evaluate", model, landmarks, "--difficulty", level, "--json").out)
        for level in ("easy", "hard")
    }
    assert {level: told["difficulty"] for level, told in found.items()} == {"easy": "easy", "hard": "hard"}
    kept = json.loads((Path(model) / "metrics.json").read_text())
    for level, told in found.items():
        assert kept[f"toy-landmarks ({level})"] == told["rows"][0]["values"]
    assert found["easy"]["rows"][0]["values"] != found["hard"]["rows"][0]["values"]
    assert found["hard"]["rows"][0]["excluded"] == 1


def test_a_difficulty_that_does_not_exist_is_refused(run, model, landmarks):
    ended = run("evaluate", model, landmarks, "--difficulty", "extreme")
    assert (ended.code, ended.error) == (2, "error: unknown difficulty 'extreme'; known: easy, hard, medium")
    ended = run("evaluate", model, "vectors.npz", "--difficulty", "hard")
    assert ended.code == 2
    assert "the answers of folder are not graded" in ended.error


def warned(run, *arguments):
    ended = run("evaluate", *arguments, "--no-baselines", "--metric", "map@all")
    assert ended.code == 0, ended.err
    return [line for line in ended.err.splitlines() if line.startswith("warning:")]


def test_a_model_that_was_trained_on_the_queries_is_named_and_keeps_no_numbers(run, model, vectors):
    fit = ("fit", "folder:vectors.npz", "-o", "part", "--method", "orthohash", "--bits", "16", "--epochs", "1")
    assert run(*fit).code == 0
    for data in ("vectors.npz", "folder:vectors.npz"):
        assert warned(run, "part", data) == []
        (shown,) = warned(run, model, data)
        assert shown.startswith("warning: orthohash was trained on all of vectors, the queries among them")
    assert "folder" in json.loads((Path("part") / "metrics.json").read_text())
    assert json.loads((Path(model) / "metrics.json").read_text()) == {}
    (shown,) = warned(run, "part", "folder:vectors.npz", "--compare", model)
    assert shown.startswith("warning: orthohash, 16 bits (model 2) was trained on all of vectors,")


def test_numbers_of_a_model_that_saw_the_queries_are_not_kept(run, model, vectors):
    ended = run("evaluate", model, "folder:vectors.npz", "--no-baselines", "--metric", "map@all")
    assert f"{model} does not store these numbers" in ended.err
