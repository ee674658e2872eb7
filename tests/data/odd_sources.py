"""Odd tables, folders, lists and arrays, written by a seeded generator."""

import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tiny import encoded, picture

WORDS = [
    "",
    " ",
    "a",
    "NA",
    "null",
    "nan",
    "inf",
    "-inf",
    "1e999",
    "007",
    "1_0",
    "٣",
    "-1",
    "0",
    "1",
    "3.5",
    "true",
    "None",
    "18446744073709551615",
    "9" * 400,
    "9" * 5000,
    "-9223372036854775809",
    "2020-01-05",
    "99999-13-45",
    'a"b',
    "a,b",
    "a\tb",
    "a\nb",
    "\x1b[2J",
    "\x00",
    "\ufeff",
    "\u202e",
    "dog;cat",
    "cat|dog",
    "../0.png",
    "/etc/passwd",
    "0.png",
    "1.png",
    "é" * 300,
    "x" * 200_000,
    "[" * 2000,
    '{"a": 1}',
    "=1+1",
    "'",
    "\\",
    "😀",
    "\ufffd",
]
NAMES = [
    "path",
    "image",
    "img",
    "bytes",
    "file_name",
    "label",
    "labels",
    "class",
    "category",
    "y",
    "target",
    "text",
    "caption",
    "title",
    "id",
    "image_id",
    "sku",
    "name",
    "code",
    "split",
    "distance",
    "shop",
    "price",
    "coarse_label",
    "label_names",
    "",
    " ",
    "ID",
    "Label",
    "a b",
    "é",
    "'",
    "x" * 300,
    "1",
    "rowid",
    "folder",
    "\x1b[2J",
]
KEYS = ["label_names", "coarse_label_names", "coarse_of_label", "kinbits", "huggingface", "pandas"]


class Odd:
    """One odd source.

    Args:
        folder: An empty folder for its files.
        seed: Of everything random.
    """

    def __init__(self, folder, seed):
        self.folder, self.rng = folder, np.random.default_rng(seed)
        for number in range(2):
            picture(number).save(folder / f"{number}.png")
        kinds = [self.csv, self.parquet, self.parquet, self.folders, self.list_file, self.captions, self.archive]
        self.source = kinds[seed % len(kinds)]()

    def pick(self, values):
        return values[int(self.rng.integers(len(values)))]

    def some(self, values, least, most):
        return [self.pick(values) for _ in range(int(self.rng.integers(least, most + 1)))]

    def names(self):
        """Names of columns, mostly with one of images."""
        names = self.some(NAMES, 1, 6)
        return names if self.rng.random() < 0.3 else [self.pick(["path", "image"]), *names]

    def csv(self):
        names, rows = self.names(), int(self.rng.integers(0, 5))
        lines = [
            names,
            *([self.pick(["0.png", "1.png"]), *self.some(WORDS, len(names) - 1, len(names) - 1)] for _ in range(rows)),
        ]
        quote = self.rng.random() < 0.9
        text = "\n".join(
            ",".join(f'"{c.replace(chr(34), chr(34) * 2)}"' if quote else c for c in line) for line in lines
        )
        data = text.encode("utf-8") if self.rng.random() < 0.9 else text.encode("utf-16")
        path = self.folder / self.pick(["t.csv", "t.tsv"])
        path.write_bytes(data if self.rng.random() < 0.9 else data[: len(data) // 2] + b"\xff\x00")
        return path

    def column(self, name, rows):
        """Return an Arrow column of any type; usually images where the name says so."""
        if name in ("image", "img", "bytes") and self.rng.random() < 0.8:
            return pa.array([encoded(picture(row)) for row in range(rows)])
        if name == "path" and self.rng.random() < 0.8:
            return pa.array([f"{row % 2}.png" for row in range(rows)])
        return self.pick(self.columns(rows))

    def columns(self, rows):
        ints = self.rng.integers(-2, 4, rows).tolist()
        large = [self.pick([2**64 - 1, 2**63, 0, 1]) for _ in range(rows)]
        floats = [
            self.pick([0.0, 1.0, 0.7, -1.0, float("inf"), float("-inf"), float("nan"), 1e308]) for _ in range(rows)
        ]
        words = [self.pick(WORDS) for _ in range(rows)]
        raw = [self.pick([b"", b"a", b"\xff\xfe", b"\x00" * 80, encoded(picture(1)), None]) for _ in range(rows)]
        holes = [None if self.rng.random() < 0.3 else value for value in ints]
        return [
            pa.array(ints),
            pa.array(ints, pa.int8()),
            pa.array(large, pa.uint64()),
            pa.array(floats),
            pa.array(np.float16([0.5, 1, np.inf, np.nan][:rows])),
            pa.array(words),
            pa.array(words, pa.large_string()),
            pa.array(raw),
            pa.array(holes),
            pa.array([None] * rows),
            pa.array([i > 0 for i in ints]),
            pa.array(words).dictionary_encode(),
            pa.array(ints, pa.date32()),
            pa.array(large, pa.uint64()).cast(pa.int64(), safe=False).cast(pa.timestamp("ns")),
            pa.array(ints, pa.timestamp("us", "Europe/Berlin")),
            pa.array(ints, pa.duration("ns")),
            pa.array(ints, pa.time64("ns")),
            pa.array([f"{i}.50" for i in ints]).cast(pa.decimal128(20, 3)),
            pa.array([[i] for i in ints]),
            pa.array([[[i]] for i in ints]),
            pa.array([words[: i + 1] for i in range(rows)]),
            pa.array([{"a": i} for i in ints]),
            pa.array([{"bytes": one, "path": "0.png"} for one in raw]),
            pa.array([[("k", i)] for i in ints], pa.map_(pa.string(), pa.int64())),
            pa.array([b"ab"] * rows, pa.binary(2)),
            pa.array([[0.5, float("inf")]] * rows, pa.list_(pa.float32(), 2)),
            pa.array([{"bytes": i} for i in ints]),
        ]

    def parquet(self):
        names, rows = self.names(), int(self.rng.integers(0, 5))
        table = pa.Table.from_arrays([self.column(name, rows) for name in names], names=names)
        if self.rng.random() < 0.4:
            table = table.replace_schema_metadata({self.pick(KEYS): self.description() for _ in range(2)})
        path = self.folder / "t.parquet"
        pq.write_table(table, path)
        if self.rng.random() < 0.05:
            path.write_bytes(path.read_bytes()[: int(self.rng.integers(1, 300))])
        return path

    def description(self):
        """Return what a schema may say, sense or nonsense."""
        values = [
            [0, 1],
            ["a", "b", "c", "d"],
            {"a": 1},
            7,
            None,
            [{"x": 1}],
            ["a", None, 2.5],
            [10**30],
            {"bits": 16},
            {"bits": -1},
        ]
        return self.pick([json.dumps(self.pick(values)), "[" * 50_000, "{", b"\xff\xfe", ""])

    def folders(self):
        for place, name in enumerate(
            [b"train", b"Test", b"caf\xe9", b"a b", b"\x1b[2J", b"DCIM", b"2019", b".hidden", b"x" * 200]
        ):
            if self.rng.random() < 0.4:
                inner = os.path.join(os.fsencode(self.folder), name)
                os.mkdir(inner)
                picture(place).save(self.folder / "0.png")
                os.link(
                    self.folder / "0.png",
                    os.path.join(inner, self.pick([b"0.png", b"\xe9.png", b"a\nb.png", b"'.png"])),
                )
        if self.rng.random() < 0.2:
            os.mkfifo(self.folder / "pipe.png")
        if self.rng.random() < 0.2:
            os.symlink(self.folder, self.folder / "loop")
        return self.folder

    def captions(self):
        name, end = self.pick([("captions.csv", ","), ("captions.tsv", "\t"), ("captions.txt", "\t")])
        rows = [self.some(["file_name", "image", "text", "caption", ""], 1, 3)]
        rows += [
            [self.pick(["0.png", "1.png", "2.png", ""]), *self.some(WORDS, 0, 2)]
            for _ in range(int(self.rng.integers(0, 4)))
        ]
        (self.folder / name).write_text("\n".join(end.join(row) for row in rows), encoding="utf-8")
        return self.folder

    def list_file(self):
        rows = [f"{self.pick(['0.png', '1.png', 'a b.png'])} {' '.join(self.some(WORDS, 0, 3))}" for _ in range(3)]
        (self.folder / "list.txt").write_text("\n".join(rows), encoding="utf-8")
        if self.rng.random() < 0.3:
            (self.folder / "list_img.txt").write_text("0.png\n1.png\n")
            (self.folder / "list_label.txt").write_text(f"{self.pick(WORDS)}\n{self.pick(WORDS)}\n", encoding="utf-8")
            return self.folder / "list_img.txt"
        return self.folder / "list.txt"

    def archive(self):
        rows = int(self.rng.integers(0, 4))
        arrays = {}
        for key in self.some(["x", "vectors", "images", "y", "labels", "ids", "name", "label_names", "other"], 1, 5):
            arrays[key] = self.pick(self.arrays(rows))
        path = self.folder / "v.npz"
        np.savez(path, **arrays)
        return path

    def arrays(self, rows):
        rng = self.rng
        vectors = rng.normal(size=(rows, 3)).astype(np.float32)
        return [
            vectors,
            vectors,
            vectors.astype(np.float64) * 1e300,
            np.full((rows, 3), np.nan, np.float32),
            rng.integers(0, 9, (rows, 4, 4), dtype=np.uint8),
            np.arange(rows),
            np.arange(rows)[:, None],
            np.arange(rows) - 5,
            np.full(rows, 2**64 - 1, np.uint64),
            np.linspace(0, 1, rows),
            np.array(["a", "b", "c"])[:rows],
            np.array([b"\xff"] * rows),
            np.array("one"),
            np.float32(3),
            np.zeros((rows, 0)),
            np.zeros((rows, 2, 2)),
            np.array([True] * rows),
            np.array([0, 1], "M8[ns]"),
            np.zeros(rows, [("a", "i4")]),
            np.array([1j] * rows),
            np.array(["", "a"])[:rows],
        ]
