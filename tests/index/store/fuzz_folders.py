"""Damage and forge index folders: run as ``python fuzz_folders.py FOLDER SEED ROUNDS``.

In a process of its own, so that a crash is seen. Whatever lies in a folder, every call answers as for the whole
index or raises an error of kinbits. A manifest that was forged, with the right checksum over itself, may leave
out items and rename columns, but may make up no hit.
"""

import json
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from kinbits.errors import KinbitsError
from kinbits.index import Index, IndexOptions
from kinbits.index.store.checked_array import checksum
from kinbits.index.store.manifest import checksum_of

BITS = 13
OPTIONS = IndexOptions(table_rows=100)
QUERY = np.zeros(2, np.uint8)
ODD_VALUES = [
    None, True, False, 0, 1, -1, 2, 7, 8, 300, 2**31, 2**63 - 1, 2**63, -(2**63), 2**64, 10**400, 0.5, 1e308,
    "", "x", "../../x", "<i8", ">i8", "<f8", "|S3", "|S0", "|S99999", "|O", "int", "str", "\ud800", "0" * 32,
    [], {}, [[]], [1], ["n"], ["n", "n"], {"codes": None}, "000001.codes", "manifest.json",
]  # fmt: skip


def pristine(path, ids):
    rng = np.random.default_rng(0)
    codes = np.packbits(rng.random((500, BITS)) < 0.5, axis=1)
    index = Index.create(path, bits=BITS, options=OPTIONS)
    index.add(codes[:400], ids=ids[:400], metadata={"n": list(range(400)), "text": ["a b"] * 400})
    index.add(codes[400:450], ids=ids[400:450])
    index.add(codes[450:], ids=ids[450:], metadata={"n": list(range(50))})
    return index.optimize().delete(ids[3:30])


def damage(folder, rng):
    """Change one file in some way that no writer would."""
    files = sorted(path for path in folder.iterdir() if path.name != "lock")
    path, other = (files[i] for i in rng.choice(len(files), 2, replace=False))
    raw = bytearray(path.read_bytes())
    place, length = int(rng.integers(len(raw))), int(rng.integers(1, 64))
    kind = str(rng.choice(["flip", "noise", "cut", "grow", "swap", "empty", "gone", "folder", "shift"]))
    if kind == "swap":
        theirs = other.read_bytes()
        other.write_bytes(raw)
        path.write_bytes(theirs)
        return kind
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind != "gone":
        if kind == "flip":
            raw[place] ^= 1 << int(rng.integers(8))
        elif kind == "noise":
            raw[place : place + length] = rng.bytes(len(raw[place : place + length]))
        changed = {"cut": raw[:place], "grow": raw + rng.bytes(length), "empty": b"", "shift": raw[1:] + raw[:1]}
        path.write_bytes(changed.get(kind, raw))
    return kind


def places(value):
    """Yield every (container, key) of a JSON value."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])


def forge(folder, rng):
    """Change the manifest, and the checksum over it."""
    path = folder / "manifest.json"
    body = json.loads(path.read_text())
    del body["checksum"]
    for _ in range(int(rng.integers(1, 4))):
        container, key = list(places(body))[int(rng.integers(len(list(places(body)))))]
        kind = str(rng.choice(["odd", "odd", "near", "drop", "twice"]))
        if kind == "near" and type(container[key]) is int:
            container[key] += int(rng.integers(-2, 3))
        elif kind == "drop":
            del container[key]
        elif kind == "twice" and isinstance(container, list):
            container.append(container[key])
        else:
            container[key] = ODD_VALUES[int(rng.integers(len(ODD_VALUES)))]
    path.write_text(json.dumps({**body, "checksum": checksum_of(body)}))
    return "forged manifest"


def forge_all(folder, rng):
    """Change a file, its checksum and length in the manifest, and the checksum over that."""
    path = folder / "manifest.json"
    body = json.loads(path.read_text())
    del body["checksum"]
    files = [file for segment in body["segments"] for file in segment["files"].values()]
    files += [segment["tables"]["file"] for segment in body["segments"] if segment["tables"]]
    file = files[int(rng.integers(len(files)))]
    raw = np.fromfile(folder / file["name"], np.uint8)
    for _ in range(int(rng.integers(1, 200))):
        raw[rng.integers(len(raw) if rng.random() < 0.5 else min(len(raw), 200))] = rng.integers(256)
    raw.tofile(folder / file["name"])
    file["checksum"] = checksum(raw)
    path.write_text(json.dumps({**body, "checksum": checksum_of(body)}))
    return f"forged {file['name'].split('.')[1]}"


def known_id(index):
    return 700 if index.info()["ids"] == "int" else "photo 100"


CALLS = {
    "search": lambda index: index.search(QUERY, k=1000),
    "radius": lambda index: index.search(QUERY, radius=5),
    "where": lambda index: index.search(QUERY, k=1000, where="n>=25"),
    "multi-index": lambda index: index.search(QUERY, k=20, strategy="multi-index"),
    "optimize": lambda index: index.optimize().search(QUERY, radius=4),
    "explain": lambda index: str(index.explain(k=5)) and None,
    "pairs": lambda index: [len(chunk[0]) for chunk in index.pairs(1)] and None,
    "verify": lambda index: index.verify(),
    "refresh": lambda index: index.refresh().search(QUERY, k=1000),
    "delete": lambda index: index.delete(known_id(index)).search(QUERY, k=1000),
    "add": lambda index: index.add(QUERY[None], ids=[known_id(index)], upsert=True).search(QUERY, k=1000),
    "compact": lambda index: index.compact().search(QUERY, k=1000),
    "merge": lambda index: Index.create(bits=index.bits).merge(index).search(QUERY, k=1000),
}


def answers(path, name):
    """Return the hits, or None where an error of kinbits was raised."""
    try:
        hits = CALLS[name](Index.open(path, options=OPTIONS))
        return [] if hits is None else [(hit["id"], hit["distance"]) for hit in hits.to_dicts()]
    except KinbitsError:
        return None


def main():
    scratch, seed, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    kinds = {"int": list(range(7, 3507, 7)), "str": [f"photo {i:03}" for i in range(500)]}
    truth = {}
    for kind, ids in kinds.items():
        pristine(scratch / kind, ids)
        for name in CALLS:
            shutil.copytree(scratch / kind, scratch / "copy")
            truth[kind, name] = answers(scratch / "copy", name)
            assert truth[kind, name] is not None
            shutil.rmtree(scratch / "copy")
    outcome = Counter()
    for number in range(rounds):
        rng = np.random.default_rng([seed, number])
        kind, name = str(rng.choice(list(kinds))), str(rng.choice(list(CALLS)))
        shutil.copytree(scratch / kind, scratch / "copy")
        change = [damage, damage, forge, forge, forge_all][int(rng.integers(5))]
        what = change(scratch / "copy", rng)
        found = answers(scratch / "copy", name)
        outcome["refused" if found is None else "answered"] += 1
        if found is not None and change is damage:
            assert found == truth[kind, name], f"round {number}: {what}, {name} answers wrongly"
        elif found is not None and change is forge:
            made_up = set(found) - set(truth[kind, name])
            assert not made_up, f"round {number}: {what}, {name} makes up {sorted(made_up)[:3]}"
        shutil.rmtree(scratch / "copy")
    print(json.dumps(outcome))


if __name__ == "__main__":
    main()
