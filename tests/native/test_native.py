"""The C++ kernel reads and writes nothing outside of its arrays, whichever instructions it runs by."""

import os
import platform
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kinbits.hamming import _native

ROOT = Path(__file__).parents[2]
COMPILER = shutil.which("g++")
FLAGS = ["-std=c++20", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", f"-I{ROOT / 'csrc'}"]
PATHS = {"x86_64": "avx", "aarch64": "neon", "arm64": "neon"}

pytestmark = [pytest.mark.slow, pytest.mark.skipif(COMPILER is None, reason="no g++ here")]


def sources():
    """Return what the self-test is linked from: the scan, by the paths that this machine can compile."""
    own = PATHS.get(platform.machine())
    kernels = [path for name in ("portable", own) if name for path in (ROOT / "csrc").glob(f"kernels_{name}*.cpp")]
    shared = [ROOT / "csrc" / f"{name}.cpp" for name in ("distances", "kernels", "ranking", "search")]
    return [*shared, *sorted(kernels), Path(__file__).parent / "selftest.cpp"]


def own_flags(path):
    """Return the instructions that CMakeLists.txt lets a file use."""
    cmake = (ROOT / "CMakeLists.txt").read_text()
    found = re.search(rf'csrc/{path.name}\s+PROPERTIES COMPILE_OPTIONS "([^"]*)"', cmake)
    return found.group(1).split(";") if found else []


@pytest.fixture(scope="module")
def selftest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("native")

    def build(path):
        compiled = folder / f"{path.stem}.o"
        subprocess.run([COMPILER, *FLAGS, *own_flags(path), "-c", str(path), "-o", str(compiled)], check=True)
        return str(compiled)

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(build, sources()))
    subprocess.run([COMPILER, *FLAGS, *objects, "-pthread", "-o", str(folder / "selftest")], check=True)
    return folder / "selftest"


@pytest.mark.parametrize("path", _native.simd_paths())
def test_every_path_agrees_with_a_naive_loop_under_the_sanitizers(path, selftest):
    environment = {**os.environ, "KINBITS_SIMD": path}
    done = subprocess.run([str(selftest)], capture_output=True, text=True, check=False, env=environment, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(f"search by {path}\n")
