"""What re-ranking by reconstructed features gains at equal memory, and what a graph over the codes loses.

On CIFAR-10's frozen features: each method's codes in an exact index and in a graph (faiss-hnsw), plain and re-ranked.
Writes ``results/rankhash.csv`` (one row per model, engine and depth; what is there is not measured again) and
``results/rankhash.md``. ``neighbours@R`` is the share of the 10 nearest images by features among the first R hits,
``labels@R`` the share of the first R hits that are of the query's class, ``graph`` the share of the 100 nearest by code
that the engine finds, ``ms`` the mean time of a query in a batch.

    KINBITS_DATA=path/to/data python experiments/rankhash.py [--bits 32 64 128] [--seeds 0 1 2]
"""

from __future__ import annotations

import argparse
from functools import cached_property

import numpy as np
from _runs import RESULTS, Clock, Run, Table, run_config, summary

import kinbits
from kinbits import hamming
from kinbits.data import FeatureCache
from kinbits.fitting import FitSettings
from kinbits.index import create_index

PROTOCOL, NEAREST, HITS = "cifar10-1k-5k-54k", 10, 100
METRICS = ["neighbours@10", "neighbours@100", "labels@10", "labels@100", "graph", "ms"]
FIELDS = ["method", "bits", "seed", "engine", "rerank"]
METHODS = {
    "itq": ("itq", {}),
    "rankhash": ("rankhash", {}),
    "rankhash (pairwise)": ("rankhash", {"rank": "pairwise"}),
    "rankhash (reconstruction alone)": ("rankhash", {"rank": "none"}),
}
ENGINES, DEPTHS = ("exact", "faiss-hnsw"), (0, 100, 1000)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bits", nargs="+", type=int, default=[32, 64, 128])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    options = parser.parse_args()
    table, data = open_table(), Data()
    for bits in options.bits:
        for seed in options.seeds:
            for name in options.methods:
                measure(table, data, name, bits, seed)
                write_markdown(table)


def open_table() -> Table:
    """Return the table of this script."""
    return Table("rankhash.csv", FIELDS, METRICS, lambda run: run_config(settings(run), PROTOCOL))


def settings(run: Run) -> FitSettings:
    """Return what a run is fitted with."""
    method, params = METHODS[run["method"]]
    return FitSettings(method, int(run["bits"]), params).with_options(seed=int(run["seed"]), progress=False)


class Data:
    """The split, its cached features, and the true neighbours."""

    def __init__(self) -> None:
        self.splits, self.cache = kinbits.load_protocol(PROTOCOL), FeatureCache()

    def features(self, model, part):
        """Return the features of one part, float32 ``(n, d)``."""
        return model.encode(getattr(self.splits, part), output="features", cache=self.cache)

    @cached_property
    def nearest(self):
        """The nearest database rows of each query by Euclidean distance, int64 ``(q, 10)``."""
        import faiss

        model = kinbits.fit(self.splits.train, method="lsh", bits=8, cache=self.cache, progress=False)
        queries, database = self.features(model, "query"), self.features(model, "database")
        index = faiss.IndexFlatL2(database.shape[1])
        centre = database.mean(0)
        index.add(database - centre)
        return index.search(queries - centre, NEAREST)[1]


class Cached:
    """A model whose images are given as the features that it would compute."""

    def __init__(self, model) -> None:
        self.bits, self.fingerprint = model.bits, model.fingerprint
        self.tower, self.reconstruct = model.tower, model.reconstruct

    def encode(self, items, /, *, output="codes"):
        """Return what the model makes of features."""
        return self.tower().compute(items, output)


def measure(table, data, name, bits, seed) -> None:
    """Fit one model and ask each engine, plain and re-ranked."""
    depths = (0,) if name == "itq" else DEPTHS
    known = {"method": name, "bits": bits, "seed": seed}
    runs = [{**known, "engine": engine, "rerank": depth} for engine in ENGINES for depth in depths]
    if all(table.has(**run) for run in runs):
        return
    with Clock() as clock:
        model = kinbits.fit(data.splits.train, settings(known), cache=data.cache)
    queries, codes = data.features(model, "query"), model.tower().compute(data.features(model, "database"))
    exact, _ = hamming.topk(model.tower().compute(queries), codes, HITS)
    indexes = {engine: create_index(engine=engine, model=Cached(model)).add(codes) for engine in ENGINES}
    for run in runs:
        if not table.has(**run):
            index = indexes[run["engine"]]
            with Clock() as asked:
                hits = index.search(queries, k=HITS, rerank=run["rerank"])
            found = [one.distances <= near[-1] for one, near in zip(index.search(queries, k=HITS), exact, strict=True)]
            values = {**judged(data, np.stack(hits.ids)), "graph": float(np.mean(found))}
            values["ms"] = 1000 * asked.seconds / len(queries)
            table.add(run, values, clock.seconds, data.splits.protocol.checksum)


def judged(data, ids):
    """Judge the hits, int64 ``(q, 100)``, by features and by labels."""
    true = (ids[:, :, None] == data.nearest[:, None]).any(2)
    alike = np.asarray(data.splits.database.labels)[ids] == np.asarray(data.splits.query.labels)[:, None]
    return {f"neighbours@{r}": float(true[:, :r].sum(1).mean()) / NEAREST for r in (10, 100)} | {
        f"labels@{r}": float(alike[:, :r].mean()) for r in (10, 100)
    }


def write_markdown(table) -> None:
    """Write means and deviations over the seeds, one table for each code length."""
    by = ["bits", "method", "engine", "rerank"]
    lines = [f"{PROTOCOL}, frozen features; mean ± deviation over the seeds."]
    columns = {metric: summary(table, by, metric) for metric in METRICS}
    for bits in dict.fromkeys(row["bits"] for row in columns[METRICS[0]]):
        lines += [f"\n**{bits} bits**\n", "| method | engine | re-ranked | " + " | ".join(METRICS) + " |"]
        lines.append("| --- | --- | ---: |" + " ---: |" * len(METRICS))
        for cells in zip(*columns.values(), strict=True):
            if cells[0]["bits"] == bits:
                numbers = " | ".join(cell["text"] for cell in cells)
                lines.append(f"| {cells[0]['method']} | {cells[0]['engine']} | {cells[0]['rerank']} | {numbers} |")
    (RESULTS / "rankhash.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
