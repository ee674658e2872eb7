"""Keep an index of products in step with a table that changes every day.

    python examples/product_catalogue.py products.npz catalogue

The file has the arrays ids, vectors, labels, label_names and price. The first run learns a model and makes the index.
Later runs encode only what is new, take out what is gone, and update prices; searches go on meanwhile.
"""

import argparse
from pathlib import Path

import numpy as np

import kinbits


def main() -> None:
    """Bring the catalogue up to date, and show what is like its first product and not dearer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("products", type=Path, help="an .npz file of today's products")
    parser.add_argument("catalogue", type=Path, help="the folder of the model and the index")
    given = parser.parse_args()

    table = dict(np.load(given.products))
    products = kinbits.open_dataset(given.products)
    given.catalogue.mkdir(exist_ok=True)
    index = opened(given.catalogue, products)
    added, removed, changed = update(index, products, table["price"])
    print(f"{added} added, {removed} removed, {changed} prices changed; {len(index)} products")

    first, price = products.ids[0], float(table["price"][0])
    hits = index.search(products.items.vectors[0], k=4, where=f"price <= {price}")
    for hit in hits.to_dicts():
        print(f"like {first}, at most {price:.2f}: {hit['id']} ({hit['label']}, {hit['price']:.2f})")


def opened(folder: Path, products: kinbits.Dataset) -> kinbits.Index:
    """Open the index; the first time, learn a model from the products and make an empty one."""
    if not (folder / "model").exists():
        model = kinbits.fit(products, method="itq", bits=16, seed=0, progress=False)
        model.save_pretrained(folder / "model")
    return kinbits.Index.create(folder / "index", model=folder / "model", exist_ok=True)


def update(index: kinbits.Index, products: kinbits.Dataset, prices: np.ndarray) -> tuple[int, int, int]:
    """Make the index hold these products with these prices; return how many were added, removed and changed."""
    today, held = products.ids.tolist(), set(index.ids().tolist())
    gone = held - set(today)
    if gone:
        index.delete(sorted(gone))
    new = [row for row, name in enumerate(today) if name not in held]
    if new:
        index.add(products.select(new), metadata={"price": prices[new].tolist()})
    columns = index.to_codes(["price"])
    before = dict(zip(columns.ids.tolist(), columns.columns["price"], strict=True))
    other = {name: float(price) for name, price in zip(today, prices, strict=True) if before[name] != price}
    if other:
        index.update(list(other), {"price": list(other.values())})
    return len(new), len(gone), len(other)


if __name__ == "__main__":
    main()
