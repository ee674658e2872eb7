"""Encoding to a file goes on after a kill, lists what it skips, and equals encoding in memory."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from kinbits import ArtefactError, DataError, HashModel, PlatformError, UsageError, open_dataset
from kinbits.backbones import load_backbone
from kinbits.data import FeatureCache
from kinbits.encoding import CodeShards, encode_collection, encode_to_file, read_codes
from kinbits.heads import build_head
from kinbits.model import Tower

WIDTH, BITS, ROWS = 6, 12, 60
KILL = """
import os, signal, sys
from kinbits import HashModel, open_dataset
from kinbits.encoding import CodeShards, encode_to_file

append = CodeShards.append

def killed(shards, codes):
    append(shards, codes)
    if len(shards) == 2:
        os.kill(os.getpid(), signal.SIGKILL)

CodeShards.append = killed
model, data, path = sys.argv[1:]
encode_to_file(HashModel.from_pretrained(model), open_dataset(data), path, batch_size=16)
"""


def linear(width, backbone, seed=0):
    torch.manual_seed(seed)
    head = build_head({"name": "linear", "features": width, "bits": BITS})
    return HashModel({"image": Tower(backbone, head)})


@pytest.fixture
def model(tmp_path):
    model = linear(WIDTH, load_backbone("features", dim=WIDTH))
    model.save_pretrained(tmp_path / "model")
    return model


@pytest.fixture
def vectors(tmp_path):
    rng = np.random.default_rng(0)
    names = np.array([f"item {row:03}" for row in range(ROWS)])
    path = tmp_path / "vectors.npz"
    np.savez(path, vectors=rng.normal(size=(ROWS, WIDTH)).astype(np.float32), ids=names, labels=np.arange(ROWS) % 3)
    return path


def kill(model, data, path):
    command = [sys.executable, "-c", KILL, str(model.folder), str(data), str(path)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def test_a_killed_run_goes_on_where_it_stopped(model, vectors, tmp_path, monkeypatch):
    kill(model, vectors, tmp_path / "part.parquet")
    assert not (tmp_path / "part.parquet").exists()
    encoded, encode = [], HashModel.encode
    monkeypatch.setattr(
        HashModel, "encode", lambda own, data, **how: encoded.append(len(data)) or encode(own, data, **how)
    )
    done = encode_to_file(model, open_dataset(vectors), tmp_path / "part.parquet", batch_size=16)
    assert (done.resumed, done.rows, done.bits, encoded) == (32, ROWS, BITS, [16, 12])
    monkeypatch.undo()
    whole, part = encode_collection(model, vectors), read_codes(tmp_path / "part.parquet")
    np.testing.assert_array_equal(part.codes, whole.codes)
    assert part.ids.tolist() == whole.ids.tolist()
    assert part.columns == whole.columns
    assert (part.fingerprint, part.model, part.root) == (model.fingerprint, tmp_path / "model", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "part.parquet", "vectors.npz"]


def interrupt(monkeypatch, model, data, path):
    """Encode two batches of 16 rows."""
    append = CodeShards.append

    def interrupted(shards, codes):
        append(shards, codes)
        if len(shards) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(CodeShards, "append", interrupted)
    with pytest.raises(KeyboardInterrupt):
        encode_to_file(model, data, path, batch_size=16)
    monkeypatch.setattr(CodeShards, "append", append)


def test_batches_of_another_model_or_other_data_are_not_taken_over(model, vectors, tmp_path, monkeypatch):
    interrupt(monkeypatch, model, vectors, tmp_path / "c.parquet")
    other = linear(WIDTH, load_backbone("features", dim=WIDTH), seed=1)
    done = encode_to_file(other, open_dataset(vectors), tmp_path / "c.parquet", batch_size=16)
    assert done.resumed == 0
    np.testing.assert_array_equal(read_codes(tmp_path / "c.parquet").codes, other.encode(open_dataset(vectors)))
    interrupt(monkeypatch, model, vectors, tmp_path / "c.parquet")
    assert encode_to_file(model, np.ones((5, WIDTH)), tmp_path / "c.parquet", batch_size=16).resumed == 0
    interrupt(monkeypatch, model, vectors, tmp_path / "c.parquet")
    assert (
        encode_to_file(model, open_dataset(vectors), tmp_path / "c.parquet", batch_size=16, resume=False).resumed == 0
    )


def test_what_cannot_be_read_is_listed_also_from_before_an_interruption(tmp_path, monkeypatch):
    model = linear(384, load_backbone("convnet-small"))
    (tmp_path / "photos").mkdir()
    for row in range(40):
        Image.new("RGB", (8, 8), (row, 0, 0)).save(tmp_path / "photos" / f"{row:02}.png")
    for row in (3, 20, 39):
        (tmp_path / "photos" / f"{row:02}.png").write_bytes(b"no image")
    interrupt(monkeypatch, model, tmp_path / "photos", tmp_path / "c.parquet")
    done = encode_to_file(model, open_dataset(tmp_path / "photos"), tmp_path / "c.parquet", batch_size=16)
    assert (done.resumed, done.rows) == (32, 37)
    assert [one.id for one in done.skipped] == ["03.png", "20.png", "39.png"]
    found = read_codes(tmp_path / "c.parquet")
    assert (found.skipped, found.root) == (done.skipped, tmp_path / "photos")
    with pytest.raises(DataError, match=r"1 of 16 images cannot be read \(03\.png"):
        encode_to_file(
            model, open_dataset(tmp_path / "photos"), tmp_path / "e.parquet", on_error="raise", batch_size=16
        )
    with pytest.raises(DataError, match=r"3 of 40 images cannot be read \(03\.png"):
        encode_collection(model, tmp_path / "photos", on_error="raise")
    cache = FeatureCache(tmp_path / "cache")
    again = encode_to_file(model, open_dataset(tmp_path / "photos"), tmp_path / "d.parquet", cache=cache)
    assert again.skipped == done.skipped
    np.testing.assert_array_equal(read_codes(tmp_path / "d.parquet").codes, found.codes)


def test_texts_without_a_tower_or_a_text_are_refused_before_anything_is_written(model, vectors, tmp_path):
    with pytest.raises(DataError, match="has no texts"):
        encode_to_file(model, open_dataset(vectors), tmp_path / "c.parquet", modality="text")
    with pytest.raises(UsageError, match="no text tower"):
        encode_collection(model, open_dataset(np.ones((3, WIDTH)), texts=["a", "b", "c"]), modality="text")
    data = open_dataset(np.ones((3, WIDTH)), texts=["a", "b", "c"])
    with pytest.raises(UsageError, match="no text tower"):
        encode_to_file(model, data, tmp_path / "c.parquet", modality="text")
    with pytest.raises(UsageError, match=r"ends in \.parquet"):
        encode_to_file(model, open_dataset(vectors), tmp_path / "c.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "vectors.npz"]


def test_shards_know_how_many_there_are(tmp_path, model, vectors):
    codes = encode_collection(model, vectors)
    with CodeShards(tmp_path / "c.parquet", {"bits": BITS}) as shards:
        shards.append(codes)
        assert len(shards) == 1
    with CodeShards(tmp_path / "c.parquet", {"bits": BITS}) as shards:
        assert len(shards) == 1
    with CodeShards(tmp_path / "c.parquet", {"bits": 8}) as shards:
        assert len(shards) == 0
    assert os.listdir(tmp_path / ".c.parquet.parts") == ["job.json"]


def test_two_encodings_to_one_file_do_not_mix(model, vectors, tmp_path, monkeypatch):
    other, refused, append = linear(WIDTH, load_backbone("features", dim=WIDTH), seed=1), [], CodeShards.append

    def meanwhile(shards, codes):
        append(shards, codes)
        with pytest.raises(PlatformError, match=r"another process is encoding to .*c\.parquet") as error:
            encode_to_file(other, open_dataset(vectors), tmp_path / "c.parquet", batch_size=16)
        refused.append(error)

    monkeypatch.setattr(CodeShards, "append", meanwhile)
    encode_to_file(model, open_dataset(vectors), tmp_path / "c.parquet", batch_size=16)
    assert len(refused) == 4
    np.testing.assert_array_equal(read_codes(tmp_path / "c.parquet").codes, model.encode(open_dataset(vectors)))
    monkeypatch.setattr(CodeShards, "append", append)
    encode_to_file(other, open_dataset(vectors), tmp_path / "c.parquet", batch_size=16)  # the lock is free again
    assert read_codes(tmp_path / "c.parquet").fingerprint == other.fingerprint


def test_a_batch_of_another_job_is_not_merged(tmp_path, model, vectors):
    codes = encode_collection(model, vectors)
    with CodeShards(tmp_path / "other.parquet", {"bits": BITS, "job": 2}) as other:
        other.append(codes)
        with CodeShards(tmp_path / "c.parquet", {"bits": BITS, "job": 1}) as shards:
            shards.append(codes)
            shutil.copy(other.folder / "000000.parquet", shards.folder)
            with pytest.raises(ArtefactError, match="belongs to another encoding"):
                shards.merge()
    assert not (tmp_path / "c.parquet").exists()


@pytest.mark.parametrize("changed", [{"labels": None}, {"label_column": "kind"}, {"columns": {"year": range(ROWS)}}])
def test_batches_with_other_metadata_are_not_taken_over(model, vectors, tmp_path, monkeypatch, changed):
    before = open_dataset(vectors)
    edited = replace(before, **changed)
    interrupt(monkeypatch, model, before, tmp_path / "c.parquet")
    done = encode_to_file(model, edited, tmp_path / "c.parquet", batch_size=16)
    assert done.resumed == 0
    assert read_codes(tmp_path / "c.parquet").columns == edited.metadata()


@pytest.mark.parametrize(("name", "resumed"), [("000001.parquet", 16), ("000000.parquet", 0), ("job.json", 0)])
@pytest.mark.parametrize("content", [b"\xff\xfe damaged", b""])
def test_a_damaged_batch_is_encoded_again(model, vectors, tmp_path, monkeypatch, name, resumed, content):
    interrupt(monkeypatch, model, vectors, tmp_path / "c.parquet")
    (tmp_path / ".c.parquet.parts" / name).write_bytes(content)
    done = encode_to_file(model, open_dataset(vectors), tmp_path / "c.parquet", batch_size=16)
    assert (done.resumed, done.rows) == (resumed, ROWS)
    np.testing.assert_array_equal(read_codes(tmp_path / "c.parquet").codes, model.encode(open_dataset(vectors)))


@pytest.mark.parametrize(
    "wrong", [{"batch_size": 0}, {"batch_size": -1}, {"batch_size": "x"}, {"batch_size": 2.5}, {"on_error": "boo"}]
)
def test_wrong_options_keep_the_finished_batches(model, vectors, tmp_path, monkeypatch, wrong):
    interrupt(monkeypatch, model, vectors, tmp_path / "c.parquet")
    with pytest.raises(UsageError, match=next(iter(wrong))):
        encode_to_file(model, open_dataset(vectors), tmp_path / "c.parquet", **wrong)
    number = np.int64(16)  # the same job, whatever the type of the number
    assert encode_to_file(model, open_dataset(vectors), tmp_path / "c.parquet", batch_size=number).resumed == 32


def test_a_collection_of_which_nothing_can_be_read_is_refused(tmp_path):
    model = linear(384, load_backbone("convnet-small"))
    (tmp_path / "photos").mkdir()
    for row in range(3):
        (tmp_path / "photos" / f"{row}.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"no item can be read \(0\.png: "):
        encode_to_file(model, open_dataset(tmp_path / "photos"), tmp_path / "c.parquet", batch_size=2)
    assert os.listdir(tmp_path) == ["photos"]


def test_a_column_has_one_type_in_all_batches(model, vectors, tmp_path):
    data = open_dataset(vectors)
    numbers = replace(data, columns={"price": [1] * 20 + [0.5] * 20 + [None] * 20})
    encode_to_file(model, numbers, tmp_path / "c.parquet", batch_size=20)
    assert read_codes(tmp_path / "c.parquet").columns["price"] == numbers.columns["price"]
    for values in ([1] * 20 + ["x"] * 40, [True] * 20 + [1] * 40):
        with pytest.raises(DataError, match="the column 'price' cannot be stored"):
            encode_to_file(model, replace(data, columns={"price": values}), tmp_path / "d.parquet", batch_size=20)
    assert not any(name.startswith((".d.", "d.")) for name in os.listdir(tmp_path))
