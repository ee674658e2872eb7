"""The version of the code, and the machine, that made a number."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent.parent
CODE = [".", ":/csrc"]


@lru_cache(maxsize=1)
def provenance() -> Mapping[str, str]:
    """Return the ``version`` of kinbits, its ``commit``, and the ``hardware``.

    The commit ends in ``-dirty`` where the code differs from it; result files do not count, since
    an experiment changes them itself.
    """
    commit = _git("describe", "--always")
    dirty = "-dirty" if commit and _git("status", "--porcelain", "--", *CODE) else ""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "version": version("kinbits"),
        "commit": f"{commit}{dirty}" or "unknown",
        "hardware": f"{names[0] if names else platform.machine()} x{os.cpu_count()}",
    }


def _git(*words: str) -> str:
    """Return what git says about the source tree; nothing where there is none."""
    return subprocess.run(["git", "-C", str(HERE), *words], capture_output=True, text=True, check=False).stdout.strip()
