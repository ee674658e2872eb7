"""The command line in this process, in an empty folder, with a cache of its own."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinbits.cli import main


@dataclass
class Ended:
    code: int
    out: str
    err: str

    @property
    def error(self):
        """The one line that a person sees."""
        lines = [line for line in self.err.splitlines() if line.startswith("error:")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.out + self.err
        return lines[0]


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run a command line in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KINBITS_CACHE", str(tmp_path / ".cache"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("KINBITS_DEBUG", raising=False)

    def call(*arguments):
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    return call


def _vectors(path, rows=60, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % 3
    vectors = rng.normal(size=(3, 16))[labels] + 0.5 * rng.normal(size=(rows, 16))
    names = np.array([f"item {row:03}" for row in range(rows)])
    np.savez(path, vectors=vectors.astype(np.float32), labels=labels, ids=names, label_names=np.array(["a", "b", "c"]))
    return Path(path)


@pytest.fixture
def vectors(tmp_path):
    """Sixty labelled vectors of three classes."""
    return _vectors(tmp_path / "vectors.npz")


@pytest.fixture
def more_vectors(tmp_path):
    """As many with the same ids but other values."""
    return _vectors(tmp_path / "more.npz", seed=1)


@pytest.fixture
def images(tmp_path):
    """A function that writes folders of small images: images("photos", cat=3, dog=2)."""

    def write(name, flat=0, **classes):
        folder = tmp_path / name
        folder.mkdir()
        rng = np.random.default_rng(0)
        for place, (label, count) in enumerate({"": flat, **classes}.items()):
            for number in range(count):
                path = folder / label / f"{number}.png"
                path.parent.mkdir(exist_ok=True)
                pixels = rng.integers(0, 60, (12, 12, 3), dtype=np.uint8)
                pixels[..., place % 3] += 150
                Image.fromarray(pixels).save(path)
        return folder

    return write


@pytest.fixture
def model(run, vectors):
    """A model folder, fitted on the vectors."""
    ended = run("fit", vectors, "-o", "model", "--method", "orthohash", "--bits", "16", "--epochs", "3")
    assert ended.code == 0, ended.err
    return Path("model")


@pytest.fixture
def index(run, model, vectors):
    """An index of the vectors, made with the model."""
    assert run("index", "create", "some.index", model, vectors).code == 0
    return Path("some.index")


def visible_and_hidden(folder):
    """List what lies in a folder, but for the cache."""
    return sorted(path.name for path in Path(folder).iterdir() if path.name != ".cache")


@pytest.fixture
def codes_file(tmp_path):
    """A function that writes a file of random 16-bit codes: codes_file("c.parquet", ids, label=[...])."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def write(name, ids, **columns):
        codes = np.random.default_rng(0).integers(0, 256, (len(ids), 2), dtype=np.uint8)
        pq.write_table(
            pa.table({"id": list(ids), "code": [row.tobytes() for row in codes], **columns}), tmp_path / name
        )
        return Path(name)

    return write
