"""Use an installed kinbits as a stranger does first, with its smallest layer: python tools/check_wheel.py.

Run it outside the source folder, in the environment that the wheel was installed into. It needs neither torch nor a
compiler, and ends with an error if something in the wheel is missing or wrong.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.metadata import files, version
from pathlib import Path

NEEDED = (
    "kinbits/py.typed",
    "kinbits/shipped/copy-256/model.safetensors",
    "kinbits/shipped/general-128/model.safetensors",
    "kinbits/serving/page/index.html.j2",
    "kinbits/serving/page/page.js",
    "kinbits/dedupe/review.html.j2",
    "kinbits/evaluation/report/report.html.j2",
    "kinbits/testing/templates/method.txt",
    "licenses/LICENSE",
    "licenses/licences/nanobind.txt",
    "licenses/licences/robin-map.txt",
)


def main() -> None:
    """Check the files of the wheel, its version, an exact search in Python, and the same search by the command."""
    check_files()
    shown = command("--version")
    if version("kinbits") not in shown:
        sys.exit(f"kinbits --version says {shown!r}, and the wheel is of version {version('kinbits')}")
    with tempfile.TemporaryDirectory() as folder:
        check_search(Path(folder))
    command("methods", "--json")
    command("backbones", "efficientnet_lite0")
    print(f"kinbits {version('kinbits')} works with Python {sys.version.split()[0]}")


def check_files() -> None:
    """Look for the files that code reads at run time, and for the texts of licences."""
    found = [str(one) for one in files("kinbits") or []]
    missing = [one for one in NEEDED if not any(path.endswith(one) for path in found)]
    if missing:
        sys.exit(f"the wheel lacks {', '.join(missing)}")


def check_search(folder: Path) -> None:
    """Compare the nearest codes with distances that numpy counts."""
    import numpy as np

    from kinbits import Index

    codes = np.random.default_rng(0).integers(0, 256, (2000, 8), dtype=np.uint8)
    index = Index.create(folder / "codes.index", bits=64).add(codes)
    hits = index.search(codes[7], k=10)
    counted = np.unpackbits(codes ^ codes[7], axis=1).sum(1)
    if hits.ids[0] != 7 or list(hits.distances) != sorted(counted)[:10]:
        sys.exit(f"the search found {hits}, and the distances are {sorted(counted)[:10]}")
    np.save(folder / "queries.npy", codes[:2])
    command("search", str(folder / "codes.index"), str(folder / "queries.npy"), "-k", "3")


def command(*arguments: str) -> str:
    """Run the installed command and return what it prints."""
    program = Path(sys.executable).parent / "kinbits"
    done = subprocess.run([program, *arguments], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"kinbits {' '.join(arguments)} failed: {done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
