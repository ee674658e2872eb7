"""How well codes hold on CIFAR-10: networks from scratch with and without defences, and frozen features.

``scratch``: convnet-small at 16 pixels, ten epochs as in cifar10-scratch.yaml, by three methods: as they are, on images
with everyday edits, and with each defence. ``frozen``: EfficientNet-Lite0 at 128 pixels with the default recipes. 200
queries are edited and attacked within 8/255 (`kinbits.robustness.measure_robustness`). Writes
``results/robustness.csv`` (one row per model, seed and change; a model whose rows are all there is not measured again)
and ``results/robustness.md``.

    KINBITS_DATA=path/to/data python experiments/robustness.py [--networks frozen] [--methods csq] [--seeds 0 1 2]
"""

from __future__ import annotations

import argparse
from functools import cache

import numpy as np
from _runs import RESULTS, Clock, Run, Table, run_config, summary

import kinbits
from kinbits.data import FeatureCache, Splits
from kinbits.fitting import FitSettings
from kinbits.robustness import measure_robustness

PROTOCOL, BITS, QUERIES = "cifar10-1k-5k-54k", 32, 200
FIELDS, METRICS = ["network", "method", "defence", "seed", "images"], ["map", "t-map", "rmse", "ssim", "ms"]
NONE, EDITS = "none", "edits"
DEFENCES = NONE, EDITS, "saat", "cgat", "atrdh"
SCRATCH = {"backbone": "convnet-small", "image_size": 16, "epochs": 10, "batch_size": 64, "backbone_lr": 0.0015}
NETWORKS = {
    "scratch": (
        {**SCRATCH, "schedule": "cosine"},
        ("csq", "hashnet", "orthohash"),
        DEFENCES,
    ),
    "frozen": ({"backbone": "efficientnet_lite0", "image_size": 128}, ("csq", "hashnet", "orthohash", "itq"), (NONE,)),
}
LAST = "anchor code"  # of a report's rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--methods", nargs="+", default=[])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options = parser.parse_args()
    table = open_table()
    for seed in options.seeds:
        for network in options.networks:
            _, methods, defences = NETWORKS[network]
            for method in options.methods or methods:
                for defence in defences:
                    measure(table, {"network": network, "method": method, "defence": defence, "seed": seed})
                    write_markdown(table)


def open_table() -> Table:
    """Return the table of this script."""
    return Table("robustness.csv", FIELDS, METRICS, lambda run: run_config(settings(run), PROTOCOL))


def settings(run: Run) -> FitSettings:
    """Return what a model is fitted with."""
    options, _, _ = NETWORKS[run["network"]]
    defence = {NONE: {}, EDITS: {"augmentation": "edits"}}.get(run["defence"], {"defence": run["defence"]})
    return FitSettings(run["method"], BITS).with_options(**options, **defence, seed=int(run["seed"]), progress=False)


@cache
def splits() -> Splits:
    return kinbits.load_protocol(PROTOCOL)


def measure(table: Table, run: Run) -> None:
    """Fit one model, measure it, and add a row for each change."""
    if table.has(**run, images=LAST):
        return
    with Clock() as clock:
        model = kinbits.fit(splits().train, settings(run), cache=FeatureCache())
    report = measure_robustness(model, splits(), targeted=True, queries=QUERIES, seed=int(run["seed"]))
    for row in report.rows:
        name = f"{row.name}, {255 * row.epsilon:.0f}/255" if row.group == "curve" else row.name
        numbers = {"map": row.map, "t-map": row.target_map, "rmse": row.rmse, "ssim": row.ssim}
        numbers["ms"] = None if row.seconds is None else 1000 * row.seconds
        values = {key: np.nan if value is None else value for key, value in numbers.items()}
        table.add({**run, "images": name}, values, clock.seconds, splits().protocol.checksum)


def write_markdown(table: Table) -> None:
    """Write mAP and mAP by target, mean and deviation over seeds, of each change, a column for each training."""
    lines = [
        f"{PROTOCOL}, {BITS} bits, {QUERIES} queries, mean ± deviation over seeds; see `experiments/robustness.py`."
    ]
    for metric in ("map", "t-map"):
        cells = summary(table, ["network", "method", "defence", "images"], metric)
        for network, method in dict.fromkeys((cell["network"], cell["method"]) for cell in cells):
            here = [cell for cell in cells if (cell["network"], cell["method"]) == (network, method)]
            texts = {(cell["defence"], cell["images"]): cell["text"].replace("nan", "") for cell in here}
            defences, images = (list(dict.fromkeys(names)) for names in zip(*texts, strict=True))
            lines += ["", f"**{network}, {method}: {metric}**", "", f"| images | {' | '.join(defences)} |"]
            lines.append("| --- |" + " ---: |" * len(defences))
            lines += [f"| {one} | {' | '.join(texts.get((by, one), '') for by in defences)} |" for one in images]
    (RESULTS / "robustness.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
