"""How well each class of the medical sets is found, the rare ones above all: ath, its ablations, and rivals.

Runs what ``experiments/medical.yaml`` names, and writes ``results/medical-classes.csv`` (one row per run and class of
the queries) and ``results/medical-classes.md``. ``train`` is the class's share of the training images; the class
``(mean)`` is the mean over classes, in which each counts alike.

    KINBITS_DATA=path/to/data python experiments/medical_classes.py
"""

from __future__ import annotations

import argparse
from functools import cache
from pathlib import Path

import numpy as np
from _runs import RESULTS, Clock, Run, Table, run_config, summary

import kinbits
from kinbits import metrics
from kinbits.bench import Experiment, Trial
from kinbits.data import FeatureCache

PLACE = ["protocol", "method", "bits", "seed"]
FIELDS = [*PLACE, "class", "train"]
METRIC = "map@all"
MEAN = "(mean)"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bits", nargs="+", type=int, default=[32])
    parser.add_argument("--seeds", nargs="+", type=int)
    options = parser.parse_args()
    table = open_table()
    for trial in trials().values():
        known = {name: trial.columns[name] for name in PLACE}
        chosen = trial.bits in options.bits and (options.seeds is None or trial.seed in options.seeds)
        if chosen and not table.has(**known, **{"class": MEAN}):
            measure(table, trial, known)
            write_markdown(table)


def open_table() -> Table:
    """Return the table of this script."""
    return Table("medical-classes.csv", FIELDS, [METRIC], config)


@cache
def trials() -> dict[tuple[str, ...], Trial]:
    """Return the trials of medical.yaml by their place in the table."""
    experiment = Experiment.from_file(Path(__file__).with_name("medical.yaml"))
    return {tuple(trial.columns[name] for name in PLACE): trial for trial in experiment.trials()}


def config(run: Run) -> str:
    """Return the hash of a run; empty if its trial is no longer in the file."""
    trial = trials().get(tuple(run[name] for name in PLACE))
    return "" if trial is None else run_config(trial.settings, trial.protocol)


def measure(table: Table, trial: Trial, known: dict) -> None:
    """Fit one model and add a row per class."""
    splits, features = kinbits.load_protocol(trial.protocol), FeatureCache()
    with Clock() as clock:
        model = kinbits.fit(splits.train, trial.settings, cache=features)
    parts = (splits.query, splits.database)
    queries, database = (model.encode(part, cache=features) for part in parts)
    relevance = metrics.LabelRelevance(splits.query.labels, splits.database.labels)
    each = metrics.evaluate(queries, database, relevance, [METRIC]).per_query[METRIC]
    shares = np.bincount(splits.train.labels, minlength=splits.train.label_space.classes) / len(splits.train)
    found = {c: float(np.nanmean(each[splits.query.labels == c])) for c in np.unique(splits.query.labels)}
    rows = [(splits.train.label_space.names[c], f"{shares[c]:.3f}", value) for c, value in found.items()]
    for name, share, value in [*rows, (MEAN, "1.000", float(np.mean(list(found.values()))))]:
        named = {**known, "class": name, "train": share}
        table.add(named, {METRIC: value}, clock.seconds, splits.protocol.checksum)


def write_markdown(table: Table) -> None:
    """Write one table per protocol and length: a method a line, a class a column."""
    lines = [
        "Tie-aware mAP@all of the queries of each class (its share of the training images), mean ± sample deviation "
        "over seeds; features and maps of a frozen `efficientnet_lite0` at 128 px."
    ]
    rows = summary(table, ["protocol", "bits", "method", "class", "train"], METRIC)
    cells = {(r["protocol"], r["bits"], r["method"], r["class"]): r for r in rows}
    for protocol, bits in dict.fromkeys(key[:2] for key in cells):
        here = [key for key in cells if key[:2] == (protocol, bits)]
        classes, methods = (list(dict.fromkeys(key[i] for key in here)) for i in (3, 2))
        titles = [c if c == MEAN else f"{c} ({cells[(*here[0][:3], c)]['train']})" for c in classes]
        lines += ["", f"`{protocol}`, {bits} bits", "", "| method | " + " | ".join(titles) + " |"]
        lines.append("| --- " * (len(classes) + 1) + "|")
        for method in methods:
            row = [cells[protocol, bits, method, c] for c in classes]
            lines.append(f"| {method} | " + " | ".join(r["text"] for r in row) + " |")
    (RESULTS / "medical-classes.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
