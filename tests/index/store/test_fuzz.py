"""Damaged and forged folders raise errors; they never crash the process and never answer wrongly."""

import json
import subprocess
import sys
from pathlib import Path


def test_damaged_and_forged_folders_neither_crash_nor_answer_wrongly(tmp_path):
    script = Path(__file__).with_name("fuzz_folders.py")
    done = subprocess.run([sys.executable, script, tmp_path, "0", "500"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr}"
    assert json.loads(done.stdout)["refused"] > 250
