"""How much the definition of mAP and the order of ties move the number of one and the same codes.

Fits one method at two lengths on CIFAR-10's frozen features and counts in every way that `kinbits.metrics` knows.
Writes ``results/ties.csv`` (a model is measured again only if its rows are stale) and ``docs/ties.md`` from it.
``--check`` only says whether the document is up to date.

    KINBITS_DATA=path/to/data python experiments/ties.py [--check]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from _runs import read_rows, run_config

from kinbits.bench import write_rows
from kinbits.fitting import FitSettings

ROOT = Path(__file__).parent.parent
CSV, DOC = ROOT / "results" / "ties.csv", ROOT / "docs" / "ties.md"
PROTOCOL, SEED = "cifar10-1k-5k-54k", 0
MODELS = [("orthohash", 16), ("orthohash", 64)]
ORDERS = ("shuffled", "sorted by class")
TIES = ("expected", "worst", "best", "stable", "random")
CUTS = ("map@all", "map@1000")
VARIANTS = ("map@1000/min", "map@1000/all", "map@1000/retrieved")
SHUFFLES = 10
FIELDS = ["method", "bits", "order", "metric", "definition", "value", "spread"]
FACTS = ["config", "split_checksum", "commit", "hardware"]

Row = Mapping[str, str]


def main() -> int:
    if "--check" not in sys.argv:
        present = {(row["method"], row["bits"]) for row in read()} - {(row["method"], row["bits"]) for row in stale()}
        for method, bits in MODELS:
            if (method, str(bits)) not in present:
                measure(method, bits)
        DOC.parent.mkdir(exist_ok=True)
        DOC.write_text(document(read()))
        return 0
    return int(DOC.read_text() != document(read()))


def measure(method: str, bits: int) -> None:
    """Fit one model, count its codes in every way, and put the rows into the table."""
    import numpy as np

    import kinbits
    from kinbits.bench import provenance
    from kinbits.data import FeatureCache

    cache, splits = FeatureCache(), kinbits.load_protocol(PROTOCOL)
    model = kinbits.fit(splits.train, settings(method, bits), cache=cache)
    query, database = (model.encode(p, cache=cache) for p in (splits.query, splits.database))
    labels, asked = np.asarray(splits.database.labels), np.asarray(splits.query.labels)
    shuffled = np.random.default_rng(SEED).permutation(len(database))
    orders = {"shuffled": shuffled, "sorted by class": shuffled[np.argsort(labels[shuffled], kind="stable")]}
    facts = [
        run_config(settings(method, bits), PROTOCOL),
        splits.protocol.checksum[:12],
        provenance()["commit"],
        provenance()["hardware"],
    ]
    columns = [*FIELDS, *FACTS]
    rows = [
        dict(zip(columns, [method, bits, name, *found, *facts], strict=True))
        for name, order in orders.items()
        for found in counted(query, database[order], asked, labels[order], plain=name == "shuffled")
    ]
    others = [row for row in read() if (row["method"], row["bits"]) != (method, str(bits))]
    write_rows(CSV, columns, [*others, *rows])
    print(f"{method} {bits}: {len(rows)} rows", flush=True)


def counted(query, database, asked, labels, *, plain: bool) -> Iterator[list[str]]:
    """Yield metric, definition, value and spread; what no order of the database changes only if ``plain``."""
    import numpy as np

    from kinbits import metrics

    relevance = metrics.LabelRelevance(asked, labels)
    names = [*CUTS, *VARIANTS[1:]]
    for ties in TIES:
        if ties == "random" and plain:
            drawn = [metrics.evaluate(query, database, relevance, CUTS, ties="random", seed=s) for s in range(SHUFFLES)]
            for name in CUTS:
                values = np.array([one[name] for one in drawn])
                yield [name, "random", f"{values.mean():.6f}", f"{values.std(ddof=1):.6f}"]
        elif ties != "random" and (plain or ties == "stable"):
            found = metrics.evaluate(query, database, relevance, names if ties == "expected" else CUTS, ties=ties)
            low, high = found.interval("map@all")
            for name, value in found.items():
                spread = f"{(high - low) / 2:.6f}" if (ties, name) == ("expected", "map@all") else ""
                yield [name, ties, f"{value:.6f}", spread]
    for definition in metrics.legacy_definitions():
        found = metrics.evaluate(query, database, relevance, CUTS, legacy=definition.name)
        yield from ([name, definition.name, f"{value:.6f}", ""] for name, value in found.items())


def read() -> list[Row]:
    """Read the measured rows."""
    return read_rows(CSV)


def settings(method: str, bits: int) -> FitSettings:
    """Return what a model is fitted with."""
    return FitSettings(method, bits).with_options(seed=SEED, progress=False)


def stale() -> list[Row]:
    """Return the rows that were made with other settings, versions or data than the present ones."""
    return [row for row in read() if row["config"] != run_config(settings(row["method"], int(row["bits"])), PROTOCOL)]


class Values:
    """The measured numbers, by what they are."""

    def __init__(self, rows: list[Row]) -> None:
        self._rows = {tuple(row[name] for name in FIELDS[:5]): row for row in rows}
        self.models = list(dict.fromkeys((row["method"], row["bits"]) for row in rows))

    def row(self, model: tuple[str, str], definition: str, metric: str, order: str = ORDERS[0]) -> Row:
        """Return one measured row."""
        return self._rows[(*model, order, metric, definition)]

    def cell(self, model: tuple[str, str], definition: str, metric: str, order: str = ORDERS[0]) -> str:
        """Write one number."""
        return f"{float(self.row(model, definition, metric, order)['value']):.4f}"

    def number(self, *what: object) -> float:
        """Return one number."""
        return float(self.row(*what)["value"])  # type: ignore[arg-type]


def document(rows: list[Row]) -> str:
    """Write the document from the measured rows."""
    values = Values(rows)
    parts = [
        INTRODUCTION,
        grid(values, "order inside ties", list(order_lines(values))),
        AFTER_ORDERS.format(**facts(values)),
        grid(values, "definition, database order", list(legacy_lines(values, "map@all"))),
        AFTER_LEGACY,
        grid(values, "definition, database order", list(cut_lines(values))),
        AFTER_CUT.format(**facts(values)),
        HOW.format(protocol=PROTOCOL, checksum=rows[0]["split_checksum"], shuffles=SHUFFLES),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def grid(values: Values, corner: str, lines: list[list[str]]) -> str:
    """Write a Markdown table, one column per model."""
    head = [corner, *(f"{method}, {bits} bits" for method, bits in values.models)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *lines])


ORDER_NAMES = {
    "expected": '**expected value** (`ties="expected"`)',
    "random": "random order, mean ± deviation",
    "worst": "worst: relevant items last",
    "best": "best: relevant items first",
}


def order_lines(values: Values) -> Iterator[list[str]]:
    """Yield mAP@all by the order inside ties."""
    for ties, name in ORDER_NAMES.items():
        cells = []
        for model in values.models:
            row = values.row(model, ties, "map@all")
            spread = f" ± {float(row['spread']):.5f}" if ties == "random" else ""
            cells.append(f"{float(row['value']):.4f}{spread}")
        yield [name, *cells]
    for order in ORDERS:
        yield [f"stable sort, database {order}", *(values.cell(m, "stable", "map@all", order) for m in values.models)]
    yield [
        "*95 % interval over queries, ±*",
        *(f"{float(values.row(m, 'expected', 'map@all')['spread']):.4f}" for m in values.models),
    ]


def legacy_names(values: Values) -> list[str]:
    """Return the names of the legacy definitions that were measured."""
    return [name for name in dict.fromkeys(key[4] for key in values._rows) if name not in TIES]


def legacy_lines(values: Values, metric: str) -> Iterator[list[str]]:
    """Yield one line per legacy definition and database order."""
    for name in legacy_names(values):
        for order in ORDERS:
            yield [f"`{name}`, {order}", *(values.cell(m, name, metric, order) for m in values.models)]


def cut_lines(values: Values) -> Iterator[list[str]]:
    """Yield mAP@1000 by denominator and by legacy definition."""
    for variant in VARIANTS:
        name = "map@1000" if variant == VARIANTS[0] else variant
        yield [f"**expected**, `{variant}`", *(values.cell(m, "expected", name) for m in values.models)]
    yield from legacy_lines(values, "map@1000")


def facts(values: Values) -> dict[str, str]:
    """Return the numbers that the text quotes."""
    short = [model for model in values.models if model[1] == "16"]
    gaps = [values.number(m, "best", "map@all") - values.number(m, "worst", "map@all") for m in short]
    long = [model for model in values.models if model[1] == "64"]
    small = [values.number(m, "best", "map@all") - values.number(m, "worst", "map@all") for m in long]
    lifts = [
        values.number(m, "stable", "map@all", ORDERS[1]) - values.number(m, "expected", "map@all")
        for m in values.models
    ]
    drops = [
        values.number(m, "expected", "map@1000/retrieved") - values.number(m, "expected", "map@1000/all")
        for m in values.models
    ]
    shifts = [
        values.number(m, "landmarks", "map@1000", ORDERS[1]) - values.number(m, "landmarks", "map@1000")
        for m in values.models
    ]
    return {
        "short": span(gaps, ".1f"),
        "long": span(small, ".1f"),
        "lift": span(lifts, "+.2f"),
        "sorted": span(shifts, "+.1f"),
        "drop": span(drops, ".0f"),
    }


def span(numbers: list[float], form: str) -> str:
    """Write in points from where to where numbers go, or the one number that they are."""
    low, high = (format(100 * number, form) for number in (min(numbers), max(numbers)))
    return low if low == high else f"{low} to {high}"


INTRODUCTION = """
# Ties and the definitions of mAP

A code of K bits has K + 1 distances, so most items of a ranking are tied. Every metric that looks at ranks depends
on the order inside ties. Published code leaves this order to a sort function. It also differs in the denominator,
and in the rule for queries without a hit. This page evaluates the same codes of the same models by every
definition. All numbers come from this repository.

## The order inside ties changes mAP@all
"""

AFTER_ORDERS = """
The expected value needs no random order and no sort. It is a closed form of the numbers of items and of relevant
items at each distance (`kinbits.metrics.evaluate`, docstring). Random orders confirm it. The worst and the best
order differ by {short} points of mAP at 16 bits, and by {long} at 64. Many data sets are sorted by class. A stable
sort of a sorted database changes the number by {lift} points against its expectation, although the codes are the
same.

## Published definitions

Each definition restates the code that it is named after, and a test compares it with a transcription of the code's
formula. `legacy="name"` selects a definition. `kinbits.metrics.legacy_definitions()` lists source, sort call,
denominator and the rule for empty queries.
"""

AFTER_LEGACY = """
Unstable sorts (`numpy.argsort`, `torch.topk`) do not shuffle: they also favour some classes in a database that is
sorted by class. Their order depends on the version and on the processor.

## At a cut-off of 1,000, the denominator matters more than the ties

A list of 1,000 items cannot hold all relevant items of CIFAR-10 (more than 5,000 for each query). `retrieved`
divides by the number of relevant hits, `min` by min(R, 1000), `all` by R. A system with one relevant item, at rank
1, scores 1 by `retrieved`. Numbers with different denominators therefore do not belong in one table.
"""

AFTER_CUT = """
`retrieved` and `all` differ by {drop} points on the same codes. Ties also matter more with a cut-off: a database
that is sorted by class changes `landmarks`, a stable sort with `min`, by {sorted} points. The denominator of
`retrieved` is random. Its expected value is exact nevertheless: kinbits sums the contribution of the group at rank
1,000 over its hypergeometric distribution.
"""

HOW = """
## Recommendations

- Report tie-aware numbers (the default here) with the metric's full name: `map@all`, `map@1000/retrieved`.
- To compare with a paper's table, find the paper's code and use its `legacy` definition, on a shuffled database.
- Report the interval over queries (`result.interval("map@all")`). It is often wider than the differences in
  published tables.

Protocol `{protocol}` (split {checksum}), frozen EfficientNet-Lite0 features, seed 0, {shuffles} random orders.
`experiments/ties.py` makes this page from `results/ties.csv`, and a test fails if they differ.
"""


if __name__ == "__main__":
    sys.exit(main())
