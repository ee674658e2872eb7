"""Exit code 1 means a fault in kinbits, and nothing that a person hands over may lead to it.

Commands meet odd words, odd files and damaged ones, drawn by seed. KINBITS_EXHAUSTIVE=1 draws thousands.
"""

import io
import json
import os
import random
import shutil
import signal
import string
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import kinbits

DRAWS = int(os.environ.get("KINBITS_DRAWS", 4000 if os.environ.get("KINBITS_EXHAUSTIVE") else 24))
SEED = int(os.environ.get("KINBITS_SEED", 0))
PATIENCE = 30  # seconds; whoever takes longer hangs

NUMBERS = [
    "0", "1", "2", "8", "-1", "16", "1_0", "+1", "1.5", "nan", "inf", "-inf", "1e308", "1e-9", "0x10", "٣", "²", "",
    " 1", "1 ", "9" * 19, "-" + "9" * 19, "9" * 400, str(2**31), str(2**63), str(-(2**63)), "true", "None", "½",
]  # fmt: skip
WORDS = [
    "", " ", "a", "b", "item 003", "-", "--", "-x", "~", "~nobody/x", ".", "/dev/null", "/proc/self/mem", "\udcff",
    "日本", "\u202e", "\x1b[2J", "a\nb", "a\tb", "a\x00b", "%s", "{}", "{0}", "[red]", "[/]", "x" * 5000, "é",
    "e\u0301", "null", "true", "1_0", "hf:", "hf:no/such", "folder:", "lists:", "lists:.", "folder:vectors.npz",
    "vectors.npz:query", "cifar10-1k-5k-54k:query",
]  # fmt: skip
FILTERS = [
    "label=a", "label in a,b", "label in (a, 'b')", "label>=2", "label", "=", "label=", "=a", "lable=a", "label~a",
    "label contains true", "not label=a", "label=a or", "(label=a", "label=a)", "not", "((((", "label='a", 'label="a',
    "label is missing", "n>1", "n=>8", "n=1_0", "n=nan", "n=inf", "n=1e999", "n=" + "9" * 400,
    "label=a and label=b or not label=c", "(" * 5000 + ")" * 5000, "not " * 5000 + "label=a",
    " or ".join(["label=a"] * 3000), "label in " + ",".join(map(str, range(40000))), "\x00=\x00", "`n`=1",
    '"label"=a', "[n]=1", "n in (1,", "label not in", "flag=true", "flag=1", "flag>0", "n=9223372036854775808",
    "label=\udcff",
]  # fmt: skip
FILES = [
    "empty", "folder", "void", "pipe", "text.txt", "ids.txt", "bad.png", "good.png", "huge.png", "loop", "gone",
    "odd.npz", "odd.npy", "objects.npy", "nan.npz", "one.npz", "odd.csv", "nul.csv", "ragged.csv", "twice.csv",
    "odd.parquet", "codes.parquet", "strange.parquet", "none.parquet", "lists.parquet", "deep.jsonl", "odd.jsonl",
    "good.jsonl", "odd.yaml", "good.yaml", "bomb.yaml", "model", "some.index", "vectors.npz", "damaged.index",
    "damaged.model", "photos", "train.txt", "model/config.json", "some.index/manifest.json", "pipe.csv", "pipe.npz",
    "pipe.npy", "pipe.parquet", "pipe.jsonl", "pipe.txt", "pipe.png", "folder.csv", "folder.npz", "folder.parquet",
    "folder.jsonl", "folder.txt",
]  # fmt: skip
PIPES = [name for name in FILES if name.startswith("pipe")]
NEW = [
    "new", "new/deep", "new.parquet", "new.png", "empty", "folder", "pipe", "gone/../x", "vectors.npz/x", "~/new",
    "\x00", "x" * 300, "日本", ".",
]  # fmt: skip

METHODS = ["itq", "lsh", "pca", "orthohash", "csq", "dsh", "bihalf", "rankhash", "adsh", "shrewd", "bcdh", "ugach"]
ODD_JSON = [
    None,
    True,
    -1,
    0,
    2**70,
    1e999,
    0.5,
    "",
    "x",
    "\x00",
    [],
    [[]],
    {},
    {"a": 1},
    ["image"],
    "../..",
    {"image": None},
]

# what a command takes: w a word, n a number, e a number that is not too large, f a file or folder, o a place to write,
# q a filter, i an index, m a model, d data, a the name of a method; options with ! are always given
COMMANDS = {
    "fit": ["d", "!-o o", "!--method a", "!--bits n", "!--epochs e", "--batch-size n", "--lr n", "--seed n",
            "--validation n", "--patience n", "--param w=n", "--config f", "--labels-fraction n", "--label-column w",
            "--id-column w", "--pairs f", "--image-size n", "--force", "--no-labels", "--min-shared n"],
    "encode": ["m", "d", "!-o o", "--label-column w", "--text-column w", "--modality w", "--json", "--id-column w"],
    "index create": ["o", "m", "d", "--bits n", "--label-column w", "--json"],
    "index create ": ["o", "f", "!--bits n", "--json"],
    "index add": ["i", "d", "!--upsert", "--model m", "--wait n", "--json"],
    "index add ": ["i", "f", "--upsert"],
    "index delete": ["i", "w", "--where q", "--ids f", "--dry-run", "--yes", "--wait n", "--json"],
    "index delete ": ["i", "!--where q", "--dry-run", "--yes"],
    "index delete  ": ["i", "!--ids f", "--dry-run"],
    "index update": ["i", "f", "--id-column w", "--json"],
    "index merge": ["i", "i", "!--upsert", "--json"],
    "index info": ["i", "--json"],
    "index verify": ["i", "--json"],
    "index compact": ["i", "--wait n"],
    "index optimize": ["i", "--json"],
    "index pairs": ["i", "--radius n", "--where q", "--json"],
    "search": ["i", "d", "-k n", "--radius n", "--where q", "--rerank n", "--columns w", "--sheet o", "--model m",
               "--json", "--at w"],
    "search ": ["i", "d", "!--where q", "-k n"],
    "search  ": ["i", "!--text w", "-k n"],
    "evaluate": ["m", "d", "-o o", "--metric w", "!--no-baselines", "--seed n", "--json", "--at w=n", "--difficulty w"],
    "inspect": ["f", "!--bits n", "--json", "--plot o"],
    "inspect ": ["m", "d", "--json"],
    "inspect  ": ["i", "--json"],
    "calibrate": ["m", "d", "!-o o"],
    "methods": ["w", "--json"],
    "protocols": ["w", "--json"],
    "bench": ["f"],
    "new method": ["w"],
    "": ["w", "w"],
    "--log o": ["w"],
}  # fmt: skip
RIGHT = {"d": "vectors.npz", "m": "model", "i": "some.index", "o": "new", "f": "codes.parquet", "q": "label=a",
         "n": "8", "e": "1", "w": "label", "a": "itq"}  # fmt: skip
RIGHT_FOR = {
    "encode": {"o": "new.parquet"},
    "index delete": {"w": "item 003"},
    "index delete  ": {"f": "ids.txt"},
    "index update": {"f": "good.jsonl"},
    "--log o": {"w": "methods"},
    "methods": {"w": "itq"},
    "protocols": {"w": "folder:vectors.npz"},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with what a person may hand over, good, odd and damaged."""
    folder = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(0)
    labels, ids = np.arange(60) % 3, np.array([f"item {n:03}" for n in range(60)])
    vectors = rng.normal(size=(60, 16)).astype(np.float32)
    vectors[:, 0] += 3 * labels
    everything = {"vectors": vectors, "labels": labels, "ids": ids, "label_names": np.array(["a", "b", "c"])}
    np.savez(folder / "vectors.npz", **everything)
    model = kinbits.fit(kinbits.open_dataset(folder / "vectors.npz"), bits=8, method="itq", progress=False)
    model.save_pretrained(folder / "model")
    columns = {
        "label": ["a", "b", None] * 20,
        "n": list(range(60)),
        "flag": [True, False] * 30,
        "x": [n / 7 for n in range(60)],
    }
    kinbits.Index.create(folder / "some.index", model.encode(vectors), ids, columns, model=model)
    for name in ("model", "some.index"):
        shutil.copytree(folder / name, folder / f"damaged.{name.removeprefix('some.')}")
    for path in (folder / "damaged.index").iterdir():
        raw = bytearray(path.read_bytes())
        raw[len(raw) // 2 :] = b"\x00" * (len(raw) - len(raw) // 2)
        path.write_bytes(raw)
    (folder / "damaged.model" / "config.json").write_text(
        '{"format": 1, "bits": "many", "towers": [1, {}], "method": null}'
    )
    files(folder, vectors)
    tables(folder)
    return folder


def files(folder, vectors):
    (folder / "empty").write_bytes(b"")
    for ending in ("", ".csv", ".npz", ".parquet", ".jsonl", ".txt"):
        (folder / f"folder{ending}").mkdir()
    (folder / "void").symlink_to("nowhere")
    (folder / "loop").symlink_to("loop")
    for name in PIPES:
        os.mkfifo(folder / name)
    (folder / "text.txt").write_text("no list\nof paths\n")
    (folder / "train.txt").write_text("gone.png 0 1\n")
    (folder / "ids.txt").write_text("item 001\nitem 002\n")
    (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\x00" * 40)
    (folder / "photos" / "a").mkdir(parents=True)
    Image.new("RGB", (3, 2)).save(folder / "photos" / "a" / "1.png")
    (folder / "photos" / "a" / os.fsdecode(b"\xff.png")).write_bytes((folder / "photos" / "a" / "1.png").read_bytes())
    Image.new("RGB", (9, 9), (9, 99, 199)).save(folder / "good.png")
    Image.new("1", (9000, 9000)).save(folder / "huge.png")
    np.save(folder / "odd.npy", np.zeros((2, 3, 4, 5, 6)))
    np.save(folder / "objects.npy", np.array([{}, "x"], dtype=object), allow_pickle=True)
    np.savez(folder / "odd.npz", vectors=np.zeros((0, 16)), labels=np.array(["é"] * 3), ids=np.array([1, 2]))
    np.savez(folder / "nan.npz", vectors=np.where(np.arange(16) == 3, np.nan, vectors), labels=np.full(60, -7))
    np.savez(folder / "one.npz", vectors=vectors[:1])
    (folder / "odd.yaml").write_text("- 1\n? [a]\n: b\n")
    (folder / "good.yaml").write_text("epochs: 1\nbits: 8\nmethod: itq\n")
    (folder / "bomb.yaml").write_text("a: &a [x, x]\nb: &b [*a, *a]\nmethod: *b\nbits: .nan\nseed: 1_0\nlr: .inf\n")


def tables(folder):
    (folder / "odd.csv").write_text('id,label,n\n"item 001",a,1\n"item 001,b,"2\n', encoding="utf-8")
    (folder / "nul.csv").write_bytes(b"\x00\xff,path\n\x00,\x00\n")
    (folder / "ragged.csv").write_text("id,n\nitem 001,1,2\nitem 002\n")
    (folder / "twice.csv").write_text("id,n,n\nitem 001,1,2\n")
    (folder / "deep.jsonl").write_text('{"id": ' + "[" * 100_000)
    (folder / "odd.jsonl").write_text('{"id": "item 001", "n": 1e400, "m": {"a": [NaN]}, "id": null}\n')
    (folder / "good.jsonl").write_text(
        '{"id": "item 001", "n": 123, "new": "x"}\n{"id": "item 002", "n": 5, "new": null}\n'
    )
    (folder / "odd.parquet").write_bytes(b"PAR1" + b"\x00" * 50 + b"PAR1")
    code = [bytes([n]) for n in range(9)]
    pq.write_table(
        pa.table({"id": [f"new {n}" for n in range(9)], "code": code, "n": range(9)}), folder / "codes.parquet"
    )
    strange = {
        "id": pa.array([1.5, None, 3]), "code": pa.array([[1], None, [300]]), "label": pa.array([{"a": 1}] * 3),
        "path": ["\x00", "", "good.png"], "text": [b"\xff", None, b"x"],
        "date": pa.array([0, 1, 2], pa.timestamp("ns")),
    }  # fmt: skip
    pq.write_table(pa.table(strange), folder / "strange.parquet")
    pq.write_table(pa.table({}), folder / "none.parquet")
    lists = {"id": [["a"], ["b"]], "code": ["00", "ff"], "distance": [1, 2], "n": [2**63, 2**64 - 1]}
    pq.write_table(pa.table({**lists, "n": pa.array(lists["n"], pa.uint64())}), folder / "lists.parquet")


def drawn(rng):
    """Draw a command line: right, but for one to three odd things in half of them."""
    command = rng.choice(list(COMMANDS))
    parts, right = COMMANDS[command], RIGHT | RIGHT_FOR.get(command, {})
    odd = rng.sample(range(len(parts)), min(len(parts), rng.choice([0, 0, 0, 1, 1, 2, 3])))
    words = [value(rng, "o", right, odd=True) if word == "o" else word for word in command.split()]
    for place, part in enumerate(parts):
        *option, kind = part.removeprefix("!").split(" ")
        optional = (option or kind.startswith("-")) and part[0] != "!"
        if optional and place not in odd:
            continue
        made = (
            kind
            if kind.startswith("-")
            else "=".join(value(rng, one, right, odd=place in odd) for one in kind.split("="))
        )
        words += [*option, made]
    return words


def value(rng, kind, right, *, odd):
    if not odd:
        return right.get(kind, kind)
    if kind == "a":
        return rng.choice(METHODS)
    if kind == "e":
        return rng.choice([number for number in NUMBERS if not number.isdecimal() or len(number) < 3])
    if kind == "n":
        return rng.choice(NUMBERS)
    if kind == "q":
        return rng.choice(FILTERS) if rng.random() < 0.9 else "".join(rng.choices(string.printable, k=12))
    if kind == "o":
        return rng.choice(NEW)
    if kind in "fimd" and rng.random() < 0.85:
        return rng.choice(FILES)
    return rng.choice(WORDS)


def damage(rng):
    """Change one file of the model, the index or the data; return its path."""
    names = [str(path) for folder in ("model", "some.index") for path in Path(folder).iterdir() if path.name != "lock"]
    path = Path(rng.choice(sorted(names) * 3 + ["codes.parquet", "vectors.npz", "good.jsonl", "ids.txt"]))
    raw = path.read_bytes()
    path.write_bytes(odd_json(rng, raw) if path.suffix == ".json" and rng.random() < 0.8 else odd_bytes(rng, raw))
    return path


def odd_json(rng, raw):
    """Put something odd in the place of a value, at any depth."""
    whole = at = json.loads(raw)
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not keys:
            return json.dumps(rng.choice(ODD_JSON)).encode()
        key = rng.choice(keys)
        if isinstance(at[key], (dict, list)) and at[key] and rng.random() < 0.8:
            at = at[key]
        elif isinstance(at, dict) and rng.random() < 0.2:
            del at[key]
            return json.dumps(whole).encode()
        else:
            at[key] = rng.choice(ODD_JSON)
            return json.dumps(whole).encode()


def odd_bytes(rng, raw):
    """Cut, empty, lengthen or flip."""
    made = bytearray(raw)
    how = rng.randrange(4)
    if how == 0:
        return bytes(made[: rng.randrange(len(made) + 1)])
    if how == 1:
        return bytes(made) + rng.randbytes(9)
    for _ in range(rng.choice([1, 1, 2, 30])):
        if made:
            made[rng.randrange(len(made))] = rng.randrange(256)
    return bytes(made)


class Hangs(BaseException):
    """A command took longer than anybody waits."""


def test_no_input_leads_to_a_fault(run, world, tmp_path, monkeypatch):
    def hang(*_):
        raise Hangs

    previous = signal.signal(signal.SIGALRM, hang)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    rng, seen, wrong = random.Random(SEED), Counter(), []
    shutil.copytree(world, tmp_path / "w", symlinks=True, ignore=shutil.ignore_patterns(*PIPES))
    monkeypatch.chdir(tmp_path / "w")
    for name in PIPES:
        os.mkfifo(name)
    try:
        for number in range(DRAWS):
            words, damaged = drawn(rng), rng.random() < 0.35
            path = damage(rng) if damaged else None
            signal.alarm(PATIENCE)
            try:
                ended = run(*words)
                code, told = ended.code, ended.err[-300:]
            except Hangs:
                code, told = "hangs", ""
            finally:
                signal.alarm(0)
            seen[code] += 1
            if code not in (0, 2, 3, 4, 5, 130) or "Traceback" in told:
                wrong.append((number, code, words, path, told))
            restore(world)
    finally:
        signal.signal(signal.SIGALRM, previous)
    print("exit codes:", seen)
    assert wrong == [], "\n".join(map(str, wrong))


def restore(world):
    """Make the world as it was: what an earlier command wrote, deleted or damaged has no part in the next."""
    for path in world.iterdir():
        if path.is_symlink() or path.name in PIPES:
            continue
        if not path.is_dir():
            shutil.copyfile(path, path.name)
        elif path.name in ("model", "some.index"):
            shutil.rmtree(path.name)
            shutil.copytree(path, path.name)
    for name in os.listdir():
        if not os.path.lexists(world / name):
            shutil.rmtree(name, ignore_errors=True)
            Path(name).unlink(missing_ok=True)
