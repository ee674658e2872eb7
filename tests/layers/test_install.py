"""The base, and the base with a small extra, installed in fresh environments from the registry's wheels."""

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import only
import pytest

import kinbits
from kinbits.hamming import _native
from kinbits.index import Index

LIMIT = 150e6  # bytes

pytestmark = pytest.mark.slow


class Environment:
    """A fresh environment with kinbits and what some extras require, at the versions of constraints.txt."""

    def __init__(self, folder, extras):
        venv.create(folder, symlinks=True)
        self.folder = folder
        needed = [
            *only.PROJECT["dependencies"],
            *(one for e in extras for one in only.PROJECT["optional-dependencies"][e]),
        ]
        pip = [
            sys.executable,
            "-m",
            "pip",
            "--python",
            self.program("python"),
            "install",
            "-q",
            "--only-binary",
            ":all:",
        ]
        done = subprocess.run([*pip, "-c", only.ROOT / "constraints.txt", *needed], capture_output=True, text=True)
        if "No matching distribution" in done.stderr:
            pytest.skip("no registry to install from")
        assert done.returncode == 0, done.stderr
        (self.packages,) = folder.glob("lib/python*/site-packages")
        unneeded = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(kinbits.__file__).parent, self.packages / "kinbits", ignore=unneeded)  # as the wheel does
        shutil.copy(_native.__file__, self.packages / "kinbits" / "hamming")

    def program(self, name):
        return str(self.folder / "bin" / name)

    def run(self, *arguments):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        done = subprocess.run(
            [self.program("python"), *arguments], capture_output=True, text=True, cwd=self.folder, env=clean
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return Environment(tmp_path_factory.mktemp("base"), [])


def size_of(folder):
    return sum(file.lstat().st_size for file in folder.rglob("*"))


def test_the_base_is_small_and_imports(base):
    assert base.run("-c", "import kinbits; print(kinbits.Index.__name__)") == "Index\n"
    base.run("-m", "kinbits", "methods")
    assert size_of(base.packages) < LIMIT


def test_the_base_searches_an_index_of_codes(base):
    codes = np.random.default_rng(0).integers(0, 256, (100, 8), dtype=np.uint8)
    Index.create(base.folder / "codes.index", bits=64).add(codes, metadata={"colour": ["red", "blue"] * 50})
    np.save(base.folder / "query.npy", codes[[7]])
    ((found),) = json.loads(base.run("-m", "kinbits", "search", "codes.index", "query.npy", "-k", "2", "--json"))
    assert found["hits"][0] == {"id": 7, "distance": 0, "colour": "blue"}
    assert "colour" in base.run("-m", "kinbits", "search", "codes.index", "query.npy")


def test_the_base_measures_codes(base):
    code = (
        "import numpy as np\n"
        "from kinbits.metrics import code_statistics\n"
        "print(code_statistics(np.arange(8, dtype=np.uint8)[:, None], bits=8).items)"
    )
    assert base.run("-c", code) == "8\n"


def test_a_small_extra_brings_its_engine(tmp_path):
    code = (
        "import numpy as np\n"
        "from kinbits.index import create_index\n"
        "codes = np.random.default_rng(0).integers(0, 256, (100, 4), dtype=np.uint8)\n"
        "print(create_index(engine='faiss-hnsw', bits=32).add(codes).search(codes[7], 1).ids[0])"
    )
    assert Environment(tmp_path / "faiss", ["faiss"]).run("-c", code) == "7\n"
