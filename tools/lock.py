"""Write requirements-dev.txt: every package of the development environment with its hashes, at the pinned versions."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements-dev.txt"
# What PyPI's build of torch brings for graphics cards. The build for processors needs none of it.
FOR_GRAPHICS_CARDS = re.compile(r"(cuda-|nvidia-|triton$)")
HEAD = """\
# All packages of the development environment, with hashes. `make lock` writes this file; do not edit it.
#
# It is for Python 3.11 on Linux with x86-64. The versions are those of constraints.txt.
# Two things are not in it:
# - torch, since PyPI has no Linux build without CUDA. Its hash is therefore not checked:
#     pip install --index-url https://download.pytorch.org/whl/cpu torch==TORCH
# - kinbits itself.
# Install the rest afterwards: pip install --no-deps --require-hashes -r requirements-dev.txt
"""


def main() -> None:
    """Write the file, or check that the committed one names the same versions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="Write nothing; fail if a version differs.")
    arguments = parser.parse_args()
    written = resolved()
    if not arguments.check:
        LOCK.write_text(written)
        print(f"{LOCK.name}: {len(pins(written))} packages")
    elif pins(written) != pins(LOCK.read_text()):
        sys.exit(f"{LOCK.name} is out of date; run: make lock")


def resolved() -> str:
    """Return the text of the lock file, as uv resolves the constraints now."""
    uv = str(Path(sys.executable).parent / "uv")
    command = [uv, "pip", "compile", "pyproject.toml", "--extra", "dev", "-c", "constraints.txt", "--generate-hashes"]
    command += ["--no-emit-index-url", "--no-emit-find-links", "--no-header", "--no-annotate", "--quiet"]
    command += ["--python-version", "3.11", "--python-platform", "linux"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    entries = dict(_entries(done.stdout))
    torch = entries["torch"].split()[0].partition("==")[2]
    kept = [text for name, text in entries.items() if name != "torch" and not FOR_GRAPHICS_CARDS.match(name)]
    return HEAD.replace("TORCH", torch) + "".join(kept)


def pins(text: str) -> dict[str, str]:
    """Return the version of each package that a lock file or a file of constraints names."""
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, re.MULTILINE))


def _entries(text: str) -> Iterator[tuple[str, str]]:
    """Yield each package with its lines: its version, then its hashes."""
    for entry in re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE):
        if entry.strip():
            yield entry.partition("==")[0], entry


if __name__ == "__main__":
    main()
