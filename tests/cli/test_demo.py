"""The demo, on a small part of its data."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import kinbits.data
from kinbits.cli import demo


@pytest.fixture
def small_protocol(monkeypatch):
    """Three classes, a few images each, in place of Fashion-MNIST."""
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    pixels = rng.integers(0, 90, (90, 28, 28), dtype=np.uint8)
    for row, label in enumerate(labels):
        pixels[row, 8 * label : 8 * label + 8] += 150
    data = kinbits.open_dataset(pixels, labels=[f"kind {label}" for label in labels])
    splits = kinbits.data.split_folder(data, query=3, train=0.4)
    splits = replace(splits, protocol=replace(splits.protocol, name="small"))
    monkeypatch.setattr("kinbits.data.load_protocol", lambda name: splits)
    monkeypatch.setattr(demo, "DATABASE", 40)
    monkeypatch.setattr(demo, "BITS", 16)


@pytest.mark.slow
def test_the_demo_writes_everything_and_can_run_again(run, small_protocol):
    for _ in range(2):
        ended = run("demo", "-o", "shown")
        assert ended.code == 0, ended.err
    made = sorted(path.name for path in Path("shown").iterdir())
    files = [
        ".kinbits-demo",
        "contact-sheet.png",
        "index",
        "model",
        "pr-curves.png",
        "query.png",
        "report.html",
        "report.json",
    ]
    assert made == files
    assert "with orthohash" in ended.out
    assert "with ITQ" in ended.out
    assert "kinbits search shown/index shown/query.png" in ended.out
    assert [f"{step}/5" in ended.err for step in range(1, 6)] == [True] * 5
    assert json.loads(Path("shown/report.json").read_text())["database"] == 40
    assert len(json.loads(run("search", "shown/index", "shown/query.png", "--json").out)[0]["hits"]) == 10


@pytest.mark.parametrize("name", ["index/book.txt", "index/manifest.json", "model/config.json", "report.html"])
def test_the_demo_leaves_other_peoples_folders_alone(run, tmp_path, name):
    file = tmp_path / "mine" / name
    file.parent.mkdir(parents=True)
    file.write_text("precious")
    ended = run("demo", "-o", "mine")
    assert ended.code == 2
    assert "the demo did not make mine, which is not empty" in ended.error
    assert [path for path in (tmp_path / "mine").rglob("*") if path.is_file()] == [file]
    assert file.read_text() == "precious"
