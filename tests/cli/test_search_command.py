"""What `kinbits search` takes, shows and draws."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import kinbits
from kinbits import HashModel
from kinbits.backbones import load_backbone
from kinbits.data import placeholder, tile_box
from kinbits.heads import ProductHead
from kinbits.model import Tower

COLOURS = ("red", "green", "blue")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with pictures of three colours, and a model and an index of them."""
    folder = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    for channel, colour in enumerate(COLOURS):
        (folder / "photos" / colour).mkdir(parents=True)
        for number in range(3):
            pixels = rng.integers(0, 60, (12, 12, 3), dtype=np.uint8)
            pixels[..., channel] += 150
            Image.fromarray(pixels).save(folder / "photos" / colour / f"{number}.png")
    settings = {"method": "itq", "bits": 8, "backbone": "convnet-small", "finetune": False, "cache": None}
    kinbits.fit(folder / "photos", progress=False, **settings).save_pretrained(folder / "model")
    return folder


@pytest.fixture
def photos(run, made):
    """An index of the pictures, as the command line makes it."""
    ended = run("index", "create", "photos.index", made / "model", made / "photos")
    assert ended.code == 0, ended.err
    return Path("photos.index")


@pytest.fixture
def wide(run, made):
    """An index with more columns than 80 characters hold, of one item."""
    model = kinbits.HashModel.from_pretrained(made / "model")
    code = model.encode(made / "photos" / "red" / "0.png")[0].tobytes()
    columns = {"colour": "red", "sold": True, "text": "long " * 60, "price": 1 / 3, "stock": 7}
    columns |= {f"a rather long name {n}": n for n in range(5)} | {"z": 1}
    pq.write_table(pa.table({"id": ["one"], "code": [code], **{k: [v] for k, v in columns.items()}}), "w.parquet")
    assert run("index", "create", "wide", "w.parquet", "--bits", "8").code == 0
    return ["search", "wide", made / "photos" / "red" / "0.png", "--model", made / "model"]


def header(out):
    """Return the names of the columns of a table."""
    return next(line for line in out.splitlines() if line.split()[:2] == ["id", "distance"]).split()


def test_standard_input_is_an_image(run, made, photos, monkeypatch):
    data = (made / "photos" / "red" / "1.png").read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    (found,) = json.loads(run("search", photos, "-", "-k", "1", "--json").out)
    assert (found["query"], found["hits"][0]["distance"]) == ("standard input", 0)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    both = json.loads(run("search", photos, made / "photos/blue/0.png", "-", "-k", "1", "--json").out)
    assert [one["query"] for one in both] == [str(made / "photos/blue/0.png"), "standard input"]
    assert both[1]["hits"] == found["hits"]


@pytest.mark.parametrize(
    ("given", "data", "code", "told"),
    [
        (["-"], b"", 3, "standard input is empty"),
        (["-"], b"no image", 3, "standard input: not an image"),
        (["-", "-"], b"", 2, "give - once"),
        (["note.txt"], b"", 3, "write it behind --text"),
        (["gone.png"], b"", 3, "no such file: gone.png"),
        (["pipe"], b"", 3, "a pipe or a device"),
    ],
)
def test_queries_that_are_no_images(run, photos, monkeypatch, given, data, code, told):
    Path("note.txt").write_text("red things")
    os.mkfifo("pipe")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    ended = run("search", photos, *given)
    assert ended.code == code
    assert told in ended.error


def test_all_columns_that_fit_are_shown_and_the_others_are_named(run, wide):
    ended = run(*wide)
    lines = ended.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert header(ended.out) == ["id", "distance", "colour", "sold", "text", "price", "stock", "z"]
    row = next(line for line in lines if line.split()[:1] == ["one"])
    assert row.split()[:4] == ["one", "0", "red", "true"]
    assert "0.333333" in row
    assert "long long" in row
    assert ended.err.strip() == (
        "+5 columns: a rather long name 0, a rather long name 1, a rather long name 2, a rather long name 3, ...; "
        "--columns NAMES chooses, --json shows all"
    )
    assert run("--quiet", *wide).err == ""


def test_a_wider_terminal_shows_more(run, wide, monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")
    ended = run(*wide)
    assert "a rather long name 4" in ended.out
    assert ended.err == ""


def test_chosen_columns_are_shown_in_their_order(run, wide):
    ended = run(*wide, "--columns", "stock,colour", "--columns", "sold")
    assert header(ended.out) == ["id", "distance", "stock", "colour", "sold"]
    assert ended.err == ""
    refused = run(*wide, "--columns", "stok")
    assert refused.code == 2
    assert "did you mean stock?" in refused.error


def test_json_keeps_all_columns_and_their_types(run, wide):
    (hit,) = json.loads(run(*wide, "--json").out)[0]["hits"]
    assert hit["sold"] is True
    assert (hit["text"], hit["price"], hit["stock"]) == ("long " * 60, 1 / 3, 7)


def tile(sheet, row, place):
    """Cut one picture out of a sheet."""
    return sheet.crop(tile_box(row, place))


def test_a_sheet_shows_the_queries_and_what_they_found(run, made, photos):
    queries = [made / "photos" / colour / "0.png" for colour in COLOURS]
    ended = run("search", photos, *queries, "-k", "2", "--sheet", "deep/sheet.png")
    assert ended.code == 0, ended.err
    assert "sheet written to deep/sheet.png" in ended.err
    with Image.open("deep/sheet.png") as file:
        sheet = file.convert("RGB")
    for row in range(3):
        for place in (0, 1):  # the query, and itself as its nearest hit
            mean = np.asarray(tile(sheet, row, place)).reshape(-1, 3).mean(0)
            assert mean.argmax() == row
            assert mean[row] > mean.sum() / 2
    assert sorted(path.name for path in Path("deep").iterdir()) == ["sheet.png"]


def test_pictures_of_all_collections_are_found_and_a_missing_one_is_its_id(run, made, photos):
    Path("more").mkdir()
    Image.new("RGB", (9, 9), (10, 10, 240)).save("more/extra.png")
    Image.new("RGB", (9, 9), (10, 240, 10)).save("more/gone.png")
    assert run("index", "add", photos, "more").code == 0
    Path("more/gone.png").unlink()
    assert run("search", photos, "more/extra.png", "-k", "11", "--sheet", "s.png").code == 0
    ids = kinbits.Index.open(photos).search("more/extra.png", k=11).ids.tolist()
    with Image.open("s.png") as file:
        sheet = file.convert("RGB")
    extra, gone = (tile(sheet, 0, 1 + ids.index(name)) for name in ("extra.png", "gone.png"))
    assert np.asarray(extra)[20, 20].tolist() == [10, 10, 240]
    assert gone.tobytes() == placeholder("gone.png").tobytes()


def test_a_path_in_a_column_is_a_picture_too_and_no_path_at_all_is_none(run, made, wide):
    text = "\0.png", "x" * 5000 + ".png", "../../nothing.png"
    model = kinbits.HashModel.from_pretrained(made / "model")
    code = model.encode(made / "photos" / "red" / "0.png")[0].tobytes()
    table = pa.table({"id": ["a", "b", "c", "d"], "code": [code] * 4, "file": ["photos/red/0.png", *text]})
    facts = {"bits": 8, "fingerprint": model.fingerprint, "model": str(made / "model"), "root": str(made)}
    pq.write_table(table.replace_schema_metadata({"kinbits": json.dumps(facts)}), "f.parquet")
    assert run("index", "create", "f", "f.parquet").code == 0
    query = made / "photos/red/0.png"
    assert run("search", "f", query, "--sheet", "s.png").code == 0
    with Image.open("s.png") as file:
        sheet = file.convert("RGB")
    assert tile(sheet, 0, 1).tobytes() == tile(sheet, 0, 0).tobytes()
    assert tile(sheet, 0, 2).tobytes() == placeholder("b").tobytes()


@pytest.mark.parametrize(("path", "code"), [("s.jpg", 2), (".", 2), ("/proc/no/s.png", 5)])
def test_a_sheet_that_cannot_be_written(run, made, photos, path, code):
    ended = run("search", photos, made / "photos/red/0.png", "--sheet", path)
    assert ended.code == code
    assert ended.error
    assert ended.out == ""


def test_a_sheet_of_vectors_and_many_hits_stays_small(run, index, vectors):
    ended = run("search", index, vectors, "-k", "60", "--sheet", "s.png", "--json")
    assert ended.code == 0, ended.err
    assert "at most 50 queries and 20 hits" in ended.err
    with Image.open("s.png") as file:
        assert file.width < 3000
        assert file.height < 9000


def test_a_real_valued_query_has_distances_that_are_no_whole_numbers(run, photos, made):
    query = made / "photos" / "red" / "0.png"
    ended = run("search", "photos.index", query, "-k", "4", "--distance", "asymmetric", "--json")
    assert ended.code == 0, ended.err
    (hits,) = [one["hits"] for one in json.loads(ended.out)]
    index = kinbits.Index.open("photos.index")
    assert hits == [
        {**hit, "distance": pytest.approx(hit["distance"])}
        for hit in index.search(query, k=4, distance="asymmetric").to_dicts()
    ]
    assert hits[0]["distance"] == 0
    assert any(hit["distance"] % 1 for hit in hits)
    within = run("search", "photos.index", query, "-r", str(hits[2]["distance"]), "--distance", "asymmetric", "--json")
    assert len(json.loads(within.out)[0]["hits"]) == 3, within.err
    assert run("search", "photos.index", query, "-r", "2.5").code == 2
    refused = run("search", "photos.index", query, "--distance", "asymmetric", "--rerank", "5")
    assert refused.code == 2
    assert "leave" in refused.err or "neither" in refused.err


@pytest.fixture
def product(tmp_path, monkeypatch):
    """A folder with a model of product codes, vectors, and an index of them."""
    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(0).standard_normal((60, 16)).astype(np.float32)
    head = ProductHead(16, 16, 16)
    head.books.copy_(torch.from_numpy(rows[:16].reshape(16, 4, 4).swapaxes(0, 1).copy()))
    HashModel({"image": Tower(load_backbone("features", dim=16), head)}).save_pretrained("model")
    np.save("rows.npy", rows)
    return tmp_path


def test_product_codes_are_searched_by_the_command_line(run, product):
    assert run("index", "create", "p.index", "model", "rows.npy").code == 0
    ended = run("search", "p.index", "rows.npy", "-k", "3", "--json")
    assert ended.code == 0, ended.err
    index = kinbits.Index.open("p.index")
    rows = np.load("rows.npy")
    assert [one["hits"][0]["id"] for one in json.loads(ended.out)] == [hits.ids[0] for hits in index.search(rows, k=1)]
    assert "16-bit product codes (4 parts of 16 words)" in run("index", "info", "p.index").out
    assert run("encode", "model", "rows.npy", "-o", "codes.parquet").code == 0
    assert run("search", "p.index", "codes.parquet", "-k", "1").code == 0
    for command in (
        ("inspect", "p.index"),
        ("inspect", "codes.parquet"),
        ("inspect", "model", "rows.npy"),
        ("index", "pairs", "p.index", "-r", "1"),
        ("index", "optimize", "p.index"),
        ("search", "p.index", "rows.npy", "--distance", "hamming"),
        ("evaluate", "model", "rows.npy"),
        ("export", "model", "m.onnx"),
    ):
        refused = run(*command)
        assert refused.code in (2, 3), command
        assert "Traceback" not in refused.err


def test_kept_vectors_order_the_hits_again(run, model, index, vectors):
    ended = run("index", "create", "kept.index", model, vectors, "--keep", "int8", "--metric", "euclidean")
    assert ended.code == 0, ended.err
    held = np.load(vectors)
    rows, names = held["vectors"], held["ids"].tolist() if "ids" in held else list(range(len(held["vectors"])))
    away = np.square(rows[None] - rows[:, None]).sum(2)
    ended = run("search", "kept.index", vectors, "-k", "3", "--rescore", "1000", "--json")
    assert ended.code == 0, ended.err
    for row, one in enumerate(json.loads(ended.out)):
        assert one["hits"][0]["id"] == names[row]
        assert one["hits"][1]["distance"] == pytest.approx(np.sort(away[row])[1], rel=0.1)
    ended = run("search", "kept.index", vectors, "-k", "1", "--rescore", "2")
    assert "distance: squared Euclidean distance to int8 vectors, of the 2 nearest by Hamming distance" in ended.err
    assert "int8" in run("index", "info", "kept.index").out
    assert run("index", "add", "kept.index", vectors, "--upsert").code == 0
    assert run("encode", model, vectors, "-o", "codes.parquet").code == 0
    for wrong, told in (
        (("search", "kept.index", vectors, "--rescore", "2", "--radius", "3"), "--rescore takes"),
        (("search", index, vectors, "--rescore", "2"), "keeps none"),
        (("index", "create", "other.index", "codes.parquet", "--keep", "int8"), "a file of codes has none"),
    ):
        ended = run(*wrong)
        assert ended.code == 2
        assert told in ended.err


def test_an_index_of_vectors_tells_to_search_with_vectors(run, model, vectors):
    ended = run("index", "create", "of-vectors.index", model, vectors)
    assert ended.code == 0, ended.err
    assert "kinbits search of-vectors.index VECTORS.npy" in " ".join(ended.out.split())


def test_several_indexes_are_searched_as_one(run, photos, made):
    assert run("index", "create", "other.index", made / "model", made / "photos" / "red").code == 0
    query = made / "photos" / "red" / "0.png"
    found = json.loads(run("search", photos, "other.index", query, "-k", "12", "--json").out)[0]["hits"]
    assert {hit["index"] for hit in found if hit["distance"] == 0} == {"photos.index", "other.index"}
    twice = run("search", photos, photos, query)
    assert twice.code == 2
    assert "given twice" in twice.err
