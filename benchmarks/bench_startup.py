"""Measure how long short commands take, from their start to their end.

python benchmarks/bench_startup.py [--short | --full] [--before FOLDER] [--out FILE]

``--before`` names another checkout of kinbits: both take turns, and the last column is their ratio.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from _bench import arguments, machine, median, publish, speedup, table, take_turns
from PIL import Image

import kinbits
from kinbits.hamming import _native

COMMANDS = {
    "kinbits --help": ["--help"],
    "kinbits methods": ["methods"],
    "kinbits backbones": ["backbones"],
    "kinbits protocols": ["protocols"],
    "kinbits search INDEX IMAGE": ["search", "photos.index", "photos/0.png", "--model", "model"],
}
NOTE = """Medians in seconds; each run is a process of its own, and the files are in the cache of the disk. The model of
the search is itq on efficientnet_lite0. `import torch` alone took {torch:.2f} s."""


class Installed:
    """A copy of the package in a folder of its own, with the kernel, a model and an index.

    An editable installation looks for changed sources at each start; a copy does not.
    """

    def __init__(self, source: Path, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(source / "kinbits", folder / "kinbits", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(_native.__file__, folder / "kinbits" / "hamming")
        _draw_images(folder / "photos")
        self.run("fit", "photos", "-o", "model", "--method", "itq", "--bits", "16")
        self.run("index", "create", "photos.index", "model", "photos")

    def run(self, *arguments: str) -> None:
        """Run a command of kinbits."""
        self.python("-m", "kinbits", *arguments)

    def python(self, *arguments: str) -> None:
        """Run Python without the site's hooks, among them that of an editable installation."""
        packages = Path(np.__file__).parents[1]
        env = {**os.environ, "PYTHONPATH": f"{self.folder}:{packages}", "KINBITS_CACHE": str(self.folder / "cache")}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, "-S", *arguments]
        subprocess.run(command, cwd=self.folder, env=env, check=True, capture_output=True)


def main() -> None:
    given = arguments(__doc__, extra=_options)
    with tempfile.TemporaryDirectory() as folder:
        now = Installed(Path(kinbits.__file__).parents[1], Path(folder) / "now")
        before = Installed(given.before / "src", Path(folder) / "before") if given.before else None
        rounds = 15 if given.full else 5
        torch = take_turns({"torch": partial(now.python, "-c", "import torch")}, rounds=rounds)
        header = ["command", *(["before"] if before else []), "now", *(["ratio"] if before else [])]
        rows = table(header, _measured(now, before, rounds))
    publish([machine(), NOTE.format(torch=median(torch, "torch")), rows], given.out)


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("--before", type=Path, help="another checkout to compare with")


def _measured(now: Installed, before: Installed | None, rounds: int) -> Iterator[list[object]]:
    for name, words in COMMANDS.items():
        runs: dict[str, Callable[[], None]] = {"now": partial(now.run, *words)}
        if before:
            runs = {"before": partial(before.run, *words), **runs}
        seconds = take_turns(runs, rounds=rounds)
        medians = [round(median(seconds, one), 2) for one in runs]
        yield [name, *medians, *([round(speedup(seconds, "now", "before"), 1)] if before else [])]


def _draw_images(folder: Path) -> None:
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(32):
        Image.fromarray(generator.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(folder / f"{number}.png")


if __name__ == "__main__":
    main()
