"""Writes the golden artefacts: a model, an index, a file of codes and a checkpoint of the present formats.

Run it only when a format changes on purpose, and keep a reader for the old one, or a clear error:
``python tests/golden/make.py``. `test_golden.py` opens what lies here.
"""

import json
import shutil
from pathlib import Path

import numpy as np

import kinbits
from kinbits.encoding import encode_to_file
from kinbits.index import Index

HERE = Path(__file__).parent
NAMES = ("model", "index", "codes.parquet", "checkpoint")


def collection():
    """Return 48 vectors of 6 numbers in three classes: the same on every machine."""
    rows, columns = np.indices((48, 6))
    vectors = ((rows * 37 + columns * 11 + rows * columns * 5) % 23 - 11).astype(np.float32)
    vectors[:, 0] += 20 * (np.arange(48) % 3)
    return kinbits.open_dataset(vectors, labels=[("cat", "dog", "fox")[row % 3] for row in range(48)])


def fit(folder, **options):
    """Train the method of the checkpoint."""
    settings = {"method": "csq", "bits": 16, "epochs": 2, "batch_size": 16, "seed": 3, "progress": False}
    recipe = {"optimizer": "adam", "lr": 1e-3, "weight_decay": 5e-4, "schedule": "cosine"}  # csq's own may change
    return kinbits.fit(collection(), checkpoints=folder, backbone_weight_decay=0.0, **recipe, **settings, **options)


def main():
    for name in NAMES:
        path = HERE / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    data = collection()
    model = kinbits.fit(data, method="itq", bits=6, seed=0, progress=False)
    model.save_pretrained(HERE / "model")
    Index.create(HERE / "index", data, model=HERE / "model")
    encode_to_file(model, data, HERE / "codes.parquet")
    trained = fit(HERE / "checkpoint")
    hits = Index.open(HERE / "index").search(data.items.vectors[5], k=4, where="label = fox")
    expected = {
        "fingerprint": model.fingerprint,
        "codes": model.encode(data).tobytes().hex(),
        "hits": hits.to_dicts(),
        "trained": trained.encode(data).tobytes().hex(),
    }
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
