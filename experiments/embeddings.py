"""What codes of embeddings keep: the same neighbours, or the same kind, at equal bytes.

MiniLM embeddings of AG News (four topics) and of passages of SciFact (no labels), and EfficientNet-Lite0 features of
CIFAR-10. 1,000 rows are queries, all others are learned from and searched. Writes ``results/embeddings.csv`` (one row
per run and way of searching; what is there is not measured again) and ``results/embeddings.md``. ``recall@k`` is the
share of a query's k nearest rows by cosine among its first k hits, the mean over ties; ``map`` is tie-aware mAP@all by
label. ``hamming`` compares codes, ``asymmetric`` a real-valued query with codes, ``rescored`` orders the first 10 k
codes by Hamming distance (of codes that are no bits: by their own) by int8 vectors; ties among candidates are by row.
``bound`` reads float32 vectors until the bound of scaled codes leaves no other; ``read`` is their number for ten hits.
A length is that of the whole code; rabitq keeps 96 bits of it for factors, and 480 bits hold one of each of 384
dimensions, 1376 one of each of 1280. Views of spq and mecoq leave out a fifth of the numbers.

    KINBITS_DATA=path/to/data python experiments/embeddings.py [--sets ag-news] [--bits 64 128] [--methods itq opq]
"""

from __future__ import annotations

import argparse
import os
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from _runs import RESULTS, Clock, Run, Table, summary

import kinbits
from kinbits import HashModel, hamming
from kinbits.backbones import extract, load_backbone
from kinbits.bench import config_of
from kinbits.data import FeatureCache
from kinbits.fitting import FitSettings
from kinbits.index import BatchHits
from kinbits.metrics import LabelRelevance, MatrixRelevance, Relevance, ScoreBlock, evaluate_scores

QUERIES, K, TIMES = 1000, (10, 100), 10
FIELDS = ["data", "method", "bits", "search", "seed"]
METRICS = ["recall@10", "recall@100", "map", "read"]
PLAIN = ("sign", "centred sign")
METHODS = {
    "lsh": ("lsh", {}),
    "pca-rotation": ("pca-rotation", {}),
    "itq": ("itq", {}),
    "pq": ("pq", {}),
    "opq": ("opq", {}),
    "bihalf": ("bihalf", {}),
    "rankhash": ("rankhash", {}),
    "distillhash": ("distillhash", {}),
    "spq": ("spq", {"dropout": 0.2}),
    "mecoq": ("mecoq", {"dropout": 0.2}),
    "rabitq": ("rabitq", {}),
    "rabitq, 2 bits a dimension": ("rabitq", {"bits_per_dim": 2}),
    "rabitq, 4 bits a dimension": ("rabitq", {"bits_per_dim": 4}),
}
SCALED = {"rabitq": 1, "rabitq, 2 bits a dimension": 2, "rabitq, 4 bits a dimension": 4}  # bits a dimension
FACTORS = 96  # bits of a scaled code
TEXTS = {"ag-news": "ag_news.parquet", "scifact": "scifact_passages.parquet"}
DIMS = {"ag-news": 384, "scifact": 384, "cifar10": 1280}
SETS = tuple(DIMS)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--bits", nargs="+", type=int, default=[64, 128, 256, 384])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", choices=[*PLAIN, *METHODS], default=[*PLAIN, *METHODS])
    options = parser.parse_args()
    table = open_table()
    for name in options.sets:
        for method in options.methods:
            for bits in lengths(method, options.bits, DIMS[name]):
                for seed in options.seeds[: 1 if method in PLAIN else None]:
                    measure(table, {"data": name, "method": method, "bits": bits, "seed": seed})
                    write_markdown(table)


def lengths(method: str, asked: list[int], dims: int) -> list[int]:
    """Return the lengths that a method is measured at: for rabitq those that hold factors, and one for all numbers."""
    if method not in SCALED:
        return asked
    return [*(bits for bits in asked if bits > FACTORS), FACTORS + SCALED[method] * dims]


def open_table() -> Table:
    """Return the table of this script."""
    return Table("embeddings.csv", FIELDS, METRICS, config)


def config(run: Run) -> str:
    """Return the hash of what makes the numbers of a run."""
    return config_of(settings(run), data=run["data"], plain=run["method"] if run["method"] in PLAIN else None)


def settings(run: Run) -> FitSettings:
    """Return what a run is fitted with; signs of the numbers themselves stand for a method without parameters."""
    method, params = METHODS.get(run["method"], ("lsh", {}))
    kept = {"normalise": True} if run["method"] != "sign" else {}
    return FitSettings(method, int(run["bits"]), params).with_options(seed=int(run["seed"]), progress=False, **kept)


class Data:
    """Rows of one set, split into queries and a database, with the nearest neighbours of the queries."""

    def __init__(self, name: str) -> None:
        vectors, labels = embeddings(name)
        order = np.random.default_rng(0).permutation(len(vectors))
        self.rows, self.labels = vectors[order], None if labels is None else labels[order]
        self.query, self.database = self.rows[:QUERIES], self.rows[QUERIES:]
        unit = self.rows / np.linalg.norm(self.rows, axis=1, keepdims=True)
        self.near = np.argsort(-(unit[:QUERIES] @ unit[QUERIES:].T), axis=1, kind="stable")[:, : max(K)]

    def relevance(self, k: int) -> MatrixRelevance:
        """Return which database rows are among the k nearest of each query."""
        marked = np.zeros((QUERIES, len(self.database)), bool)
        np.put_along_axis(marked, self.near[:, :k], True, axis=1)
        return MatrixRelevance(marked)

    def by_label(self) -> LabelRelevance | None:
        """Return which database rows share a query's label; None without labels."""
        return None if self.labels is None else LabelRelevance(self.labels[:QUERIES], self.labels[QUERIES:])


@cache
def data(name: str) -> Data:
    return Data(name)


def embeddings(name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return vectors, float32 ``(n, d)``, and labels; texts are embedded once and kept in the cache folder."""
    if name == "cifar10":
        splits = kinbits.load_protocol("cifar10-1k-5k-54k")
        backbone, parts = load_backbone("efficientnet_lite0", size=128), (splits.query, splits.database)
        found = [extract(part, backbone, cache=FeatureCache()).array for part in parts]
        return np.concatenate(found).astype(np.float32), np.concatenate([part.labels for part in parts])
    table = pq.read_table(Path(os.environ["KINBITS_DATA"].split(os.pathsep)[0]) / TEXTS[name])
    labels = np.unique(table["label"].to_pylist(), return_inverse=True)[1] if "label" in table.column_names else None
    kept = FeatureCache().root / f"embeddings-{name}.npy"
    if not kept.exists():
        embed(table["text"].to_pylist(), kept)
    return np.load(kept), labels


def embed(texts: list[str], kept: Path) -> None:
    """Write MiniLM embeddings of texts, float32 ``(n, 384)``; what an earlier run left unfinished is gone on with.

    Texts of similar length share a batch, since each is padded to the longest of its batch.
    """
    backbone = load_backbone("minilm")
    unfinished = kept.with_suffix(".part.npy")
    if not unfinished.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.save(unfinished, np.full((len(texts), backbone.feature_dim), np.nan, np.float32))
    rows = np.load(unfinished, mmap_mode="r+")
    by_length = np.argsort([len(text) for text in texts], kind="stable")
    with torch.no_grad():
        for batch in np.split(by_length, range(64, len(texts), 64)):
            if np.isnan(rows[batch]).any():
                rows[batch] = backbone(**backbone.tokenize([texts[row] for row in batch])).numpy()
    rows.flush()
    unfinished.rename(kept)


def measure(table: Table, run: Run) -> None:
    """Fit one model, and add a row for each way of searching."""
    held = data(run["data"])
    whole = held.rows.shape[1] if run["method"] not in SCALED else np.inf
    if table.has(**run, search="rescored") or run["bits"] > whole:  # which is the last row of a run
        return
    with Clock() as clock:
        model, tables, codes, distances = encoded(run, held)
    for way, scores in (("hamming", distances), ("asymmetric", real_valued(tables, codes[1]))):
        if scores is not None:
            row = {**run, "search": way}
            found = {f"recall@{k}": of_scores(scores, held.relevance(k), f"precision@{k}") for k in K}
            label = held.by_label()
            found["map"] = np.nan if label is None else of_scores(scores, label, "map@all")
            table.add(row, {**found, "read": np.nan}, clock.seconds, run["data"])
    if run["method"] in SCALED:
        index = kinbits.Index.create(None, codes[1], model=model, keep="float32", vectors=held.database)
        found = {f"recall@{k}": shared(held, index.search(held.query, k=k, rescore="bound"), k) for k in K}
        found["read"] = np.mean([hits.vectors_read for hits in index.search(held.query, k=K[0], rescore="bound")])
        table.add({**run, "search": "bound"}, {**found, "map": np.nan}, clock.seconds, run["data"])
    queries, words = (tables, model.words) if distances is None else (codes[0], hamming.BITS)
    index = kinbits.Index.create(
        None, codes[1], bits=8 * codes[1].shape[1], words=words, keep="int8", vectors=held.database
    )
    found = {f"recall@{k}": shared(held, index.search(queries, k=k, rescore=TIMES, vectors=held.query), k) for k in K}
    rescored = {**found, "map": np.nan, "read": TIMES * K[0]}
    table.add({**run, "search": "rescored"}, rescored, clock.seconds, run["data"])


def encoded(
    run: Run, held: Data
) -> tuple[HashModel | None, np.ndarray, tuple[np.ndarray, np.ndarray], ScoreBlock | None]:
    """Return a model, the tables of queries, the codes of both parts, and scores by Hamming distance; None without."""
    bits, model = run["bits"], None
    if run["method"] in PLAIN:
        centre = held.database.mean(0) * (run["method"] != "sign")
        query, database = ((part - centre)[:, :bits] for part in (held.query, held.database))
        codes = hamming.pack(query > 0), hamming.pack(database > 0)
        tables = hamming.sign_tables(query)
    else:
        model = kinbits.fit(held.database, settings(run))
        codes = model.encode(held.query), model.encode(held.database)
        tables = model.encode(held.query, output="tables")
        if model.words != hamming.BITS:
            return model, tables, codes, None

    def by_hamming(start: int, stop: int) -> np.ndarray:
        return -hamming.distances(codes[0][start:stop], codes[1]).astype(np.float32)

    return model, tables, codes, by_hamming


def real_valued(tables: np.ndarray, codes: np.ndarray) -> ScoreBlock:
    """Return the scores of real-valued queries."""
    return lambda start, stop: -hamming.table_distances(tables[start:stop], codes)


def of_scores(scores: ScoreBlock, relevance: Relevance, metric: str) -> float:
    return evaluate_scores(scores, relevance, [metric])[metric]


def shared(held: Data, hits: BatchHits, k: int) -> float:
    """Return the share of the k true neighbours that are among the hits, the mean over queries."""
    return float(np.mean([np.isin(near[:k], one.ids).mean() for near, one in zip(held.near, hits, strict=True)]))


def write_markdown(table: Table) -> None:
    """Write one table per data set and metric: a method and way of searching a line, a length a column."""
    lines = [
        "Codes of embeddings, mean ± sample deviation over seeds; `experiments/embeddings.py` says what is measured."
    ]
    for metric in METRICS:
        every = summary(table, ["data", "method", "search", "bits"], metric)
        rows = [row for row in every if not np.isnan(row["mean"])]
        for name in dict.fromkeys(row["data"] for row in rows):
            here = {(r["method"], r["search"], int(r["bits"])): r["text"] for r in rows if r["data"] == name}
            lengths = sorted({bits for *_, bits in here})
            lines += ["", f"**{name}: {metric}**", ""]
            lines.append("| method | search | " + " | ".join(f"{bits} bits" for bits in lengths) + " |")
            lines.append("| --- | --- |" + " ---: |" * len(lengths))
            for method, way in dict.fromkeys(key[:2] for key in here):
                cells = " | ".join(here.get((method, way, bits), "") for bits in lengths)
                lines.append(f"| {method} | {way} | {cells} |")
    (RESULTS / "embeddings.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
