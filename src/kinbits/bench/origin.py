"""The version of the code, and the machine, that made a number."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent.parent
CODE = [".", ":/csrc", ":/experiments/*.py"]


@lru_cache(maxsize=1)
def provenance() -> Mapping[str, str]:
    """Return the ``version`` of kinbits, its ``commit``, and the ``hardware``.

    The commit ends in ``-dirty`` where the code differs from it. Results, documents and tests do not count: an
    experiment changes results itself, and the others change no number. The commit of an installed package is
    ``unknown``, also inside the repository of another project.
    """
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "version": version("kinbits"),
        "commit": _commit(),
        "hardware": f"{names[0] if names else platform.machine()} x{os.cpu_count()}",
    }


def _commit() -> str:
    if shutil.which("git") is None or not _git("ls-files", "--", "."):  # git does not know these files
        return "unknown"
    return _git("describe", "--always") + ("-dirty" if _git("status", "--porcelain", "--", *CODE) else "")


def _git(*words: str) -> str:
    """Return what git says about the source tree; nothing where there is none."""
    return subprocess.run(["git", "-C", str(HERE), *words], capture_output=True, text=True, check=False).stdout.strip()
