"""The C++ code stays inside its arrays on every instruction set, and its threads share no data without a lock."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from kinbits.hamming import _native

ROOT = Path(__file__).parents[2]
COMPILER = shutil.which(os.environ.get("CXX", "c++"))
CMAKE = shutil.which("cmake")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not (CMAKE and COMPILER), reason="needs cmake and a C++ compiler")]


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def offered(sanitizers, folder):
    """Tell whether the compiler can build a program with the sanitizers that runs on this machine."""
    program = folder / "empty"
    build = [COMPILER, f"-fsanitize={sanitizers}", "-x", "c++", "-", "-o", str(program)]
    built = subprocess.run(build, input="int main() {}", text=True, capture_output=True, check=False)
    return built.returncode == 0 and subprocess.run([program], capture_output=True, check=False).returncode == 0


# The threads are the same on every path, so the slow thread sanitizer sees the portable one alone.
@pytest.mark.parametrize(
    ("sanitizers", "paths"), [("address,undefined", _native.simd_paths()), ("thread", ["portable"])]
)
def test_the_self_test_passes_under_sanitizers(sanitizers, paths, tmp_path):
    if not offered(sanitizers, tmp_path):
        pytest.skip(f"{COMPILER} offers no -fsanitize={sanitizers}")
    run(CMAKE, "-S", ROOT, "-B", tmp_path / "build", f"-DKINBITS_SANITIZE={sanitizers}")
    run(CMAKE, "--build", tmp_path / "build", "--parallel", "2")
    report = run("ctest", "--test-dir", tmp_path / "build", "--output-on-failure", "--parallel", "2")
    assert set(re.findall(r" (\w+) \.+ +Passed", report)) == set(paths)
