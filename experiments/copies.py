"""How many copies each kind of code finds at a fixed rate of false pairs, by edit, on photos that no model has seen.

Of two sets, photos of the database are drawn, and some of them are edited: by the standard recipe (`EDITS`, with seeds
that no training drew), and by edits that no training knew (below). A pair of an edited photo and another photo is
false. The threshold is the largest distance within which at most a share of 10^-3 or 10^-4 of the false pairs of all
edits lies; ``recall`` is the share of edited photos whose original is within it. ``dedupe`` looks at the pairs that
copy-256 and PDQ name, as `kinbits dedupe` does. Writes ``results/copies.csv`` and ``results/copies.md``.

    KINBITS_DATA=path/to/data python experiments/copies.py [--sets grocery]
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from _runs import RESULTS, Clock, Run, Table
from PIL import Image, ImageDraw, ImageOps

import kinbits
from kinbits import hamming
from kinbits.backbones import load_backbone
from kinbits.data import EDITS, Dataset, edit_image, find_protocol
from kinbits.dedupe.looking import look
from kinbits.dedupe.similarity import VERSION, Details, similarity
from kinbits.dedupe.verified import CODE_PAIRS, HASH_PAIRS, HASH_REACH, hash_similarity, reach_of
from kinbits.heads import build_head
from kinbits.model import HashModel, Tower
from kinbits.perceptual import LEAST_QUALITY

SETS = {"grocery": "grocery-store", "fashion products": "fashion-products"}
PHOTOS, EDITED, SEED = 1000, 150, 20_000
SHARES = (1e-3, 1e-4)
FIELDS, METRICS = ["set", "model", "edit"], ["recall@1e-3", "recall@1e-4"]
MODELS = (
    "phash, 64 bits",
    "pdq, 256 bits",
    "lite0 features, cosine",
    "lite0 pca-rotation, 64 bits",
    "lite0 pca-rotation, 256 bits",
    "general-128",
    "copy-256",
    "dedupe",
)

Encode = Callable[[list[Image.Image]], Any]
Distances = Callable[[Any, Any], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    options = parser.parse_args()
    table = open_table()
    for name in options.sets:
        for model in MODELS:
            if not all(table.has(set=name, model=model, edit=edit) for edit in edits()):
                measure(table, name, model)
                write_markdown(table)


def open_table() -> Table:
    """Return the table of this script."""
    return Table("copies.csv", FIELDS, METRICS, config)


def config(run: Run) -> str:
    """Return the hash of what makes the numbers of a run."""
    kind = kind_of("copy-256" if run["model"] == "dedupe" else run["model"])
    kind += VERSION if run["model"] == "dedupe" else ""
    parts = kind, checksum_of(run["set"]), PHOTOS, EDITED, SEED
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


SHIPPED = ("general-128", "copy-256")


@cache
def kind_of(model: str) -> str:
    """Return what tells the codes of a model."""
    return HashModel.from_pretrained("kinbits/" + model).fingerprint if model in SHIPPED else "fixed"


@cache
def checksum_of(name: str) -> str:
    """Return the checksum of a set."""
    return find_protocol(SETS[name]).checksum


def edits() -> dict[str, Callable[[Image.Image, int], Image.Image]]:
    """Return all edits by name; those that no training knew come last."""
    known = {str(edit): (lambda image, seed, edit=edit: edit_image(image, edit, seed=seed)) for edit in EDITS}
    return known | {f"{name} (unknown)": change for name, change in UNKNOWN.items()}


def perspective(image: Image.Image, seed: int) -> Image.Image:
    """A photo of a printed photo: each corner moves inwards by up to 12 % of the sides."""
    rng = np.random.default_rng(seed)
    (w, h), inward = image.size, rng.uniform(0, 0.12, (4, 2))
    corners = np.array([(0, 0), (0, 1), (1, 1), (1, 0)]) + inward * [(1, 1), (1, -1), (-1, -1), (-1, 1)]
    return image.transform(
        image.size, Image.Transform.QUAD, (corners * (w, h)).ravel().tolist(), Image.Resampling.BICUBIC
    )


def watermark(image: Image.Image, seed: int) -> Image.Image:
    """Text over the whole image, half transparent."""
    layer = Image.new("RGBA", image.size)
    draw = ImageDraw.Draw(layer)
    step = max(12, image.width // 4)
    for number, x in enumerate(range(-step, image.width, step)):
        for y in range(0, image.height, step // 2):
            draw.text((x + number % 2 * step // 2, y), "SAMPLE", (255, 255, 255, 140))
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


def collage(image: Image.Image, seed: int) -> Image.Image:
    """The photo with a black and a white field beside and below it: three quarters of the sides are the photo."""
    sheet = Image.new("RGB", (round(image.width / 0.75), round(image.height / 0.75)), (0, 0, 0))
    sheet.paste((255, 255, 255), (0, image.height, sheet.width, sheet.height))
    sheet.paste(image, (0, 0))
    return sheet


def vignette(image: Image.Image, seed: int) -> Image.Image:
    y, x = np.mgrid[-1 : 1 : image.height * 1j, -1 : 1 : image.width * 1j]
    shade = 1 - 0.35 * (x**2 + y**2)
    return Image.fromarray((np.asarray(image) * shade[..., None]).clip(0, 255).astype(np.uint8))


def sepia(image: Image.Image, seed: int) -> Image.Image:
    return ImageOps.colorize(ImageOps.grayscale(image), (40, 26, 13), (255, 240, 192))


def pixelate(image: Image.Image, seed: int) -> Image.Image:
    small = image.resize((max(1, image.width // 4), max(1, image.height // 4)), Image.Resampling.BOX)
    return small.resize(image.size, Image.Resampling.NEAREST)


UNKNOWN = {
    "perspective": perspective,
    "watermark": watermark,
    "collage": collage,
    "vignette": vignette,
    "sepia": sepia,
    "pixelate": pixelate,
    "posterize": lambda image, seed: ImageOps.posterize(image, 3),
}


def measure(table: Table, name: str, model: str) -> None:
    """Measure one kind of code on all edits of a set."""
    photos = drawn(name)
    with Clock() as clock:
        encode, distances = coder(model, name)
        originals = encode(photos)
        found = {edit: distances(encode(edited(name, edit)), originals) for edit in edits()}
    own = np.arange(EDITED)
    false = np.concatenate([np.delete(d.ravel(), own * PHOTOS + own) for d in found.values()])
    limits = [np.partition(false, int(share * len(false)))[int(share * len(false))] for share in SHARES]
    for edit, d in found.items():
        recalls = [float(np.mean(d[own, own] < limit)) for limit in limits]
        values = dict(zip(METRICS, recalls, strict=True))
        checksum = find_protocol(SETS[name]).checksum
        table.add({"set": name, "model": model, "edit": edit}, values, clock.seconds / len(found), checksum)


@cache
def drawn(name: str) -> list[Image.Image]:
    """Return random photos of the test part of a set."""
    part: Dataset = kinbits.load_protocol(SETS[name]).query
    rows = np.random.default_rng(SEED).permutation(len(part))[:PHOTOS]
    return [part.items.image(int(row)) for row in rows]


@cache
def edited(name: str, edit: str) -> list[Image.Image]:
    change = edits()[edit]
    return [change(image, SEED + number) for number, image in enumerate(drawn(name)[:EDITED])]


def coder(model: str, name: str) -> tuple[Encode, Distances]:
    """Return what encodes images, and the distances of its codes."""
    if model == "dedupe":
        return seen, unlikeness
    if model == "lite0 features, cosine":
        return lambda images: lite0().encode(images, output="features"), cosine
    if model.startswith("lite0 pca-rotation"):
        bits = int(model.split()[-2])
        fitted = kinbits.fit(
            lite0().encode(drawn(name), output="features"), method="pca-rotation", bits=bits, progress=False
        )
        return lambda images: fitted.encode(lite0().encode(images, output="features")), hamming.distances
    ready = HashModel.from_pretrained("kinbits/" + model if model in SHIPPED else model.partition(",")[0])
    return ready.encode, hamming.distances


Seen = tuple[np.ndarray, np.ndarray, np.ndarray, list[Details | None]]


def seen(images: list[Image.Image]) -> Seen:
    """Return the codes, the PDQ hashes, whether these can be trusted, and the local features of images."""
    looks = [look(image) for image in images]
    hashes = np.frombuffer(b"".join(one.hash for one in looks), np.uint8).reshape(len(images), -1)
    trusted = np.array([one.quality >= LEAST_QUALITY for one in looks])
    codes = HashModel.from_pretrained("kinbits/copy-256").encode(images)
    return codes, hashes, trusted, [one.details for one in looks]


def unlikeness(queries: Seen, database: Seen) -> np.ndarray:
    """Return 1 - similarity; 1 for pairs that are not looked at."""
    code_reach, hash_reach = reach_of(database[0], CODE_PAIRS, 0), reach_of(database[1], HASH_PAIRS, 0)
    both = queries[2][:, None] & database[2]
    hash_bits = np.where(both, hamming.distances(queries[1], database[1]), 1000)
    named = (hamming.distances(queries[0], database[0]) <= code_reach) | (hash_bits <= min(hash_reach, HASH_REACH))
    found = np.ones(named.shape)
    for row, column in np.argwhere(named).tolist():
        alike = similarity(database[3][column], queries[3][row])
        found[row, column] = 1 - max(alike, float(hash_similarity(hash_bits[row, column])))
    return found


@cache
def lite0() -> HashModel:
    """Return EfficientNet-Lite0 at the size of the copy model; its head is not used."""
    backbone = load_backbone("efficientnet_lite0", size=128)
    return HashModel({"image": Tower(backbone, build_head({"name": "linear", "features": 1280, "bits": 8}))})


def cosine(queries: np.ndarray, database: np.ndarray) -> np.ndarray:
    one, other = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (queries, database))
    distances: np.ndarray = 1 - one @ other.T
    return distances


def write_markdown(table: Table) -> None:
    """Write the mean over the edits of the recipe and over the unknown ones, then the recall of each edit."""
    lines = [
        f"Share of edited photos whose original is found where a share of 10^-3 (10^-4) of the false pairs is: "
        f"{EDITED} of {PHOTOS:,} photos of each set, {len(EDITS)} edits of the recipe and {len(UNKNOWN)} others.\n",
        "| set | model | recipe | unknown edits |",
        "| --- | --- | ---: | ---: |",
    ]
    for name in SETS:
        for model in MODELS:
            rows = [row for row in table.rows if (row["set"], row["model"]) == (name, model)]
            if rows:
                unknown = [row for row in rows if row["edit"].endswith("(unknown)")]
                known = [row for row in rows if row not in unknown]
                lines.append(f"| {name} | {model} | {means(known)} | {means(unknown)} |")
    lines += ["", "| set | edit | " + " | ".join(MODELS) + " |", "| --- | --- |" + " ---: |" * len(MODELS)]
    cells = {(row["set"], row["model"], row["edit"]): row[METRICS[0]] for row in table.rows}
    for name in SETS:
        for edit in edits():
            shown = [cells.get((name, model, edit)) for model in MODELS]
            if any(shown):
                texts = " | ".join("" if cell is None else f"{float(cell):.2f}" for cell in shown)
                lines.append(f"| {name} | {edit} | {texts} |")
    (RESULTS / "copies.md").write_text("\n".join(lines) + "\n")


def means(rows: list[dict[str, str]]) -> str:
    one, other = (np.mean([float(row[metric]) for row in rows]) for metric in METRICS)
    return f"{one:.3f} ({other:.3f})"


if __name__ == "__main__":
    main()
