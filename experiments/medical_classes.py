"""How well each class of the medical sets is found, the rare ones above all: ath, its ablations, and rivals.

Reads the values of the queries that ``kinbits bench experiments/medical.yaml`` wrote, and writes
``results/medical-classes.md``. The number behind a class is its share of the training images; ``(mean)`` is the mean
over classes, in which each counts alike.

    KINBITS_DATA=path/to/data python experiments/medical_classes.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from _runs import RESULTS, read_rows, spread

import kinbits
from kinbits.bench import Experiment, QueryValues

NAME, METRIC, MEAN = "medical", "map@all", "(mean)"


def main() -> None:
    lines = [
        "Tie-aware mAP@all of the queries of each class (its share of the training images), mean ± sample deviation "
        "over seeds; features and maps of a frozen `efficientnet_lite0` at 128 px."
    ]
    for protocol in Experiment.from_file(Path(__file__).with_name(f"{NAME}.yaml")).protocols:
        lines += list(table_of(protocol))
    (RESULTS / "medical-classes.md").write_text("\n".join(lines) + "\n")


def table_of(protocol: str) -> Iterator[str]:
    """Yield the lines of a protocol's table: a method a line, a class a column."""
    splits, values = kinbits.load_protocol(protocol), QueryValues(RESULTS / f"{NAME}.csv", METRIC).read()
    labels, classes = splits.query.labels, np.unique(splits.query.labels)
    shares = np.bincount(splits.train.labels, minlength=splits.train.label_space.classes) / len(splits.train)
    found: dict[tuple[str, str], list[np.ndarray]] = {}
    for row in read_rows(RESULTS / f"{NAME}.csv"):
        if row["protocol"] == protocol:
            each = values[row["config"], row["direction"]]
            means = [np.nanmean(each[labels == c]) for c in classes]
            found.setdefault((row["bits"], row["method"]), []).append(np.array([*means, np.mean(means)]))
    titles = [f"{splits.train.label_space.names[c]} ({shares[c]:.3f})" for c in classes]
    for bits in dict.fromkeys(bits for bits, _ in found):
        yield from ("", f"`{protocol}`, {'features' if bits == 'float' else f'{bits} bits'}", "")
        yield "| method | " + " | ".join([*titles, MEAN]) + " |"
        yield "| --- " * (len(classes) + 2) + "|"
        for method, runs in ((method, runs) for (length, method), runs in found.items() if length == bits):
            cells = [spread([run[place] for run in runs]) for place in range(len(classes) + 1)]
            yield f"| {method} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
