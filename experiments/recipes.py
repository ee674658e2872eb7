"""Search the recipes of all learned methods on frozen features, without a test query.

A fifth of the training images is held out, and scored by tie-aware mAP@all among them, by their labels. The score of
the last epoch counts, since a run without a validation part ends there. So the recipes of methods without labels, which
are the same for all data, were chosen by the labels of two data sets; a run of such a method reads none. Two data sets,
so that no recipe fits one of them; methods of images and texts are scored in both directions on two sets of pairs. One
seed for all candidates, then three seeds for the best two and the recipe that stands in the code.

Writes ``results/recipes.csv``, one row per run, and can be stopped and taken up again:

    KINBITS_DATA=path/to/data python experiments/recipes.py [--jobs 2] [--only csq hashnet] [--protocols grocery-store]
    python experiments/recipes.py --show        # the candidates of each method, the best first

With ``--choices`` it tries other values of options whose default is a choice of ours, each on top of the default
recipe, and writes ``results/choices.csv``. A new recipe makes those rows stale:

    python experiments/recipes.py --choices [--show] [--only dsh] [--protocols fashion-products]
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from _runs import Clock, Run, Table, run_config

from kinbits.bench import start_worker
from kinbits.fitting import FitSettings

PROTOCOLS, WITH_TEXTS = ("cifar10-1k-5k-54k", "grocery-store"), ("fashion-products", "twemoji")
BITS, SHARE = 32, 0.2
FIELDS = ["protocol", "method", "setting", "bits", "seed"]
METRICS = ["validation", "best", "best_epoch"]
BEST, SEEDS = 2, (0, 1, 2)

Setting = dict[str, Any]


def grid(lr: tuple[float, ...], seen: tuple[int, ...], **more: tuple[Any, ...]) -> list[Setting]:
    """Return every combination of the values."""
    options = {"lr": lr, "seen": seen, **more}
    return [dict(zip(options, values, strict=True)) for values in product(*options.values())]


# Steps matter, not passes over a set: "seen" is how many thousand images all epochs together see.
# Decoupled weight decay acts by lr times its value: on frozen features, useful values are far above the usual .01.
DECAY = grid((1e-3,), (40, 80, 160), optimizer=("adamw",), weight_decay=(1.0, 3.0))
STRONG = grid((1e-3,), (160, 320), optimizer=("adamw",), weight_decay=(5.0,))
USUAL = [*grid((1e-3,), (40, 80, 160)), *DECAY, *grid((3e-4,), (80,))]
NETWORK = [
    *grid((1e-3, 3e-4), (80, 240)),
    *grid((1e-4,), (80,)),
    *grid((1e-3,), (80,), optimizer=("adamw",), weight_decay=(1.0,)),
]
SLOW = [*grid((1e-3, 3e-4), (40,)), *grid((1e-3,), (40,), optimizer=("adamw",), weight_decay=(1.0,))]
CANDIDATES: dict[str, list[Setting]] = {
    **{name: USUAL for name in ("ssdh", "dmuh", "nmlayer")},
    "dch": [*USUAL, *grid((1e-3,), (80,), optimizer=("adamw",), weight_decay=(5.0,))],
    **{name: [*USUAL, *STRONG] for name in ("dhn", "ddsh", "adsh")},
    "hashnet": [*USUAL, *grid((1e-3,), (80, 160), optimizer=("adam",), weight_decay=(0.02,))],
    "csq": [*USUAL, *grid((1e-3,), (160,), optimizer=("adamw",), weight_decay=(2.0,))],
    "shc": [*USUAL, *grid((1e-3,), (240,), optimizer=("adamw",), weight_decay=(1.0, 2.0))],
    "softmax": USUAL,
    "softmax-quantization": [*USUAL, *grid((1e-3,), (20, 40), optimizer=("adamw",), weight_decay=(3.0, 5.0))],
    "orthohash": [*grid((1e-3,), (20, 30, 40, 60)), *grid((3e-4,), (60, 120)), *DECAY[1:2]],
    "greedyhash": [
        *grid((1e-3, 3e-4), (40, 80), head=("linear",)),
        *grid((3e-3,), (40, 80), head=("linear-batchnorm",)),
        *DECAY,
        *grid((1e-3,), (160, 240), optimizer=("adamw",), weight_decay=(5.0,)),
    ],
    "dsdh": [
        *grid((1e-3, 3e-4), (80,), head=("linear",)),
        *grid((3e-3,), (80, 240), head=("linear-batchnorm",), schedule=("step",), eta=(0.1, 0.35)),
        *DECAY[2:],
        *STRONG,
    ],
    "dpsh": [*grid((3e-3, 1e-3), (40, 80, 160)), *DECAY[2:], *STRONG],
    "dsh": [*grid((3e-3, 1e-3), (80, 240)), *DECAY[2:4]],
    "dsrh": [*grid((1e-3,), (40, 80, 160)), *DECAY[2:]],
    "shrewd": [*grid((3e-3, 1e-3), (80, 160)), *DECAY[2:4]],
    "bcdh": [*grid((1e-3, 3e-4), (100,)), *grid((1e-3,), (100,), optimizer=("adamw",), weight_decay=(1.0, 3.0))],
    **{name: NETWORK for name in ("dsah", "greedyhash-unsupervised", "dsg", "rankhash")},
    "bihalf": [*NETWORK, *grid((1e-3,), (80, 240), hidden=(0,))],
    "distillhash": grid((1e-3, 3e-4), (180,)),
    "cibhash": [*grid((1e-3, 3e-4), (120, 240)), *grid((1e-3,), (120,), optimizer=("adamw",), weight_decay=(1.0,))],
    "barlow-twins": [*grid((1e-3, 3e-4), (200, 400)), *grid((1e-3,), (200,), weight_decay=(1.0,))],
    **{name: SLOW for name in ("rv-ssdh", "exchnet", "ath")},
    **{name: [*USUAL[1:3], *DECAY[2:]] for name in ("dqn", "dvsq")},
    "dpq": [*USUAL[1:3], *grid((3e-3,), (80, 160)), *DECAY[2:4]],
    "dtq": SLOW,
    **{name: grid((1e-3, 3e-4), (200, 400)) for name in ("spq", "mecoq")},
    "dcmh": [*grid((1e-3, 3e-4), (75, 200)), *grid((1e-3,), (200,), optimizer=("adamw",), weight_decay=(1.0,))],
    "djsrh": [*grid((1e-3, 3e-4), (80, 240)), *grid((1e-4,), (240,))],
    "ugach": grid((1e-3, 3e-4), (60, 180)),
}
DEFAULT: Setting = {}

# What the methods' pages say about the values of options.
CHOICES: dict[str, list[Setting]] = {
    "ddsh": [{"refine": True}],
    "dch": [*({"gamma": value} for value in (2.0, 10.0, 40.0)), {"tanh": False}],
    "dhn": [{"tanh": False}, {"weighted": True}],
    "dmuh": [{"weights": "none"}, {"weights": "images"}],
    "dpsh": [{"eta": 0.5}, {"weighted": True}],
    "dsdh": [{"eta": 0.01}, {"eta": 0.35}],
    "dsh": [{"self_pairs": True}, {"alpha": 0.05}, *({"margin": value} for value in (16.0, 64.0, 96.0))],
    "dsrh": [{"margin": 2.0}, {"margin": 6.4}, {"balance": 1.0}],
    "greedyhash": [{"alpha": 1.0}, {"power": 2.0}, {"head": "linear-batchnorm"}],
    "hashnet": [{"grow": 5.0}],
    "nmlayer": [{"score": "correlation"}, {"score": "random"}],
    "orthohash": [
        *({"scale": value} for value in (4.0, 8.0)),
        *({"margin": value} for value in (0.0, 0.4)),
        {"angular": True},
        *({"targets": kind} for kind in ("bernoulli", "maxhd")),
        {"quantization": 0.1},
    ],
    "shrewd": [{"kl": 0.3}, {"classification": 1.0}],
    "softmax-quantization": [{"quantization": 0.01}],
    "ssdh": [{"beta": 0.0, "gamma": 0.0}, {"beta": 1.0, "gamma": 1.0}],
}


def text(setting: Setting) -> str:
    """Return a setting in words, as the table holds it."""
    words = (f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in setting.items())
    return " ".join(words) or "defaults"


def run(protocol: str, method: str, setting: Setting, seed: int) -> tuple[dict[str, float], float, str]:
    """Fit with a fifth held out; return the scores, the seconds and the split's checksum."""
    import kinbits
    from kinbits.methods import get_method, parameters
    from kinbits.tuning import HeldOut

    own = {one.name for one in parameters(get_method(method))}
    params = {name: value for name, value in setting.items() if name in own}
    training = {name: value for name, value in setting.items() if name not in own}
    splits = kinbits.load_protocol(protocol)
    if method == "shrewd" and splits.train.label_space.parents is None:
        params["embeddings"] = str(Path(__file__).parent / "cifar10-names.npy")
    if "seen" in training:
        training["epochs"] = max(1, round(1000 * training.pop("seen") / (len(splits.train) * (1 - SHARE))))
    options = {"method": method, "bits": BITS, "seed": seed, "params": params, "progress": False, **training}
    with Clock() as clock:
        if get_method(method).supervision == "none" or get_method(method).reads_text:
            settings = FitSettings().with_options(**options)
            held = HeldOut(splits.train, settings, SHARE, text=get_method(method).reads_text)
            last = held.fit_and_score(held.job(settings))["map@all"]
            found = {"validation": last, "best": np.nan, "best_epoch": np.nan}
        else:
            model = kinbits.fit(splits.train, validation=SHARE, **options)
            scores = [epoch.get("validation", np.nan) for epoch in model.training["history"]]
            found = {"validation": scores[-1], "best": np.nanmax(scores), "best_epoch": float(np.nanargmax(scores) + 1)}
    return found, clock.seconds, splits.protocol.checksum


def _task(task: tuple[str, str, Setting, int]) -> tuple[tuple[str, str, Setting, int], Any]:
    try:
        return task, run(*task)
    except Exception as error:
        return task, f"{type(error).__name__}: {error}"


Task = tuple[str, str, Setting, int]


def run_all(table: Table, tasks: Iterable[Task], jobs: int) -> None:
    """Run what the table does not hold yet, each trial on one thread."""
    left = [task for task in tasks if not table.has(**_identity(task))]
    print(f"{len(left)} runs to do", flush=True)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=start_worker, initargs=(1,)) as pool:
        for future in as_completed([pool.submit(_task, task) for task in left]):
            task, outcome = future.result()
            if isinstance(outcome, str):
                print(f"FAILED {_identity(task)}: {outcome}", flush=True)
                continue
            values, seconds, checksum = outcome
            table.add(_identity(task), values, seconds, checksum)


def _identity(task: Task) -> dict[str, Any]:
    protocol, method, setting, seed = task
    return {"protocol": protocol, "method": method, "setting": text(setting), "bits": BITS, "seed": seed}


def places(method: str, named: Sequence[str]) -> Sequence[str]:
    """Return the data sets that a method is tried on: those named, or the two for what it reads."""
    from kinbits.methods import describe_method

    return named or (WITH_TEXTS if describe_method(method).reads_text else PROTOCOLS)


def ranked(table: Table, method: str, protocols: Sequence[str]) -> list[tuple[float, str, list[list[float]]]]:
    """Return the settings of a method, the best mean over the data sets first, with the scores of each data set."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in table.rows:
        if row["method"] == method and row["protocol"] in places(method, protocols):
            found[row["setting"]][row["protocol"]].append(float(row["validation"]))
    names = places(method, protocols)
    whole = {setting: [by[name] for name in names] for setting, by in found.items() if len(by) == len(names)}
    return sorted(((float(np.mean([np.mean(v) for v in by])), name, by) for name, by in whole.items()), reverse=True)


def choice_config(run: Run) -> str:
    """Return the hash of what makes the numbers of a row of ``choices.csv``."""
    settings = {text(setting): setting for setting in [DEFAULT, *CHOICES[run["method"]]]}
    fitted = FitSettings(run["method"], BITS, settings[run["setting"]])
    return run_config(fitted.with_options(seed=int(run["seed"]), validation=SHARE), run["protocol"])


def choices_table() -> Table:
    """Return the table of the choices."""
    return Table("choices.csv", FIELDS, METRICS, choice_config)


def search_choices(methods: Sequence[str], protocols: Sequence[str], jobs: int) -> None:
    """Run every choice with every seed, unless there are no jobs, and print the means."""
    table = choices_table()
    methods = [method for method in methods if method in CHOICES]
    pairs = [(method, setting) for method in methods for setting in [DEFAULT, *CHOICES[method]]]
    if jobs:
        run_all(table, [(p, m, s, seed) for seed in SEEDS for m, s in pairs for p in places(m, protocols)], jobs)
    show(table, methods, protocols)


def show(table: Table, methods: Sequence[str], protocols: Sequence[str]) -> None:
    """Print the candidates of each method, the best first."""
    for method in methods:
        print(method)
        for _, setting, by in ranked(table, method, protocols):
            cells = (f"{np.mean(v):.4f}" + (f" ± {np.std(v, ddof=1):.4f}" if len(v) > 1 else " " * 9) for v in by)
            print(f"  {setting:45} " + "   ".join(cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=list(CANDIDATES), choices=list(CANDIDATES))
    parser.add_argument("--protocols", nargs="*", default=[])
    parser.add_argument("--best", type=int, default=BEST, help="candidates that get three seeds")
    parser.add_argument("--first", action="store_true", help="one seed of every candidate, and no more")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--choices", action="store_true", help="values of options instead of recipes")
    given = parser.parse_args()
    if given.choices:
        search_choices(given.only, given.protocols, 0 if given.show else given.jobs)
    else:
        search_recipes(given)


def search_recipes(given: argparse.Namespace) -> None:
    """Run the candidates and then the best of them with more seeds, unless told only to show, and print the means."""
    table = Table("recipes.csv", FIELDS, METRICS)  # a record of what was tried: later defaults make no row stale
    if not given.show:
        pairs = [(method, setting) for method in given.only for setting in [DEFAULT, *CANDIDATES[method]]]
        run_all(table, [(p, m, s, 0) for m, s in pairs for p in places(m, given.protocols)], given.jobs)
    if not (given.show or given.first):
        good = {m: {name for _, name, _ in ranked(table, m, given.protocols)[: given.best]} for m in given.only}
        again = [(m, s) for m, s in pairs if s == DEFAULT or text(s) in good[m]]
        run_all(
            table, [(p, m, s, seed) for m, s in again for p in places(m, given.protocols) for seed in SEEDS], given.jobs
        )
    show(table, given.only, given.protocols)


if __name__ == "__main__":
    main()
