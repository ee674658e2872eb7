"""What commands load: a listing loads no torch, and a search for one image only what encodes it."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from kinbits.fitting import fit
from kinbits.index import Index

HEAVY = {
    "datasets",
    "faiss",
    "kornia",
    "lightning_fabric",
    "matplotlib",
    "openvino",
    "pandas",
    "pyarrow",
    "scipy",
    "sklearn",
    "sympy",
    "torch",
    "torch._dynamo",
    "transformers",
}


def loaded_by(arguments, folder):
    """Run a command in a process of its own, and return the heavy modules that it loaded."""
    code = (
        "import json, sys\n"
        "from kinbits.cli import main\n"
        f"code = main({[str(one) for one in arguments]})\n"
        "print(json.dumps([code, list(sys.modules)]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder)
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert code == 0, done.stderr
    return HEAVY & set(modules)


@pytest.mark.parametrize("command", ["--help", "methods", "backbones", "protocols"])
def test_a_listing_loads_nothing_heavy(command, tmp_path):
    assert loaded_by([command], tmp_path) == set()


@pytest.mark.slow
def test_a_search_for_one_image_loads_torch_and_nothing_else_that_is_heavy(tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.png")
    model = fit(tmp_path / "photos", method="itq", bits=8, image_size=32)
    model.save_pretrained(tmp_path / "model")
    Index.create(tmp_path / "photos.index", model=model).add(tmp_path / "photos")
    search = ["search", "photos.index", "photos/3.png", "--model", "model"]
    assert loaded_by(search, tmp_path) == {"torch"}
