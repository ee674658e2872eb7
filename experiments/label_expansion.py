"""Few labels: learned from as they are, or enlarged by plain pseudo-labelling or by `prl` first.

Writes ``results/label-expansion.csv`` (one row per run) and ``results/label-expansion.md``. A part of the labels of the
training images is kept; ``accuracy`` is the share of right guesses among those that were added, by the labels that
were hidden, and ``added`` their number. Variants of `prl`: ``random`` fills the pools by chance instead of by indegree,
``one round`` guesses all images at once.

    KINBITS_DATA=path/to/data python experiments/label_expansion.py
"""

from __future__ import annotations

import argparse

import numpy as np
from _runs import RESULTS, Clock, Run, Table, run_config, summary

import kinbits
from kinbits import metrics
from kinbits.data import FeatureCache
from kinbits.fitting import FitSettings

PROTOCOL = "cifar10-1k-5k-54k"
FIELDS = ["split", "hashing", "bits", "labels", "learned from", "seed"]
METRICS = ["map@all", "accuracy", "added"]
FRACTIONS = [0.01, 0.05, 0.1]
ALL = "all labels"
WAYS = {
    ALL: {},
    "the few": {},
    "pseudo": {"label_expansion": "pseudo"},
    "prl, one round": {"label_expansion": "prl", "expansion_params": {"rounds": 1, "per_round": 1.0}},
    "prl, random": {"label_expansion": "prl", "expansion_params": {"choice": "random"}},
    "prl": {"label_expansion": "prl"},
}
FEATURES = {"backbone": "efficientnet_lite0", "image_size": 128}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--method", default="hashnet")
    parser.add_argument("--bits", type=int, default=32)
    parser.add_argument("--fractions", nargs="+", type=float, default=FRACTIONS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options = parser.parse_args()
    table, splits = open_table(), kinbits.load_protocol(PROTOCOL)
    runs = [(1.0, ALL)] + [(fraction, way) for fraction in options.fractions for way in WAYS if way != ALL]
    for seed in options.seeds:
        for fraction, way in runs:
            run = {"split": PROTOCOL, "hashing": options.method, "bits": options.bits, "labels": f"{fraction:.0%}"}
            measure(table, {**run, "learned from": way, "seed": seed}, splits)
            write_markdown(table)


def open_table() -> Table:
    """Return the table of this script."""
    return Table("label-expansion.csv", FIELDS, METRICS, lambda run: run_config(settings(run), run["split"]))


def settings(run: Run) -> FitSettings:
    """Return what a run is fitted with."""
    share = float(run["labels"].rstrip("%")) / 100
    plain = FitSettings(run["hashing"], int(run["bits"]))
    return plain.with_options(
        seed=int(run["seed"]), labels_fraction=share, progress=False, **FEATURES, **WAYS[run["learned from"]]
    )


def measure(table: Table, run: Run, splits) -> None:
    """Fit and measure one model, unless it is in the table."""
    if table.has(**run):
        return
    cache = FeatureCache()
    with Clock() as clock:
        model = kinbits.fit(splits.train, settings(run), cache=cache)
    queries, database = (model.encode(part, cache=cache) for part in (splits.query, splits.database))
    relevance = metrics.LabelRelevance(splits.query.labels, splits.database.labels)
    found = metrics.evaluate(queries, database, relevance, ["map@all"])["map@all"]
    right = guesses_right(model.labels, splits.train)
    accuracy = float(right.mean()) if len(right) else float("nan")
    values = {"map@all": found, "accuracy": accuracy, "added": len(right)}
    table.add(run, values, clock.seconds, splits.protocol.checksum)


def guesses_right(learned, train) -> np.ndarray:
    """Tell of each guess whether it is the label that was hidden, bool ``(g,)``."""
    truth = {str(one): train.label_space.names[label] for one, label in zip(train.ids, train.labels, strict=True)}
    guesses = [row for row in learned.to_pylist() if row["source"] == "pseudo"]
    return np.array([truth[row["id"]] == row["label"] for row in guesses], bool)


def write_markdown(table: Table) -> None:
    """Write mean and deviation over seeds."""
    (RESULTS / "label-expansion.md").write_text("\n".join(tables(table)) + "\n")


def tables(table: Table) -> list[str]:
    """Return a table per method: shares of labels against what was learned from."""
    by = ["split", "hashing", "bits", "labels", "learned from"]
    means = {metric: {tuple(r[k] for k in by): r for r in summary(table, by, metric)} for metric in METRICS}
    lines: list[str] = []
    for place in dict.fromkeys(key[:3] for key in means["map@all"]):
        keys = [key for key in means["map@all"] if key[:3] == place]
        runs = max(means["map@all"][key]["runs"] for key in keys)
        lines.append(
            f"**{place[0]}, {place[1]}, {place[2]} bits: tie-aware mAP@all, share of right guesses and their number, "
            f"mean ± deviation over {runs} seeds**"
        )
        lines += [
            "",
            "| labels kept | learned from | mAP@all | right guesses | guesses |",
            "| ---: | --- | ---: | ---: | ---: |",
        ]
        for key in sorted(keys, key=lambda k: float(k[3].rstrip("%"))):
            right = "" if means["added"][key]["mean"] == 0 else means["accuracy"][key]["text"]
            many = "" if not right else f"{means['added'][key]['mean']:,.0f}"
            lines.append(f"| {key[3]} | {key[4]} | {means['map@all'][key]['text']} | {right} | {many} |")
        lines.append("")
    return lines


if __name__ == "__main__":
    main()
