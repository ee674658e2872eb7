"""Words find images with two networks that never saw each other: an ImageNet classifier and a sentence encoder.

The names of the labels of three data sets are the queries, and all images of a label are relevant. The ways:

- ``conse``: e(x) = the mean embedding of the names of the likeliest classes of an image, weighted by their
  probabilities; images are ranked by its cosine with the embedding of the query (Norouzi et al., ICLR 2014).
- ``conse-384-bits``: the signs of both, after the mean of all names is subtracted, by Hamming distance.
- ``expansion``: the sum over the stored classes of probability times the share of the class in the query, which is what
  `Index.search` does; ``expansion-all-classes`` takes all 1,000 classes, which an index does not store.

The temperature is chosen on training rows (``held-out``), by the mean of mAP and P@10; the tables are of test rows. A
second part measures from which cosine on a word names an everyday object: the threshold is the smallest within .01 of
the best mean on every second word of `OBJECTS` and `OTHERS`, and is tested on the others. Writes
``results/text-search.csv``, ``results/text-search-words.csv`` and ``results/text-search.md``; what is there is not
measured again.

    KINBITS_DATA=path/to/data python experiments/text_search.py
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
from _runs import RESULTS, Clock, Run, Table

from kinbits import hamming
from kinbits.backbones import NEAR_CLASS, ClassSpace, Concepts, class_space, classifier_of, extract, load_backbone
from kinbits.data import FeatureCache, open_dataset
from kinbits.metrics import LabelRelevance, evaluate, evaluate_scores

VERSION = 1  # of this script
FIELDS, METRICS = ["data", "rows", "method", "temperature"], ["map@all", "precision@10"]
WORD_FIELDS, WORD_METRICS = ["words", "threshold"], ["objects kept", "others warned", "accuracy"]
TEMPERATURES = (0.02, 0.03, 0.04, 0.05, 0.07, 0.1)
TEMPERATURE: float = inspect.signature(ClassSpace.weigh).parameters["temperature"].default
BACKBONE = "efficientnet_lite0"
HELD_OUT, TEST = "held-out", "test"
LARGEST = 2500  # rows of a part; those of the files are shuffled


class Source(NamedTuple):
    """A file of labelled images, and its splits."""

    file: str
    labels: str
    test: tuple[str, ...]


SOURCES = {
    "cifar10": Source("cifar10.parquet", "label", ("test",)),
    "clothing_small": Source("clothing_small.parquet", "label", ("test", "val")),
    "grocery_store": Source("grocery_store.parquet", "coarse_label", ("test",)),
}


def words_in(text: str) -> list[str]:
    """Return the words of a text."""
    return text.split()


OBJECTS = words_in("""
dog cat horse bird fish cow chicken duck mouse rabbit flower tree apple tomato bread cake cheese egg salad soup car
truck train boat airplane bicycle bus taxi chair table bed lamp door window house church bridge tower street garden shoe
hat shirt jacket dress glove bag watch glasses knife fork spoon cup plate phone computer camera book clock guitar piano
drum ball kite doll
""")
OTHERS = words_in("""
freedom happiness justice truth hope memory idea history democracy economy friendship love anger silence tomorrow
yesterday gravity mathematics language opinion chance reason luck promise danger red blurry shiny beautiful small old
wet broken empty expensive modern vintage striped transparent symmetrical dark colourful minimalist impressionist gothic
behind between above inside running sleeping laughing thinking waiting arguing dancing falling monday winter noon
holiday party wedding birthday
""")


def main() -> None:
    table = open_table()
    for data in SOURCES:
        for run in runs(data):
            if not table.has(**run):
                with Clock() as clock:
                    part = part_of(data, str(run["rows"]))
                    values = measured(part, str(run["method"]), float(run["temperature"] or TEMPERATURE))
                table.add(run, values, clock.seconds, part.checksum)
    for run in word_runs():
        words = open_words()
        if not words.has(**run):
            with Clock() as clock:
                values = judged(float(run["threshold"]), run["words"] == HELD_OUT)
            words.add(run, values, clock.seconds, "")
    write_markdown(table)


def open_table() -> Table:
    """Return the table of this script."""
    return Table("text-search.csv", FIELDS, METRICS, config)


def open_words() -> Table:
    """Return the table of words."""
    return Table("text-search-words.csv", WORD_FIELDS, WORD_METRICS, config)


def config(run: Run) -> str:
    """Return the hash of what makes the numbers of a run."""
    made = [VERSION, BACKBONE, LARGEST, Concepts().kept, TEMPERATURE, OBJECTS, OTHERS, SOURCES.get(run.get("data", ""))]
    return hashlib.sha256(json.dumps(made).encode()).hexdigest()[:12]


def runs(data: str) -> Iterator[Run]:
    """Yield the runs of one data set."""
    for temperature in TEMPERATURES:
        yield {"data": data, "rows": HELD_OUT, "method": "expansion", "temperature": temperature}
    for rows in (HELD_OUT, TEST):
        for method in ("conse", "conse-384-bits"):
            yield {"data": data, "rows": rows, "method": method, "temperature": ""}
    for method in ("expansion", "expansion-all-classes"):
        yield {"data": data, "rows": TEST, "method": method, "temperature": TEMPERATURE}


class Part(NamedTuple):
    """The classes of some images, and their labels."""

    probabilities: np.ndarray
    labels: np.ndarray
    names: list[str]
    checksum: str

    def stored(self) -> np.ndarray:
        """Return the probabilities that an index stores, float32 ``(n, 1000)``; others are 0."""
        concepts, found = Concepts(), np.zeros_like(self.probabilities)
        numbers, steps = concepts.unpack(concepts.pack(self.probabilities))
        np.put_along_axis(found, numbers.astype(np.int64), steps, 1)
        return found


@cache
def part_of(data: str, rows: str) -> Part:
    """Return the classes of the images of a part."""
    source = SOURCES[data]
    file = next(place for place in folders() if (place / source.file).exists()) / source.file
    table = pq.read_table(file, columns=["split", source.labels])
    kinds = ("train",) if rows == HELD_OUT else source.test
    chosen = np.flatnonzero(np.isin(table["split"].to_pylist(), kinds))[:LARGEST]
    dataset, backbone = open_dataset(file).select(chosen), load_backbone(BACKBONE)
    features = extract(dataset, backbone, cache=FeatureCache()).array
    classifier = classifier_of(backbone)
    assert classifier is not None
    probabilities = classifier.probabilities(np.asarray(features, np.float32))
    known = pq.read_schema(file).metadata[b"coarse_label_names" if source.labels != "label" else b"label_names"]
    names = [name.replace("-", " ").lower() for name in json.loads(known)]
    return Part(probabilities, np.array(table[source.labels].to_pylist())[chosen], names, dataset.fingerprint)


def folders() -> list[Path]:
    """Return the folders of data."""
    return [Path(part) for part in os.environ.get("KINBITS_DATA", "").split(os.pathsep) if part]


def measured(part: Part, method: str, temperature: float) -> dict[str, float]:
    """Measure one way of ranking the images of a part by the names of its labels."""
    space, relevance = class_space(), LabelRelevance(np.arange(len(part.names)), part.labels)
    queries = space.embed(part.names)
    if method.startswith("expansion"):
        shares = space.weigh(part.names, temperature).weights
        scores = shares @ (part.probabilities if method.endswith("all-classes") else part.stored()).T
    else:
        items = part.stored() @ space.embeddings
        items /= np.linalg.norm(items, axis=1, keepdims=True)
        if method.endswith("bits"):
            middle = space.embeddings.mean(0)
            return dict(evaluate(signs(queries - middle), signs(items - middle), relevance, METRICS))
        scores = queries @ items.T
    return dict(evaluate_scores(lambda start, stop: scores[start:stop], relevance, METRICS))


def signs(vectors: np.ndarray) -> np.ndarray:
    """Return the signs of vectors as packed codes."""
    return hamming.pack(vectors > 0)


@cache
def cosines(kind: str) -> np.ndarray:
    """Return the cosine of each word and the nearest class."""
    return class_space().weigh(OBJECTS if kind == "objects" else OTHERS).cosines


def halves(held_out: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the cosines of every second word, or of the others."""
    start = 0 if held_out else 1
    return cosines("objects")[start::2], cosines("others")[start::2]


def word_runs() -> Iterator[Run]:
    """Yield thresholds on the words that choose one, and the present one on the other words."""
    for threshold in np.arange(0.30, 0.71, 0.02).round(2).tolist():
        yield {"words": HELD_OUT, "threshold": threshold}
    yield {"words": TEST, "threshold": NEAR_CLASS}


def judged(threshold: float, held_out: bool) -> dict[str, float]:
    """Return the share of objects that are above a threshold, of other words that are not, and their mean."""
    objects, others = halves(held_out)
    kept, warned = float(np.mean(objects >= threshold)), float(np.mean(others < threshold))
    return {"objects kept": kept, "others warned": warned, "accuracy": (kept + warned) / 2}


def write_markdown(table: Table) -> None:
    """Write the tables of test rows, and of what chose temperature and threshold."""
    concepts = Concepts()
    lines = [
        "Names of labels find images: `efficientnet_lite0` as ImageNet's classifier and `minilm`, not trained on the",
        f"data. Tie-aware mAP and precision of the first ten, test rows; {concepts.kept} classes an image, "
        f"{concepts.width} bytes.\n",
        "| data | way | mAP | P@10 |",
        "| --- | --- | ---: | ---: |",
    ]
    for row in table.rows:
        if row["rows"] == TEST:
            lines.append(f"| {row['data']} | {row['method']} | {' | '.join(numbers(row))} |")
    lines += ["", "The temperature was chosen on training rows:\n", "| data | way | temperature | mAP | P@10 |"]
    lines += ["| --- | --- | ---: | ---: | ---: |"]
    for row in table.rows:
        if row["rows"] == HELD_OUT:
            place = f"{row['data']} | {row['method']} | {row['temperature']}"
            lines.append(f"| {place} | {' | '.join(numbers(row))} |")
    lines += [
        "",
        "A text warns if the cosine to the nearest class is below a threshold, chosen on half of the words:\n",
    ]
    lines += ["| words | threshold | objects kept | others warned | mean |", "| --- | ---: | ---: | ---: | ---: |"]
    for row in open_words().rows:
        cells = " | ".join(f"{float(row[name]):.2f}" for name in WORD_METRICS)
        lines.append(f"| {row['words']} | {row['threshold']} | {cells} |")
    (RESULTS / "text-search.md").write_text("\n".join(lines) + "\n")


def numbers(row: Run) -> tuple[str, str]:
    """Return mAP and precision of a row as text."""
    return f"{float(row['map@all']):.3f}", f"{float(row['precision@10']):.2f}"


if __name__ == "__main__":
    main()
