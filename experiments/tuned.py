"""Choose a method by `kinbits.tune` on three kinds of data, and compare what it chose with the best row of the tables.

Each search reads the training part of a protocol: groceries with one label each, products with sets of labels, and the
images of CIFAR-10 without their labels. Its model is measured on the queries and the database, which it has not seen.
The best row is the mean over the seeds of the best method of bits in the table of the protocol; without labels, of the
best unsupervised one. Writes ``results/tuned.csv`` and ``results/tuned.md``.

    KINBITS_DATA=path/to/data python experiments/tuned.py [--budget 600] [--only groceries]
"""

from __future__ import annotations

import argparse
import hashlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from _runs import RESULTS, Clock, Run, Table, read_rows

import kinbits
from kinbits import tune
from kinbits.data import Dataset, find_protocol
from kinbits.methods import describe_method, list_methods

BITS, SIZE, BUDGET, SEED = 32, 128, 600.0, 0
BACKBONE = "efficientnet_lite0"


def without_labels(data: Dataset) -> Dataset:
    return replace(data, labels=None, label_space=None)


DATA: dict[str, tuple[str, str, Callable[[Dataset], Dataset]]] = {
    "groceries, one label": ("grocery-store", "grocery", lambda data: data),
    "products, sets of labels": ("fashion-products", "multi-label", lambda data: data),
    "photos, no labels": ("cifar10-1k-5k-54k", "cifar10", without_labels),
}
FIELDS, METRICS = ["data", "budget"], ["map@all", "best", "took", "trials"]
CHOICE = ["chosen", "best_method"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--budget", type=float, default=BUDGET)
    parser.add_argument("--only", nargs="+", choices=DATA, default=list(DATA))
    options = parser.parse_args()
    table = open_table()
    for name in options.only:
        if not any(
            table.has(**row) for row in table.rows if (row["data"], row["budget"]) == (name, f"{options.budget:g}")
        ):
            measure(table, name, options.budget)
            write_markdown(table)


def open_table() -> Table:
    """Return the table of this script."""
    return Table("tuned.csv", [*FIELDS, *CHOICE], METRICS, config)


def config(run: Run) -> str:
    """Return the hash of what makes the numbers of a run; raise VERSION when the search changes."""
    parts = VERSION, find_protocol(DATA[run["data"]][0]).checksum, BITS, SIZE, SEED
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


VERSION = 1


def measure(table: Table, name: str, budget: float) -> None:
    """Search once, and measure the model that was chosen."""
    protocol, file, prepare = DATA[name]
    parts = kinbits.load_protocol(protocol)
    options = {"backbone": BACKBONE, "image_size": SIZE, "bits": BITS, "seed": SEED}
    with Clock() as clock:
        result = tune(prepare(parts.train), budget=budget, progress=False, **options)
    print(result, flush=True)
    report = kinbits.evaluate(result.model, parts, metric_names=["map@all"], baselines=False)
    found = float(report.rows[0].values["map@all"])
    best_method, best = best_row(file, protocol, labels=name != "photos, no labels")
    values = {
        "map@all": found,
        "best": best,
        "took": clock.seconds,
        "trials": sum(row.rank is not None for row in result.rows),
    }
    run = {"data": name, "budget": f"{budget:g}", "chosen": result.best.method, "best_method": best_method}
    table.add(run, values, clock.seconds, find_protocol(protocol).checksum)


def best_row(file: str, protocol: str, *, labels: bool) -> tuple[str, float]:
    """Return the best method of a table at these bits, and its mean over the seeds."""
    known = list_methods()
    found: dict[str, list[float]] = defaultdict(list)
    for row in read_rows(RESULTS / f"{file}.csv"):
        same = (row["protocol"], row["backbone"], row["bits"]) == (protocol, BACKBONE, str(BITS))
        if same and row["method"] in known and (labels or describe_method(row["method"]).supervision == "none"):
            found[row["method"]].append(float(row["map@all"]))
    return max(((name, float(np.mean(values))) for name, values in found.items()), key=lambda pair: pair[1])


def write_markdown(table: Table) -> None:
    """Write a row for each search."""
    lines = [
        f"What `kinbits tune` chose, and the best method of the tables; {BITS} bits, mAP@all of queries never seen.\n",
        "| data | budget | took | tried | chosen | mAP@all | best of the table | mAP@all |",
        "| --- | ---: | ---: | ---: | --- | ---: | --- | ---: |",
    ]
    for row in table.rows:
        budget, took, trials = (float(row[column]) for column in ("budget", "took", "trials"))
        cells = [row["data"], f"{budget:.0f} s", f"{took:.0f} s", f"{trials:.0f}", row["chosen"]]
        cells += [f"{float(row['map@all']):.3f}", row["best_method"], f"{float(row['best']):.3f}"]
        lines.append(f"| {' | '.join(cells)} |")
    (RESULTS / "tuned.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
