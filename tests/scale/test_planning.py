"""Inputs are divided into blocks whose codes, ids and metadata are those of one machine."""

import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
from importlib.metadata import version

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hash_pictures import photos, picture

from kinbits import open_dataset
from kinbits.encoding import encode_to_file, join_codes, read_codes
from kinbits.errors import DataError, UsageError
from kinbits.model import HashModel
from kinbits.scale import is_sharded
from kinbits.scale.output import Output
from kinbits.scale.planning import make_plan, require_outside
from kinbits.scale.worker import Setup, Worker, model_files


@pytest.fixture(scope="module")
def pdq():
    return HashModel.from_pretrained("pdq")


def started(model, plan, modality="image", job="job"):
    worker = Worker()
    facts = {"model": model_files(model), "folder": model.folder, "root": plan.root, "types": plan.types}
    compiled = plan.items is None or plan.items >= 128
    worker.start(
        Setup(version=version("kinbits"), job=job, modality=modality, compiled=compiled, device="cpu", **facts), 0, 99
    )
    return worker


def encoded(model, data, folder, rows=4, modality="image", **columns):
    """Encode all blocks by one worker, as a cluster does, and read the folder."""
    plan = make_plan(data, modality, rows, columns)
    out = Output(str(folder), {name: "job" for name in ("format", "bits", "fingerprint", "modality")} | {"blocks": 1})
    worker = started(model, plan, modality, out.digest)
    out.start()
    shards = []
    for number in range(plan.count):
        block = pickle.loads(pickle.dumps(plan.block(number)))
        assert block.name
        data, shard = worker.encode(number, block)
        out.write_shard(number, data)
        shards.append(shard)
    out.finish(shards, ())
    return read_codes(folder), plan


def same(one, other):
    assert one.ids.tolist() == other.ids.tolist()
    assert np.array_equal(one.codes, other.codes)
    assert {**one.columns} == {**other.columns}
    assert (one.bits, one.fingerprint, one.root, one.multiple) == (
        other.bits,
        other.fingerprint,
        other.root,
        other.multiple,
    )
    assert one.skipped == other.skipped


def shard(path, samples):
    with tarfile.open(path, "w") as tar:
        for name, data in samples:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def png(seed):
    file = io.BytesIO()
    picture(seed).save(file, "PNG")
    return file.getvalue()


def classes(folder):
    for number, name in enumerate(("cat", "dog")):
        for seed in range(5):
            (folder / name).mkdir(parents=True, exist_ok=True)
            picture(10 * number + seed).save(folder / name / f"{seed}.png")
    (folder / "cat" / "bad.png").write_bytes(b"no image")
    return folder


def test_a_folder_gives_the_codes_of_one_machine(pdq, tmp_path):
    folder = classes(tmp_path / "photos")
    encode_to_file(pdq, folder, tmp_path / "one.parquet")
    found, plan = encoded(pdq, folder, tmp_path / "out")
    same(found, read_codes(tmp_path / "one.parquet"))
    assert (plan.count, plan.items) == (3, 11)
    types = {
        name: pq.read_schema(tmp_path / "out" / name).types for name in ("part-000000.parquet", "part-000002.parquet")
    }
    assert len({tuple(map(str, one)) for one in types.values()}) == 1


@pytest.mark.slow
def test_a_network_gives_the_codes_of_one_machine_also_for_a_small_last_block(tmp_path):
    """Few images are encoded by torch, many by a compiled graph: a block must follow its collection."""
    from kinbits.backbones import load_backbone
    from kinbits.heads import build_head
    from kinbits.model import Tower

    backbone = load_backbone("convnet-small")
    head = build_head({"name": "linear", "features": backbone.feature_dim, "bits": 64})
    model = HashModel({"image": Tower(backbone, head)})
    pixels = np.random.default_rng(0).integers(0, 256, (300, 32, 32, 3), dtype=np.uint8)
    encode_to_file(model, pixels, tmp_path / "one.parquet")
    found, _ = encoded(model, pixels, tmp_path / "out", rows=256)
    same(found, read_codes(tmp_path / "one.parquet"))


def test_vectors_are_sent_to_the_worker(tmp_path):
    import kinbits

    vectors = np.random.default_rng(0).normal(size=(300, 16)).astype(np.float32)
    vectors[7] = np.inf
    model = kinbits.fit(vectors[8:], method="itq", bits=16, seed=0)
    np.savez(tmp_path / "v.npz", vectors=vectors, ids=np.arange(300) + 5)
    encode_to_file(model, tmp_path / "v.npz", tmp_path / "one.parquet")
    found, plan = encoded(model, tmp_path / "v.npz", tmp_path / "out", rows=256)
    same(found, read_codes(tmp_path / "one.parquet"))
    assert len(pickle.dumps(plan.block(1))) < 8_000  # 43 vectors, not all


def test_parquet_with_images_gives_the_codes_of_one_machine(pdq, tmp_path, monkeypatch):
    monkeypatch.setenv("KINBITS_CACHE", str(tmp_path / "cache"))
    table = pa.table({"image": [png(seed) for seed in range(6)], "price": [1.5 * seed for seed in range(6)]})
    (tmp_path / "shards").mkdir()
    for part in range(2):
        pq.write_table(table.slice(3 * part, 3), tmp_path / "shards" / f"{part}.parquet", row_group_size=2)
    encode_to_file(pdq, tmp_path / "shards", tmp_path / "one.parquet")
    one = read_codes(tmp_path / "one.parquet")
    opened, _ = encoded(pdq, tmp_path / "shards", tmp_path / "out")
    same(opened, one)
    read, plan = encoded(pdq, f"file://{tmp_path}/shards", tmp_path / "by-workers", rows=2)
    assert (plan.count, plan.items) == (4, 6)  # a block is whole row groups of one file
    assert read.ids.tolist() == one.ids.tolist()
    assert np.array_equal(read.codes, one.codes)
    assert {**read.columns} == {**one.columns}


def test_parquet_with_paths_is_read_by_workers(pdq, tmp_path):
    folder = photos(tmp_path / "photos", 3, flats=0)
    pq.write_table(pa.table({"path": ["0.png", "gone.png", "2.png"], "id": ["a", "b", "c"]}), folder / "list.parquet")
    found, _ = encoded(pdq, f"file://{folder}", tmp_path / "out")
    assert found.ids.tolist() == ["a", "c"]
    assert found.columns["path"] == ["0.png", "2.png"]
    assert [(one.id, one.reason) for one in found.skipped] == [("b", "no such file")]
    assert np.array_equal(found.codes, pdq.encode([folder / "0.png", folder / "2.png"]))


def test_images_of_a_uri_are_fetched_by_workers(pdq, tmp_path):
    folder = classes(tmp_path / "photos")
    found, plan = encoded(pdq, f"file://{folder}", tmp_path / "out", rows=3)
    one = join_codes([encoded_here(pdq, folder)], "one")
    assert found.ids.tolist() == one.ids.tolist()
    assert np.array_equal(found.codes, one.codes)
    assert found.columns["label"] == one.columns["label"]
    assert [one.id for one in found.skipped] == ["cat/bad.png"]
    assert plan.count == 4


def encoded_here(model, folder):
    from kinbits.encoding import encode_collection

    return encode_collection(model, folder)


def test_tar_shards_of_webdataset(pdq, tmp_path):
    shard(
        tmp_path / "a.tar",
        [
            ("0.png", png(0)),
            ("0.json", json.dumps({"likes": 3, "tags": ["x"], "mixed": 1}).encode()),
            ("0.txt", b"a dog"),
            ("sub/1.png", png(1)),
            ("sub/1.cls", b"7\n"),
            ("sub/1.json", json.dumps({"mixed": "two"}).encode()),
            ("2.txt", b"no image"),
        ],
    )
    shard(tmp_path / "b.tar", [("0.left.PNG", png(2)), ("0.right.png", png(3)), ("1.png", b"damaged")])
    shard(tmp_path / "c.tar", [])
    (tmp_path / "sizes.json").write_text("{}")
    assert is_sharded(tmp_path)
    found, plan = encoded(pdq, str(tmp_path), tmp_path / "out", rows=2)
    assert found.ids.tolist() == ["a/0", "a/sub/1", "b/0"]
    assert np.array_equal(found.codes, pdq.encode([picture(0), picture(1), picture(2)]))
    assert found.columns["label"] == [None, "7", None]
    assert found.columns["text"] == ["a dog", None, None]
    assert (found.columns["likes"], found.columns["tags"]) == ([3, None, None], ['["x"]', None, None])
    assert found.columns["mixed"] == ["1", "two", None]
    assert [(one.id, one.reason.split(",")[0]) for one in found.skipped] == [
        ("a/2", "no image in this sample"),
        ("b/0.right.png", "a further image of this sample"),
        ("b/1", "not an image"),
    ]
    assert (plan.count, plan.items) == (3, None)


def test_names_with_points_lose_no_image_in_silence(tmp_path, pdq):
    names = [f"v1.0/IMG.2021.{number}.jpg" for number in range(3)]
    shard(
        tmp_path / "a.tar",
        [*((name, png(number)) for number, name in enumerate(names)), ("y.png", png(3)), ("y.png", png(4))],
    )
    found, _ = encoded(pdq, str(tmp_path / "a.tar"), tmp_path / "out", rows=8)
    assert found.ids.tolist() == ["a/v1.0/IMG", "a/y"]
    assert [one.id for one in found.skipped] == ["a/v1.0/IMG.2021.1.jpg", "a/v1.0/IMG.2021.2.jpg", "a/y.png"]
    assert "up to its first point" in found.skipped[0].reason


def test_texts_of_a_tar_need_no_image(tmp_path):
    shard(tmp_path / "a.tar", [("0.txt", b"a dog"), ("1.txt", b"a cat"), ("1.png", png(1))])
    (found,) = make_plan(str(tmp_path / "a.tar"), "text", 8, {}).block(0).parts()
    assert (found.texts, found.ids.tolist()) == (("a dog", "a cat"), ["a/0", "a/1"])


def test_cpus_of_a_worker_are_limited_in_a_process_of_its_own():
    code = (
        "import os, threading; from kinbits.scale.worker import limit_cpus\n"
        "known = sorted(os.sched_getaffinity(0))\n"
        "limit_cpus(0, None); assert sorted(os.sched_getaffinity(0)) == known\n"
        "limit_cpus(0, len(known)); assert sorted(os.sched_getaffinity(0)) == known\n"
        "limit_cpus(1, 0.5); print(sorted(os.sched_getaffinity(0)) == [known[1 % len(known)]])"
    )
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("needs Linux")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_a_damaged_tar_is_named(pdq, tmp_path):
    shard(tmp_path / "a.tar", [("0.png", png(0)), ("1.png", png(1))])
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[: len(whole) // 3])
    with pytest.raises(DataError, match=r"a\.tar is no whole tar file"):
        encoded(pdq, str(tmp_path / "a.tar"), tmp_path / "out")


def test_a_folder_of_images_beside_a_tar_is_a_folder_of_images(tmp_path):
    photos(tmp_path / "photos", 1)
    shard(tmp_path / "photos" / "backup.tar", [])
    assert not is_sharded(tmp_path / "photos")
    assert not is_sharded(open_dataset(tmp_path / "photos"))
    assert not is_sharded(tmp_path / "gone.tar")


def test_a_plan_does_not_change_and_the_input_is_identified(tmp_path):
    folder = photos(tmp_path / "photos", 6, flats=0)
    for data in (folder, f"file://{folder}"):
        first, second = (make_plan(data, "image", 4, {}) for _ in range(2))
        assert first.identity == second.identity
        assert [first.block(n).name for n in range(2)] == [second.block(n).name for n in range(2)]
    before = [make_plan(data, "image", 4, {}).identity for data in (folder, f"file://{folder}")]
    picture(9).save(folder / "0.png")
    after = [make_plan(data, "image", 4, {}).identity for data in (folder, f"file://{folder}")]
    assert all(one != other for one, other in zip(before, after, strict=True))


def test_what_cannot_be_read_is_said_before_a_cluster_starts(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(DataError, match="holds 1 files, but no tar shards"):
        make_plan(f"file://{tmp_path}", "image", 4, {})
    with pytest.raises(DataError, match="there is no folder"):
        make_plan(f"file://{tmp_path}/gone", "image", 4, {})
    with pytest.raises(UsageError, match=r"what://x cannot be opened .* give e\.g\. s3://"):
        make_plan("what://x", "image", 4, {})
    pq.write_table(pa.table({"a": [1]}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="no column of images or vectors among a"):
        make_plan(f"file://{tmp_path}/t.parquet", "image", 4, {})
    with pytest.raises(UsageError, match="has no column 'b'"):
        make_plan(f"file://{tmp_path}/t.parquet", "image", 4, {"image_column": "b"})
    (tmp_path / "t.parquet").write_bytes(b"PAR1 damaged PAR1")
    with pytest.raises(DataError, match="is no Parquet file"):
        make_plan(f"file://{tmp_path}/t.parquet", "image", 4, {})


def test_values_of_a_tar_get_one_type_over_all_parts(pdq, tmp_path):
    values = [1, "two", 2**70, 2]
    samples = [(f"{row}.{kind}", data) for row, value in enumerate(values) for kind, data in sample_of(row, value)]
    shard(tmp_path / "a.TAR", samples)
    assert is_sharded(tmp_path / "a.TAR")
    found, _ = encoded(pdq, str(tmp_path / "a.TAR"), tmp_path / "out", rows=1)
    assert found.columns["mixed"] == ["1", "two", str(2**70), "2"]
    assert found.columns["big"] == [str(2**63)] * 4


def sample_of(row, value):
    return [("png", png(row)), ("json", json.dumps({"mixed": value, "big": 2**63}).encode())]


def test_files_of_several_kinds_are_refused_with_their_numbers(tmp_path):
    classes(tmp_path / "photos")
    shard(tmp_path / "photos" / "stray.tar", [])
    for data in (tmp_path / "photos", f"file://{tmp_path}/photos"):
        with pytest.raises(DataError, match="several kinds: 1 tar files, 0 Parquet files and 11 images; give a folder"):
            make_plan(data, "image", 4, {})
    (tmp_path / "photos" / "stray.tar").unlink()
    pq.write_table(pa.table({"image": [b"1"]}), tmp_path / "photos" / "stray.parquet")
    with pytest.raises(DataError, match="several kinds: 0 tar files, 1 Parquet files and 11 images"):
        make_plan(f"file://{tmp_path}/photos", "image", 4, {})


def test_two_tars_whose_samples_would_have_the_same_ids_are_refused(tmp_path):
    for name in ("x.tar", "x.tgz"):
        shard(tmp_path / name, [])
    with pytest.raises(DataError, match=r"the samples of x\.tar and x\.tgz would have the same ids"):
        make_plan(tmp_path, "image", 4, {})


def test_an_output_inside_the_input_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    shard(tmp_path / "in" / "a.tar", [])
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for data in (str(tmp_path / "in"), f"file://{tmp_path}/in", f"file://{tmp_path}/link/"):
        for output in (f"{tmp_path}/in", f"{tmp_path}/link/codes", f"file://{tmp_path}/in/a%20b"):
            with pytest.raises(UsageError, match=f"the output {output} is inside the input {data}; choose"):
                require_outside(data, output)
        require_outside(data, f"{tmp_path}/inside")
        require_outside(data, "s3://bucket/codes")
    (tmp_path / "photos").mkdir()  # which the process that starts the run opens
    with pytest.raises(UsageError, match="is inside the input"):
        require_outside(tmp_path / "photos", f"{tmp_path}/photos/codes")
    require_outside(np.zeros((3, 8)), f"{tmp_path}/photos/codes")
    with pytest.raises(UsageError, match="is inside the input s3://bucket"):
        require_outside("s3://bucket", "s3a://bucket/codes")
    require_outside("s3://bucket/photos", "s3://bucket/photos-codes")
    require_outside("s3://bucket/photos", "gs://bucket/photos/codes")
