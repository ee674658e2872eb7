"""Draw docs/images/search.jpg: real queries and their nearest neighbours, from the grocery store photos (MIT licence).

The queries are drawn by a seed, one per class, and were not trained on; nothing is chosen by its result.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import kinbits
from kinbits import Dataset, Hits
from kinbits.data import Tile, contact_sheet

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "search.jpg"
QUERIES, NEIGHBOURS, BITS, SEED = 5, 8, 64, 0
QUALITY = 75  # 245 kB


def main() -> int:
    """Fit, index, search and draw."""
    splits = kinbits.load_protocol("grocery-store")
    queries, database = splits.query.select(drawn(splits.query.labels)), splits.database
    model = kinbits.fit(splits.train, method="shc", bits=BITS, seed=SEED)
    index = kinbits.Index.create(model=model).add(database)
    found = index.search(queries, k=NEIGHBOURS)
    rows = [row(queries, number, hits, database) for number, hits in enumerate(found)]
    title = f"Nearest of {len(database):,} photos, by codes of {BITS} bits"
    subtitle = f"{len(database.label_space.names)} products of Grocery Store; below each photo its distance in bits"
    with tempfile.TemporaryDirectory() as folder:
        sheet = contact_sheet(rows, Path(folder) / "sheet.png", title=title, subtitle=subtitle)
        PICTURE.parent.mkdir(exist_ok=True)
        Image.open(sheet).save(PICTURE, quality=QUALITY, optimize=True)
    return 0


def drawn(labels: np.ndarray) -> np.ndarray:
    """Draw the rows of the queries, each of another class."""
    order = np.random.default_rng(SEED).permutation(len(labels))
    _, first = np.unique(labels[order], return_index=True)
    return order[np.sort(first)[:QUERIES]]


def row(queries: Dataset, number: int, hits: Hits, database: Dataset) -> list[Tile]:
    """Return the tiles of one query and of its hits."""
    wanted = queries.label_space.names[queries.labels[number]]
    places = {name: place for place, name in enumerate(database.ids)}
    found = [
        Tile(database.image(places[hit["id"]]), (hit["label"], str(hit["distance"])), hit["label"] == wanted)
        for hit in hits.to_dicts()
    ]
    return [Tile(queries.image(number), (wanted, "query")), *found]


if __name__ == "__main__":
    sys.exit(main())
