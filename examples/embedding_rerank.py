"""Search embeddings by short codes, order candidates by small vectors, and say how many neighbours that finds.

    python examples/embedding_rerank.py embeddings.npy --bits 64

The rows of the file are embeddings. A tenth of them are queries, and the nearest ones by the cosine of all numbers are
what should be found. Without a file, 3,000 random ones around 100 centres are made.
"""

import argparse
from pathlib import Path

import numpy as np

import kinbits


def main() -> None:
    """Compare codes alone, real-valued queries, and candidates that are ordered again."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("embeddings", type=Path, nargs="?", help="an .npy file, float (n, d)")
    parser.add_argument("--bits", type=int, default=64, help="length of the codes")
    parser.add_argument("-k", type=int, default=10, help="number of neighbours")
    given = parser.parse_args()

    vectors = made() if given.embeddings is None else np.load(given.embeddings).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    queries, database = vectors[::10], np.delete(vectors, np.s_[::10], axis=0)
    nearest = np.argsort(-queries @ database.T, axis=1, kind="stable")[:, : given.k]

    model = kinbits.fit(database, method="itq", bits=given.bits, seed=0, progress=False)
    index = kinbits.Index.create(model=model, keep="int8").add(database)
    ways = {
        "codes alone": {},
        "real-valued queries": {"distance": "asymmetric"},
        "codes, then int8 vectors": {"rescore": 10},
    }
    for name, options in ways.items():
        ids, _ = index.search(list(queries), k=given.k, **options).to_numpy()
        kept = np.mean([len(set(a) & set(b)) / given.k for a, b in zip(ids.tolist(), nearest.tolist(), strict=True)])
        print(f"{name:26s} {kept:.3f} of the {given.k} nearest")
    print(f"an item: {given.bits // 8} bytes, {vectors.shape[1] + 4} more for int8, {4 * vectors.shape[1]} as it was")


def made() -> np.ndarray:
    """Return 3,000 random vectors of 64 numbers around 100 centres, float32 (3000, 64)."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(100, 64))
    return (centres[rng.integers(0, 100, 3000)] + 0.7 * rng.normal(size=(3000, 64))).astype(np.float32)


if __name__ == "__main__":
    main()
