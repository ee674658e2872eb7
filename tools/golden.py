"""Write the golden artefacts of this version: python tools/golden.py.

They lie in tests/golden/VERSION: one of each kind of file that kinbits writes and promises to read again, and in
expected.json what a program reads from them. Files of a version are never written again: a later version must open
them as they are and give the same answers (docs/versions.md), which tests/golden/test_golden.py checks.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import chdir
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import kinbits
from kinbits import Dataset, DedupeReport, HashModel, Index
from kinbits.attacks import Reference, Victim, build_attack, load_attack
from kinbits.bench import Experiment, QueryValues, Results, bench
from kinbits.data import split_folder
from kinbits.dedupe import DecisionGroup, Decisions, FileDecision
from kinbits.encoding import encode_to_file, read_codes
from kinbits.index import IndexOptions
from kinbits.robustness import RobustnessReport, measure_robustness

ROOT = Path(__file__).parents[1]
GOLDEN, EXPECTED = ROOT / "tests" / "golden", "expected.json"
PLACE, BACKBONE, PHOTOS = Path("/tmp/kinbits-golden"), Path("tiny-clip"), Path("photos")
NAMES = ("cat", "dog", "fox")
FACTORS = 12  # bytes of the three factors in each scaled code
METRICS = ("map@all", "precision@r2")
Answer = dict[str, Any]  # JSON types


def main() -> None:
    """Write the artefacts of this version, once."""
    target = GOLDEN / kinbits.__version__
    if target.exists():
        sys.exit(f"{target} exists, and golden files are never written again; raise __version__ first")
    PLACE.mkdir()  # files note where they were written: a place that every machine has
    try:
        with chdir(PLACE):
            write(PLACE / kinbits.__version__)
        made = PLACE / kinbits.__version__
        (made / EXPECTED).write_text(json.dumps(answers_of_copy(made), indent=1) + "\n")
        shutil.copytree(made, target)
    finally:
        shutil.rmtree(PLACE)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    print(f"wrote {target}: {size / 1000:.0f} kB")


def answers_of_copy(folder: Path) -> dict[str, Answer]:
    """Return what a program reads from each artefact of a folder; the folder is copied, because reading may write."""
    with tempfile.TemporaryDirectory() as place:
        copy = Path(shutil.copytree(folder, Path(place) / "golden"))
        return {name: read(copy / name) for name, read in READERS.items()}


def collection() -> Dataset:
    """Return 48 vectors of 6 numbers in three classes: the same on every machine."""
    rows, columns = np.indices((48, 6))
    vectors = ((rows * 37 + columns * 11 + rows * columns * 5) % 23 - 11).astype(np.float32)
    vectors[:, 0] += 20 * (np.arange(48) % 3)
    return kinbits.open_dataset(vectors, labels=[NAMES[row % 3] for row in range(48)])


def pictures() -> NDArray[np.uint8]:
    """Return 24 pictures of 32 x 32 pixels, each of one colour with a stripe, uint8 (24, 32, 32, 3)."""
    pixels = np.full((24, 32, 32, 3), 60, np.uint8)
    for row, picture in enumerate(pixels):
        picture[..., row % 3] += 100
        picture[row : row + 6, :] += np.uint8(5 * row)
    return pixels


def fit(checkpoints: Path, resume: bool = False) -> HashModel:
    """Train the method of the checkpoint; its recipe is written out, because that of the method may change."""
    return kinbits.fit(
        collection(),
        method="csq",
        bits=16,
        epochs=2,
        batch_size=16,
        optimizer="adam",
        lr=1e-3,
        weight_decay=5e-4,
        backbone_weight_decay=0.0,
        schedule="cosine",
        seed=3,
        checkpoints=checkpoints,
        resume=resume,
        progress=False,
    )


def write(folder: Path) -> None:
    """Write one artefact of each kind into a new folder."""
    folder.mkdir()
    data = collection()
    models = {name: _model(folder / f"model-{name}", name, bits) for name, bits in MODELS.items()}
    _image_model(folder / "model-images-and-texts")
    encode_to_file(models["itq"], data, folder / "codes.parquet")
    encode_to_file(models["pq"], data, folder / "product-codes.parquet")
    bits = Index.create(folder / "index-bits", data, model=folder / "model-itq")
    bits.update(list(range(48)), {"price": [None if row % 5 == 0 else row / 4 for row in range(48)]})
    bits.delete([7, 31])
    Index.create(folder / "index-kept", data, model=folder / "model-itq", keep="int8")
    Index.create(folder / "index-product", data, model=folder / "model-pq")
    Index.create(folder / "index-scaled", data, model=folder / "model-rabitq")
    _index_of_codes(folder / "index-codes")
    fit(folder / "checkpoint")
    _experiment(folder / "experiment")
    _attack(folder / "attack.zip")
    _duplicates(folder / "duplicates")
    _robustness(folder / "robustness")


MODELS = {"itq": 6, "csq": 16, "pq": 12, "rabitq": None}
OPTIONS: dict[str, dict[str, Any]] = {
    "csq": {"epochs": 2, "batch_size": 16},
    "pq": {"params": {"words": 16}},
}


def _model(folder: Path, name: str, bits: int | None) -> HashModel:
    model = kinbits.fit(collection(), method=name, bits=bits, seed=0, progress=False, **OPTIONS.get(name, {}))
    model.save_pretrained(folder)
    return model


def _image_model(folder: Path) -> None:
    """Fit images on a tiny CLIP with random weights, so the model has an image tower and a text tower."""
    sys.path.insert(0, str(ROOT / "tests"))
    save_random = import_module("backbone_helpers").save_random
    save_random("clip", BACKBONE)
    data = kinbits.open_dataset(pictures())
    model = kinbits.fit(data, method="itq", bits=8, backbone=f"hf:./{BACKBONE}", seed=0, cache=None, progress=False)
    model.save_pretrained(folder)


def _index_of_codes(folder: Path) -> None:
    """Write an index of random 32-bit codes with search tables and ids of text, and no model."""
    codes = np.random.default_rng(0).integers(0, 256, (300, 4), dtype=np.uint8)
    options = IndexOptions(table_rows=100)
    Index.create(folder, codes, [f"item {row}" for row in range(300)], bits=32, options=options).optimize()


def _experiment(folder: Path) -> None:
    folder.mkdir()
    data = collection()
    np.savez(folder / "data.npz", vectors=data.items.vectors, labels=np.arange(48) % 3)
    (folder / "experiment.yaml").write_text(
        f"protocols: folder:data.npz\nmethods: [itq, csq]\nbits: 6\nmetrics: [{', '.join(METRICS)}]\n"
        "training: {epochs: 2, batch_size: 16}\n"
    )
    with chdir(folder):
        bench(Experiment.from_file(Path("experiment.yaml")), Path("results.csv"))


def _attack(path: Path) -> None:
    """Write a trained attack; nearly all weights are set to 0, so that megabytes become a small archive."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 64, 8)).eval()
    victim = Victim(network, bits=8, size=8, fingerprint="5" * 64)
    images = torch.arange(6 * 3 * 64, dtype=torch.uint8).reshape(6, 3, 8, 8)
    labels = torch.eye(3).repeat(2, 1)
    attack = build_attack("tha", prototype_steps=1)
    attack.train(victim, images, labels, Reference(victim.codes(images.float() / 255), labels))  # type: ignore[attr-defined]
    for tensor in attack.networks.state_dict().values():  # type: ignore[attr-defined]
        tensor.reshape(-1)[64:] = 0
    with tempfile.TemporaryDirectory() as place, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        attack.save(Path(place) / "attack")  # type: ignore[attr-defined]
        for file in sorted((Path(place) / "attack").iterdir()):
            archive.write(file, file.name)


def _duplicates(folder: Path) -> None:
    """Find duplicates among four pictures, two of which are equal, and decide on them."""
    from PIL import Image

    PHOTOS.mkdir()
    for name, row in (("a", 3), ("b", 3), ("c", 10), ("d", 20)):
        Image.fromarray(pictures()[row]).save(PHOTOS / f"{name}.png")
    report = kinbits.find_duplicates(PHOTOS, model=None)
    report.save(folder)
    (group,) = report.of_kind("bytes")
    kept, removed = (item.path for item in group)
    files = {
        kept: FileDecision(kept, "keep", 100, 1.0, "a" * 64),
        removed: FileDecision(removed, "remove", 100, 1.0, "a" * 64),
    }
    decided = DecisionGroup(group.kind, (kept, removed))
    Decisions("/photos", "5" * 64, files, (decided,)).save(folder / "decisions.json")


def _robustness(folder: Path) -> None:
    images = [NAMES[row % 3] for row in range(24)]
    splits = split_folder(kinbits.open_dataset(pictures(), labels=images), seed=0, query=0.25)
    options: dict[str, Any] = {"backbone": "convnet-small", "image_size": 16, "cache": None, "progress": False}
    model = kinbits.fit(splits.train, method="orthohash", bits=8, epochs=1, batch_size=4, **options)
    attacks = [build_attack("noise")]
    report = measure_robustness(model, splits, edits=("grey",), attacks=attacks, curve=(2 / 255,))
    report.save(folder)
    (folder / "report.html").unlink()  # for people; nothing reads it


def _hex(codes: NDArray[Any]) -> str:
    return codes.tobytes().hex()


def _read_codes(path: Path) -> Answer:
    found = read_codes(path)
    return {
        "codes": _hex(found.codes),
        "ids": found.ids.tolist(),
        "bits": found.bits,
        "fingerprint": found.fingerprint,
    }


def _read_model(folder: Path) -> Answer:
    model = HashModel.from_pretrained(folder)
    method = {"method": model.method["name"], "params": dict(model.method["params"])}
    codes = model.encode(collection())
    bits = codes[:, :-FACTORS] if model.words == 0 else codes  # the last digits of the factors are the machine's
    return {**method, "fingerprint": model.fingerprint, "codes": _hex(bits)}


def _read_image_model(folder: Path) -> Answer:
    model = HashModel.from_pretrained(folder)
    images = model.encode(kinbits.open_dataset(pictures()))
    texts = model.encode(["a cat", "two dogs"], modality="text")
    return {"fingerprint": model.fingerprint, "images": _hex(images), "texts": _hex(texts)}


def _read_index(folder: Path, **search: Any) -> Answer:
    index = Index.open(folder)
    index.verify()
    hits = index.search(collection().items.vectors[5], k=4, **search)
    facts = {name: index.info()[name] for name in ("items", "bits", "words", "deleted", "column_types", "ids")}
    return {**facts, "hits": [_rounded(hit) for hit in hits.to_dicts()]}


def _read_index_of_codes(folder: Path) -> Answer:
    index = Index.open(folder)
    index.verify()
    hits = index.search(np.array([1, 2, 3, 4], np.uint8), k=3)
    return {"items": len(index), "tables": index.info()["tables"], "hits": hits.to_dicts()}


def _rounded(hit: Answer) -> Answer:
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in hit.items()}


def _read_checkpoint(folder: Path) -> Answer:
    return {"codes": _hex(fit(folder, resume=True).encode(collection()))}


def _read_experiment(folder: Path) -> Answer:
    path = folder / "results.csv"
    read = ("method", "bits", "seed", *METRICS, "config")
    values = {" ".join(key): value.tolist() for key, value in QueryValues(path, METRICS[0]).read().items()}
    rounded = {key: [round(float(one), 3) for one in some] for key, some in values.items()}
    return {"rows": [{name: row[name] for name in read} for row in Results(path, METRICS)], "queries": rounded}


def _read_attack(path: Path) -> Answer:
    with tempfile.TemporaryDirectory() as place:
        zipfile.ZipFile(path).extractall(place)
        attack = load_attack(place)
    with torch.no_grad():
        prototypes = attack.networks["prototypes"].codes(torch.eye(3))  # type: ignore[operator]
    return {"attack": attack.name, "victim": attack.facts["victim"], "prototypes": prototypes.tolist()}


def _read_duplicates(folder: Path) -> Answer:
    report, decisions = DedupeReport.open(folder), Decisions.open(folder / "decisions.json")
    groups = [[group.kind, *(item.path for item in group)] for group in report]
    removed = [path for path, file in decisions.files.items() if file.decision == "remove"]
    return {"items": report.items, "groups": groups, "removed": removed}


def _read_robustness(folder: Path) -> Answer:
    report = RobustnessReport.open(folder)
    return {"protocol": report.protocol, "map": {row.name: row.map for row in report.rows}}


READERS: dict[str, Callable[[Path], Answer]] = {
    **{f"model-{name}": _read_model for name in MODELS},
    "model-images-and-texts": _read_image_model,
    "codes.parquet": _read_codes,
    "product-codes.parquet": _read_codes,
    "index-bits": lambda folder: _read_index(folder, where="label = fox and price > 1"),
    "index-kept": lambda folder: _read_index(folder, rescore=3),
    "index-product": _read_index,
    "index-scaled": _read_index,
    "index-codes": _read_index_of_codes,
    "checkpoint": _read_checkpoint,
    "experiment": _read_experiment,
    "attack.zip": _read_attack,
    "duplicates": _read_duplicates,
    "robustness": _read_robustness,
}


if __name__ == "__main__":
    main()
