"""Whatever a source holds, it is opened, or refused with what is wrong with it: data reach no fault of ours."""

import os
from collections import Counter

import numpy as np
import pytest
from odd_sources import Odd
from tiny import image_folder

import kinbits
from kinbits.cli import main
from kinbits.data import open_dataset, readable
from kinbits.errors import DataError, UsageError
from kinbits.index import Index

EXHAUSTIVE = bool(os.environ.get("KINBITS_EXHAUSTIVE"))
OPTIONS = [
    {},
    {"labels": False},
    {"label_column": "label"},
    {"label_column": ["label", "y"]},
    {"id_column": "id"},
    {"text_column": "text"},
    {"image_column": "image"},
    {"label_separator": ";"},
    {"label_names": ["a", "b"]},
    {"split": "train"},
]
COMMANDS = [
    ("index", "create", "out", "model"),
    ("fit", "-o", "out", "--bits", "8", "--method", "itq", "--backbone", "convnet-small", "--frozen"),
    ("encode", "model", "-o", "out.parquet"),
    ("index", "create", "out", "model", "--no-labels"),
    ("index", "create", "out"),  # as a file of codes
]


def opened(source, rng):
    """Open a source and use everything that a command would use of it; return what came of it."""
    options = OPTIONS[int(rng.integers(len(OPTIONS)))] if rng.random() < 0.5 else {}
    try:
        data = open_dataset(source, **options)
        assert len(data.fingerprint) == 64
        assert all(isinstance(guess, str) for guess in data.guesses)
        Index.create(bits=8).add(np.zeros((len(data), 1), np.uint8), metadata=data.metadata())
        readable(data, threads=1)
    except (DataError, UsageError) as error:
        return type(error).__name__
    return "opened"


def test_odd_sources_are_opened_or_refused(tmp_path):
    ends = Counter()
    for seed in range(20_000 if EXHAUSTIVE else 42):
        folder = tmp_path / str(seed)
        folder.mkdir()
        ends[opened(Odd(folder, seed).source, np.random.default_rng(seed))] += 1
    print(dict(ends))
    assert set(ends) <= {"opened", "DataError", "UsageError"}
    assert min(ends["opened"], ends["DataError"]) > 5


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A model of small images, in a folder of its own that is the working folder."""
    monkeypatch.chdir(tmp_path)
    images = image_folder(tmp_path / "images", {"cat": 3, "dog": 3})
    settings = {"backbone": "convnet-small", "bits": 8, "epochs": 1, "progress": False, "cache": None}
    kinbits.fit(open_dataset(images), **settings).save_pretrained(tmp_path / "model")


def test_no_odd_source_reaches_a_fault_of_ours(tmp_path, model, capsys, monkeypatch):
    monkeypatch.delenv("KINBITS_DEBUG", raising=False)
    ends = Counter()
    for seed in range(3000 if EXHAUSTIVE else 10):
        folder = tmp_path / str(seed)
        folder.mkdir()
        source = Odd(folder, seed).source
        monkeypatch.chdir(folder)
        os.symlink(tmp_path / "model", "model")
        command = COMMANDS[seed % len(COMMANDS)]
        code = main([*command, str(source)])
        told = capsys.readouterr()
        assert code in (0, 2, 3, 4), (seed, command, told.err[-500:])
        assert code == 0 or len([line for line in told.err.splitlines() if line.startswith("error: ")]) == 1
        ends[code] += 1
    print(dict(ends))
    assert min(ends[0], ends[3]) > 0
