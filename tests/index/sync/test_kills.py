"""A synchronisation that is killed at any instant is completed by the next one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROUNDS = 80 if os.environ.get("KINBITS_EXHAUSTIVE") else 5


def run(script, *arguments):
    command = [sys.executable, Path(__file__).with_name(script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=290)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[0])  # kills


def test_random_kills_lose_and_double_nothing(tmp_path):
    assert run("kill_loop.py", tmp_path, 7, ROUNDS) > ROUNDS, "too few kills met a run"


@pytest.mark.slow
def test_a_kill_before_and_after_each_step(tmp_path):
    assert run("kill_steps.py", tmp_path) > 40
