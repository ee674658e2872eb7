"""The files that the examples of the documents use: small pictures of three kinds, tables, pairs, a reconstruction."""

import csv
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

CLASSES = ("cat", "dog", "horse")
PARENTS, PARENT_OF = ("pet", "farm animal"), (0, 0, 1)
IMAGES = 12  # of each class
DATA = Path(os.environ.get("KINBITS_DATA", ""))
EMOJI, SCENE = DATA / "twemoji.parquet", DATA / "sfm_sacre_coeur.parquet"
GROUPS = {"animal-mammal", "food-fruit", "food-vegetable", "food-sweet"}  # of the emoji that are written


def write_examples(folder: Path) -> None:
    """Write everything into a folder.

    Args:
        folder: An existing folder.
    """
    rng = np.random.default_rng(0)
    for number, name in enumerate(CLASSES):
        for image in range(IMAGES):
            _picture(rng, number).save(_made(folder / "photos" / name / f"{image}.jpg"), quality=95)
        for image in range(3):
            _picture(rng, number).save(_made(folder / "new" / name / f"new-{image}.jpg"), quality=95)
    for name in ("query.jpg", "other.jpg"):
        _picture(rng, 0).save(folder / name, quality=95)
    np.save(folder / "words.npy", np.eye(len(CLASSES), 8, dtype=np.float32))
    (folder / "gone.txt").write_text("cat/3.jpg\ncat/4.jpg\n")
    _tables(folder)
    _lists(folder)
    if EMOJI.is_file():
        _emoji(folder / "emoji")
    if SCENE.is_file():
        _scene(folder)


def _picture(rng: np.random.Generator, number: int) -> Image.Image:
    """Draw noise in which one colour is stronger."""
    pixels = rng.integers(0, 90, (32, 32, 3), dtype=np.uint8)
    pixels[..., number] += 130
    return Image.fromarray(pixels)


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _photos() -> list[tuple[str, str]]:
    """List path and class of the photos."""
    return [(f"photos/{name}/{image}.jpg", name) for name in CLASSES for image in range(IMAGES)]


def _tables(folder: Path) -> None:
    """Write tables whose columns are guessed, prices by id, pairs and clusters, and a table with parent classes."""
    items = [(path, f"a {name}, number {row}", name) for row, (path, name) in enumerate(_photos())]
    _csv(folder / "products.csv", ("path", "title", "category"), items)
    _csv(folder / "shop.csv", ("path", "title", "category", "sku"), [(*item, f"A{i}") for i, item in enumerate(items)])
    prices = [(path.removeprefix("photos/"), 10 + row, row % 5) for row, (path, _) in enumerate(_photos())]
    _csv(folder / "prices.csv", ("id", "price", "stock"), prices)
    paths = [path.removeprefix("photos/") for path, _ in _photos()]
    pairs = [(paths[row], paths[row + 1], 1) for row in range(0, 10, 2)] + [(paths[0], paths[20], 0)]
    _csv(folder / "pairs.csv", ("path_a", "path_b", "label"), pairs)
    _csv(folder / "clusters.csv", ("path", "cluster"), [(path, path.split("/")[0]) for path in paths])
    few = [(*item[:2], item[2] if row % 3 == 0 else "") for row, item in enumerate(items)]
    _csv(folder / "few-labels.csv", ("path", "title", "category"), few)
    images = pa.array([(folder / path).read_bytes() for path, _ in _photos()])
    labels = pa.array([CLASSES.index(name) for _, name in _photos()])
    levels = {"label_names": CLASSES, "coarse_label_names": PARENTS, "coarse_of_label": PARENT_OF}
    table = pa.table({"image": images, "label": labels})
    pq.write_table(
        table.replace_schema_metadata({k: json.dumps(v) for k, v in levels.items()}), folder / "photos.parquet"
    )


def _lists(folder: Path) -> None:
    """Write the parts of the photos as lists, in which each class has some rows of each part."""
    rows = [f"{path} {CLASSES.index(name)}" for path, name in _photos()]
    for name, chosen in (("train", rows[::2]), ("database", rows[::2]), ("test", rows[1::4])):
        _made(folder / "lists" / f"{name}.txt").write_text("\n".join(chosen) + "\n")


def _emoji(folder: Path) -> None:
    """Write emoji with their names and keywords as captions."""
    table = pq.read_table(EMOJI)
    names = json.loads(table.schema.metadata[b"label_names"])
    rows = [row for row in table.to_pylist() if names[row["label"]] in GROUPS]
    for row in rows:
        _made(folder / f"{row['name']}.png").write_bytes(row["image"])
    captions = [(f"{row['name']}.png", ", ".join([row["text"], *row["keywords"]])) for row in rows]
    _csv(folder / "captions.csv", ("file_name", "text"), captions)


def _scene(folder: Path) -> None:
    """Write ten photos of one building, and the reconstruction made from them."""
    for row in pq.read_table(SCENE).to_pylist():
        _made(folder / "scene" / row["name"]).write_bytes(row["image"])
    shutil.copytree(DATA / SCENE.stem, folder / "sparse")


def _csv(path: Path, header: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    path.write_text(text.getvalue())
