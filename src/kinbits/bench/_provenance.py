"""Which code on which machine made a number."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path


@lru_cache(maxsize=1)
def provenance() -> Mapping[str, str]:
    """Return the ``version`` of kinbits, its ``commit`` (marked where files differ from it), and the ``hardware``."""
    told = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "version": version("kinbits"),
        "commit": told.stdout.strip() or "unknown",
        "hardware": f"{names[0] if names else platform.machine()} x{os.cpu_count()}",
    }
