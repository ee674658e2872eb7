"""The folder of a run: finished blocks stay, damaged ones are made again, and another job is refused."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kinbits.data import Skipped
from kinbits.encoding import CodesFile, read_codes
from kinbits.errors import ArtefactError, DataError, PlatformError, UsageError
from kinbits.scale.output import Output, shard_bytes

JOB = {"format": 1, "bits": 16, "fingerprint": "f", "data": "d", "modality": "image", "block_rows": 2, "blocks": 3}
TYPES = {"label": pa.string()}


def codes(number, label="a"):
    ids = np.array([f"{number}-{row}" for row in range(2)])
    skipped = (Skipped(f"{number}-bad", "no image"),)
    values = np.full((2, 2), number, np.uint8)
    return CodesFile(values, ids, bits=16, columns={"label": [label, None]}, fingerprint="f", skipped=skipped)


def written(target, blocks=3):
    out = Output(str(target), JOB)
    shards = out.start()
    for number in range(blocks):
        data, shards[number] = shard_bytes(codes(number), out.digest, number, TYPES)
        out.write_shard(number, data)
    return out, shards


@pytest.fixture(params=["path", "file URI", "fsspec URI"])
def target(request, tmp_path):
    """The same folder by different addresses."""
    return {"path": "", "file URI": "file://", "fsspec URI": "local://"}[request.param] + str(tmp_path / "out")


def test_a_folder_is_read_as_one_file_when_it_is_complete(target, tmp_path):
    out, shards = written(target)
    with pytest.raises(ArtefactError, match=r"is not complete: it has no _manifest\.json"):
        read_codes(tmp_path / "out")
    out.finish([shards[number] for number in range(3)], [one for n in range(3) for one in shards[n].skipped])
    found = read_codes(tmp_path / "out")
    assert found.ids.tolist() == [f"{number}-{row}" for number in range(3) for row in range(2)]
    assert found.codes[:, 0].tolist() == [0, 0, 1, 1, 2, 2]
    assert (found.bits, found.fingerprint, found.columns["label"]) == (16, "f", ["a", None] * 3)
    assert [one.id for one in found.skipped] == ["0-bad", "1-bad", "2-bad"]
    manifest = json.loads((tmp_path / "out" / "_manifest.json").read_text())
    assert (manifest["rows"], manifest["blocks"], manifest["skipped"]) == (6, [2, 2, 2], 3)
    others = pq.read_table(tmp_path / "out")  # passes over names with an underscore
    assert others["id"].to_pylist() == found.ids.tolist()


def test_a_folder_of_version_0_1_0_is_read(tmp_path):
    out, shards = written(str(tmp_path / "out"))
    out.finish([shards[number] for number in range(3)], [])
    for path in (tmp_path / "out").glob("_*.json"):
        path.rename(path.with_name(path.name[1:]))
    assert len(read_codes(tmp_path / "out")) == 6


def test_the_same_job_finds_its_finished_blocks(target):
    _, shards = written(target, 2)
    assert Output(target, JOB).start() == shards


def test_a_damaged_block_and_one_of_another_place_are_made_again(target, tmp_path):
    written(target)
    path = tmp_path / "out" / "part-000001.parquet"
    whole = bytearray(path.read_bytes())
    whole[8] ^= 255  # in the first page
    path.write_bytes(whole)
    assert set(Output(target, JOB).start()) == {0, 2}
    (tmp_path / "out" / "part-000000.parquet").write_bytes((tmp_path / "out" / "part-000002.parquet").read_bytes())
    assert set(Output(target, JOB).start()) == {2}


def test_another_job_is_refused_by_name(target):
    written(target)
    with pytest.raises(UsageError, match="codes of another job: data, block_rows differ"):
        Output(target, {**JOB, "data": "e", "block_rows": 4}).start()


def test_a_folder_with_something_else_is_refused(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(UsageError, match=r"is not empty, and holds something else \(photo\.jpg\)"):
        Output(str(tmp_path), JOB).start()
    with pytest.raises(UsageError, match="is a file"):
        Output(str(tmp_path / "photo.jpg"), JOB).start()


def test_a_damaged_note_of_the_job_is_named(tmp_path):
    (tmp_path / "_job.json").write_text("{")
    with pytest.raises(ArtefactError, match=r"job\.json is damaged"):
        Output(str(tmp_path), JOB).start()


def test_one_run_at_a_time_writes_to_a_local_folder(tmp_path):
    first, second = (Output(str(tmp_path / "out"), JOB).lock() for _ in range(2))
    with first, pytest.raises(PlatformError, match="is writing"), second:
        raise AssertionError


def test_a_block_written_twice_is_the_same_file(tmp_path):
    first, second = (shard_bytes(codes(1), "job", 1, TYPES)[0] for _ in range(2))
    assert first == second


def test_all_files_have_the_schema_of_the_collection(tmp_path):
    data, _ = shard_bytes(codes(0, label=None), "job", 0, TYPES)
    assert pq.read_schema(pa.BufferReader(data)).field("label").type == pa.string()


def test_a_missing_block_of_a_complete_folder_is_named(tmp_path):
    out, shards = written(tmp_path / "out")
    out.finish(list(shards.values()), [])
    (tmp_path / "out" / "part-000001.parquet").unlink()
    with pytest.raises(ArtefactError, match=r"lacks part-000001\.parquet"):
        read_codes(tmp_path / "out")


def test_a_block_of_another_encoding_or_place_is_named(tmp_path):
    out, shards = written(tmp_path / "out")
    out.finish(list(shards.values()), [])
    first, second = (tmp_path / "out" / f"part-00000{number}.parquet" for number in range(2))
    whole = first.read_bytes()
    first.write_bytes(second.read_bytes())
    with pytest.raises(ArtefactError, match=r"part-000000\.parquet holds block 1 of 2 rows, .* block 0 of 2 rows"):
        read_codes(tmp_path / "out")
    first.write_bytes(shard_bytes(codes(0), "another", 0, TYPES)[0])
    with pytest.raises(ArtefactError, match=r"part-000000\.parquet is of another encoding than _manifest\.json"):
        read_codes(tmp_path / "out")
    first.write_bytes(whole[:-4])
    with pytest.raises(ArtefactError, match=r"part-000000\.parquet is damaged"):
        read_codes(tmp_path / "out")


def test_an_id_in_two_blocks_is_named(target):
    out, shards = written(target)
    out.require_unique(str)
    data, shards[2] = shard_bytes(codes(0), out.digest, 2, TYPES)
    out.write_shard(2, data)
    with pytest.raises(
        DataError, match=r"the id 0-0 is in two blocks: block 0 \(part-000000.* and block 2 \(part-000002"
    ):
        out.require_unique(lambda number: f"block {number}")
