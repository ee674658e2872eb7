"""Kill a process while it saves a model, again and again: run as ``python model_kills.py KILLS SEED``.

Half the kills come after a random time, the others before or after the n-th call of the file system, n from 1 on. After
each, the folder must hold the older or the newer model, whole, and the next save must leave nothing beside it.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from dying import killer

import kinbits
from kinbits import HashModel
from kinbits._util import files
from kinbits.model import folder

CALLS = ("close", "fsync", "mkdir", "open", "rename", "replace", "rmdir", "unlink")


def small_model(bits: int) -> HashModel:
    """Return a model on vectors; more bits make a larger folder, whose writing takes longer."""
    vectors = np.random.default_rng(0).normal(size=(40, 12)).astype(np.float32)
    return kinbits.fit(vectors, method="lsh", bits=bits, progress=False)


def die_at(fatal: int) -> None:
    """Make this process kill itself at the n-th step: there is one before and one after each call."""
    dying = killer(fatal)
    for name in CALLS:
        setattr(os, name, dying(getattr(os, name)))
    files._exchange = dying(files._exchange)
    folder.save_file = dying(folder.save_file)
    Path.write_text = dying(Path.write_text)


def killed(work: Callable[[], object], fatal: int | None, delay: float | None) -> bool:
    """Run something in a child; tell whether it was killed before it was done."""
    child = os.fork()
    if child == 0:
        try:
            if fatal is not None:
                die_at(fatal)
            work()
        finally:
            os._exit(0)
    if delay is not None:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def outcomes(kills: int, seed: int, stride: int = 1) -> Counter[str]:
    """Count what was found after each kill; anything but a whole model, old or new, is raised."""
    rng, found, fatal, longest = random.Random(seed), Counter(), 1, 0.05
    models = small_model(8), small_model(1024)
    known = [model.fingerprint for model in models]
    with tempfile.TemporaryDirectory() as place:
        target = Path(place) / "model"
        models[0].save_pretrained(target)
        for kill in range(kills):
            before = known.index(HashModel.from_pretrained(target).fingerprint)
            newer, by_step = models[1 - before], kill % 2 == 0
            delay = None if by_step else rng.random() * longest
            dead = killed(lambda newer=newer: newer.save_pretrained(target), fatal if by_step else None, delay)
            after = known.index(HashModel.from_pretrained(target).fingerprint)
            found[f"{'killed' if dead else 'done'}, {'old' if after == before else 'new'} model"] += 1
            found["left beside it"] += len(os.listdir(place)) > 1
            if by_step:
                fatal = fatal + stride if dead else 1
            else:
                longest *= 1.1 if dead else 0.9  # seconds: so that kills come at all times of a save
            if kill % 10 == 9:
                models[1 - after].save_pretrained(target)
                assert os.listdir(place) == ["model"], f"kill {kill}: something is left beside the model"
        models[0].save_pretrained(target)
        assert os.listdir(place) == ["model"]
    return found


if __name__ == "__main__":
    print(dict(outcomes(int(sys.argv[1]), int(sys.argv[2]))))
