"""Files of codes: written by encode and by training, read by index create."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

import kinbits
from kinbits.encoding import CodeShards


def test_encode_writes_ids_codes_and_labels(run, model, vectors):
    ended = run("encode", model, vectors, "-o", "codes.parquet")
    assert ended.code == 0, ended.err
    table = pq.read_table("codes.parquet")
    assert str(table.schema.field("code").type) == "fixed_size_binary[2]"
    assert table["id"].to_pylist()[:2] == ["item 000", "item 001"]
    assert table["label"].to_pylist()[:4] == ["a", "b", "c", "a"]
    expected = kinbits.HashModel.from_pretrained(model).encode(kinbits.open_dataset(vectors))
    assert b"".join(table["code"].to_pylist()) == expected.tobytes()


def test_an_interrupted_encode_goes_on_where_it_stopped(run, model, vectors, monkeypatch):
    encode = ["encode", str(model), str(vectors), "-o", "part.parquet"]
    append = CodeShards.append

    def interrupted(shards, codes):
        append(shards, codes)
        raise KeyboardInterrupt

    monkeypatch.setattr(CodeShards, "append", interrupted)
    stopped = run(*encode)
    assert stopped.code == 130
    assert "the same command continues where it stopped" in stopped.err
    assert not Path("part.parquet").exists()
    monkeypatch.setattr(CodeShards, "append", append)
    ended = run(*encode)
    assert ended.code == 0, ended.err
    assert "continued after 60 of 60" in ended.err
    assert run("encode", model, vectors, "-o", "whole.parquet").code == 0
    assert pq.read_table("part.parquet").equals(pq.read_table("whole.parquet"))
    assert not Path(".part.parquet.parts").exists()


def test_encode_lists_bad_files(run, images):
    folder = images("photos", cat=20, dog=20)
    (folder / "cat" / "0.png").write_bytes(b"no image")
    assert run("fit", "photos", "-o", "m", "--backbone", "convnet-small", "--epochs", "1", "--bits", "8").code == 0
    ended = run("encode", "m", "photos", "-o", "codes.parquet", "--json")
    assert ended.code == 0, ended.err
    assert [one["id"] for one in json.loads(ended.out)["skipped"]] == ["cat/0.png"]
    assert json.loads(ended.out)["rows"] == 39


def test_an_index_from_codes_equals_one_from_data(run, index, model, vectors):
    assert run("encode", model, vectors, "-o", "codes.parquet").code == 0
    assert run("index", "create", "other.index", "codes.parquet").code == 0
    query = ["vectors.npz", "-k", "5", "--json"]
    assert run("search", index, *query).out == run("search", "other.index", *query).out


def test_an_index_has_the_same_columns_whichever_way_it_is_made(run, images):
    images("photos", cat=4, dog=4)
    names = [f"photos/{label}/{number}.png" for label in ("cat", "dog") for number in range(4)]
    kinds = ["cat"] * 4 + ["dog"] * 4
    lines = [f"{name},{kind},a {kind},k{row},{row}" for row, (name, kind) in enumerate(zip(names, kinds, strict=True))]
    Path("shop.csv").write_text("\n".join(["path,kind,text,code,distance", *lines]) + "\n")
    settings = ["--label-column", "kind", "--backbone", "convnet-small", "--epochs", "1", "--bits", "8"]
    assert run("fit", "shop.csv", "-o", "m", "--method", "orthohash", *settings).code == 0
    assert run("index", "create", "i", "m", "shop.csv", "--label-column", "kind").code == 0
    model, data = kinbits.HashModel.from_pretrained("m"), kinbits.open_dataset("shop.csv", label_column="kind")
    here = kinbits.Index.create(model=model).add(data).search(names[5]).to_dicts()
    assert (here[0].keys(), here[0]["kind"]) == ({"id", "distance", "kind", "text", "code"}, "dog")
    assert kinbits.Index.open("i", model=model).search(names[5]).to_dicts() == here
    assert run("encode", "m", "shop.csv", "-o", "codes.parquet", "--label-column", "kind").code == 0
    assert run("index", "create", "other", "codes.parquet").code == 0
    without = [{name: value for name, value in hit.items() if name != "code"} for hit in here]  # the codes' own column
    assert kinbits.Index.open("other", model=model).search(names[5]).to_dicts() == without


def test_codes_of_others_need_their_length(run, vectors):
    import pyarrow as pa

    codes = pa.array([b"\x00\x01", b"\xff\x01"], pa.binary(2))
    pq.write_table(pa.table({"id": [7, 8], "code": codes}), "codes.parquet")
    assert "name their length in bits" in run("index", "create", "i", "codes.parquet").error
    assert "not 8-bit codes" in run("index", "create", "i", "codes.parquet", "--bits", "8").error
    assert run("index", "create", "i", "codes.parquet", "--bits", "16").code == 0
    assert json.loads(run("index", "info", "i", "--json").out)["items"] == 2


def test_learned_codes_of_the_training_images_become_an_index(run, tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 4
    vectors = (rng.normal(size=(4, 16))[labels] + rng.normal(size=(200, 16))).astype(np.float32)
    np.savez(tmp_path / "data.npz", vectors=vectors, labels=labels)
    done = run("fit", tmp_path / "data.npz", "-o", tmp_path / "m", "--method", "adsh", "--bits", "16", "--epochs", "3")
    assert "learned codes" in done.out  # with a path that may be folded
    assert (tmp_path / "m" / "train-codes.parquet").is_file()
    assert run("index", "create", tmp_path / "i", tmp_path / "m" / "train-codes.parquet").code == 0
    found = json.loads(run("index", "info", tmp_path / "i", "--json").out)
    assert found["items"] == 200
    shown = run("evaluate", tmp_path / "m", tmp_path / "data.npz", "--database-codes", "learned")
    assert shown.code == 2
    assert "training part" in shown.err
    folder = f"folder:{tmp_path / 'data.npz'}"  # its database is what was not trained on
    assert run("fit", folder, "-o", tmp_path / "m", "--method", "adsh", "--epochs", "3", "--force").code == 0
    shown = run("evaluate", tmp_path / "m", folder, "--database-codes", "learned")
    assert (shown.code, "no image of the database was trained on" in shown.err) == (2, True)
