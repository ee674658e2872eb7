"""kinbits evaluate: what a protocol measures, without being asked for it."""

import json
from pathlib import Path

import numpy as np
import pytest

import kinbits
from kinbits.data import GroundTruth, SplitRows, Protocol
from kinbits.data.protocols.registry import REGISTRY


@pytest.fixture
def landmarks(vectors, monkeypatch):
    """A protocol with graded answers and no training part."""
    data = kinbits.open_dataset(vectors)
    rows = np.arange(len(data))
    truth = GroundTruth.of([[1, 5], [2]], [[3], []], [[0], [4]], database=len(data) - 2)
    definition = Protocol(
        "toy-landmarks", 1, "", train=0, query=2, database=len(data) - 2, metrics=("map-revisited", "precision@5")
    )
    parts = SplitRows(rows[:0], rows[:2], rows[2:], truth)
    monkeypatch.setitem(REGISTRY, definition.name, (definition, lambda folder, seed: (data, parts)))
    return definition.name


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


def test_whoever_learned_from_the_queries_is_named(run, model, vectors):
    assert run("fit", "folder:vectors.npz", "-o", "part", "--bits", "16", "--epochs", "1").code == 0
    for data in ("vectors.npz", "folder:vectors.npz"):
        assert warned(run, "part", data) == []
        (told,) = warned(run, model, data)
        assert told.startswith("warning: model was trained on all of vectors.npz, the queries among them")
        assert "fit on folder:vectors.npz" in told
        assert warned(run, "part", data, "--beside", model) == [told]
    assert run("fit", "folder:vectors.npz:query", "-o", "worse", "--bits", "4", "--method", "itq").code == 0
    assert "was trained on the queries" in warned(run, "worse", "folder:vectors.npz")[0]
    (told,) = warned(run, "part", "folder:vectors.npz", "--seed", "1")
    assert "the training part of seed 0, which holds queries of seed 1" in told


def test_records_of_older_models_are_compared_too(run, model, vectors):
    path = Path(model) / "training.json"
    record = json.loads(path.read_text())
    del record["images_fingerprint"]
    path.write_text(json.dumps(record))
    assert len(warned(run, model, "folder:vectors.npz")) == 1
