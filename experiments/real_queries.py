"""Where a real-valued query ranks better than its code: the codes of every table on frozen features, ranked both ways.

Fits the models of the tables once more, one seed, and ranks the same stored codes by Hamming distance and by asymmetric
distance (`kinbits.hamming.sign_tables`). Writes ``results/real-queries.csv`` (one row per model and direction; what is
there is not measured again) and ``results/real-queries.md``. The metric is the first of the table, mAP@all by label;
``gain`` is real-valued minus Hamming on the same codes.

    KINBITS_DATA=path/to/data python experiments/real_queries.py [--tables cifar10 grocery] [--bits 16 32 64]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from _runs import RESULTS, Clock, Run, Table

import kinbits
from kinbits.bench import Experiment, Trial, method_of
from kinbits.data import FeatureCache, Splits
from kinbits.evaluation import CROSS_MODAL, UNCOMPRESSED, Search, Searches
from kinbits.methods import describe_method
from kinbits.metrics import evaluate_scores

TABLES = ("cifar10", "grocery", "fashion-mnist", "medical", "multi-label", "hierarchies", "unsupervised", "cross-modal")
FIELDS = ["table", "protocol", "direction", "method", "bits", "seed"]
METRICS = ["hamming", "real-valued", "gain"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--bits", nargs="+", type=int, default=[16, 32, 64])
    options = parser.parse_args()
    table = open_table()
    for name in options.tables:
        for trial in trials(name):
            if trial.bits in options.bits:
                measure(table, name, trial)
                write_markdown(table)


def open_table() -> Table:
    """Return the table of this script."""
    return Table("real-queries.csv", FIELDS, METRICS, config)


def config(run: Run) -> str:
    """Return the hash of what makes the numbers of a run; of a method that left its table, none."""
    trial = of_place(run["table"]).get((run["protocol"], run["method"], str(run["bits"])))
    return "" if trial is None else trial.config


@cache
def of_place(table: str) -> dict[tuple[str, str, str], Trial]:
    """Return the trials of a table by protocol, method and bits."""
    return {(trial.protocol, trial.entry.label, str(trial.bits)): trial for trial in trials(table)}


@cache
def trials(table: str) -> tuple[Trial, ...]:
    """Return the trials of an experiment with seed 0 whose codes are bits."""
    experiment = Experiment.from_file(Path(__file__).parent / f"{table}.yaml")
    chosen = [trial for trial in experiment.trials() if trial.seed == 0 and trial.entry.method != UNCOMPRESSED]
    return tuple(trial for trial in chosen if describe_method(trial.entry.method).codes_name == "bits")


def measure(table: Table, name: str, trial: Trial) -> None:
    """Fit one model and rank its codes both ways, in every direction that its table has."""
    place = {"table": name, "protocol": trial.protocol, "method": trial.entry.label, "bits": trial.bits, "seed": 0}
    if table.has(**place):
        return
    splits, cache_of_features = splits_of(trial.protocol), FeatureCache()
    with Clock() as clock:
        model = kinbits.fit(splits.train, trial.settings, cache=cache_of_features)
    searches = Searches(model, splits, cache=cache_of_features)
    for direction in searches.directions:
        if direction in (searches.first, *CROSS_MODAL):
            table.add(
                {**place, "direction": str(direction)},
                both_ways(searches[direction], trial),
                clock.seconds,
                splits.protocol.checksum,
            )


def both_ways(search: Search, trial: Trial) -> dict[str, float]:
    """Return the first metric of a table by Hamming distance and by real-valued queries."""
    metric = trial.metrics[0]
    hamming = search.measure([metric])[metric]
    real = evaluate_scores(search.scores, search.relevance, [metric])[metric]
    return {"hamming": hamming, "real-valued": real, "gain": real - hamming}


@cache
def splits_of(protocol: str) -> Splits:
    return kinbits.load_protocol(protocol)


def write_markdown(table: Table) -> None:
    """Write the mean gains by group of methods, then every pair of numbers."""
    lines = [
        "Tie-aware mAP@all of the same codes, one seed: by Hamming distance, and real-valued queries (asymmetric).\n"
    ]
    lines += [
        "| data | direction | methods | bits | models | mean gain | range | gains in |",
        "| --- | --- | --- | ---: | ---: | ---: | --- | ---: |",
    ]
    for place, rows in grouped(table, ("protocol", "direction", "group", "bits")):
        gains = np.array([float(row["gain"]) for row in rows])
        gained = f"{gains.mean():+.3f} | {gains.min():+.3f} to {gains.max():+.3f} | {np.mean(gains > 0):.0%}"
        lines.append(f"| {' | '.join(place)} | {len(gains)} | {gained} |")
    lines += [
        "",
        "| data | direction | method | bits | Hamming | real-valued | gain |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for row in table.rows:
        place = " | ".join(row[name] for name in ("protocol", "direction", "method", "bits"))
        pair = " | ".join(f"{float(row[name]):.3f}" for name in ("hamming", "real-valued"))
        lines.append(f"| {place} | {pair} | {float(row['gain']):+.3f} |")
    (RESULTS / "real-queries.md").write_text("\n".join(lines) + "\n")


def grouped(table: Table, by: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], list[dict[str, Any]]]]:
    """Yield the values of some columns and the rows that have them, in order of first appearance."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in table.rows:
        named = {**row, "group": describe_method(method_of(row["method"])).group}
        groups.setdefault(tuple(named[name] for name in by), []).append(named)
    yield from groups.items()


if __name__ == "__main__":
    main()
