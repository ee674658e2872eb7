"""The code in README.md runs as it stands, from top to bottom, in one namespace."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = ["README.md", "CONTRIBUTING.md"]


def blocks(document, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_python_in_the_documents_runs(document, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = "\n".join(blocks(document, "python"))
    assert code
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:kinbits", "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_every_command_in_the_readme_exists():
    known = subprocess.run(
        [sys.executable, "-m", "kinbits", "--help"], capture_output=True, text=True, check=True
    ).stdout
    for block in blocks("README.md", "console"):
        for verb in re.findall(r"^\$ kinbits (\w+)", block, re.MULTILINE):
            assert re.search(rf"\b{verb}\b", known), f"README.md shows `kinbits {verb}`"


def test_the_numbers_in_the_documents_are_those_of_the_result_files():
    script = ROOT / "experiments" / "fill_numbers.py"
    done = subprocess.run([sys.executable, str(script), "--check"], check=False)
    assert done.returncode == 0, "run experiments/fill_numbers.py"
