"""Encoding on two real nodes: rows in are rows out, whatever is killed."""

import io
import json
import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hash_pictures import picture
from ray_helpers import ray_cluster, wait_until

from kinbits import HashModel, open_dataset
from kinbits.encoding import read_codes
from kinbits.errors import DataError, UsageError
from kinbits.scale import encode
from kinbits.scale.worker import Worker

DISTINCT, IMAGES, BLOCK = 10, 1500, 10
SIZE = 480, 360  # pixels, so that a block takes long enough to be killed in its middle
RUNS = 10 if os.environ.get("KINBITS_EXHAUSTIVE") else 1  # how many times everything is killed


@pytest.fixture(scope="module")
def cluster():
    with ray_cluster() as made:
        yield made


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of images in two classes, two of them unreadable; few are distinct, and have several names."""
    folder = tmp_path_factory.mktemp("work") / "photos"
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
    for row in range(DISTINCT):
        picture(row, SIZE).save(folder / "cat" / f"{row:04}.jpg")
    for row in range(DISTINCT, IMAGES):
        os.link(folder / "cat" / f"{row % DISTINCT:04}.jpg", folder / ("cat", "dog")[row % 2] / f"{row:04}.jpg")
    for name in ("cat/bad.jpg", "dog/bad.jpg"):
        (folder / name).write_bytes(b"no image")
    return folder


def start(photos, cluster, output, **env):
    command = [sys.executable, "-m", "kinbits", "encode", "pdq", photos, "-o", output]
    command += ["--cluster", cluster.address, "--block-rows", BLOCK, "--json"]
    environment = {**cluster.env, **env}
    pipe = subprocess.PIPE
    return subprocess.Popen([str(part) for part in command], env=environment, stdout=pipe, stderr=pipe, text=True)


def ended(process):
    out, err = process.communicate(timeout=280)
    return process.returncode, out, err


def parts(folder):
    return len(list(folder.glob("part-*.parquet")))


def finished(process, folder, least):
    """Wait until some blocks are there, while the run goes on."""
    wait_until(lambda: parts(folder) >= least or process.poll() is not None, f"{least} blocks", 280)
    assert process.poll() is None, process.communicate()


@pytest.mark.slow
@pytest.mark.timeout(900 * RUNS)
@pytest.mark.parametrize("number", range(RUNS))
def test_kills_of_a_worker_a_node_and_the_driver_lose_and_double_nothing(cluster, photos, tmp_path, number):
    output, blocks = tmp_path / "out", -(-(IMAGES + 2) // BLOCK)
    cluster.revive()
    process = start(photos, cluster, output)
    finished(process, output, 5)
    kill_worker(cluster.head, process)
    finished(process, output, blocks // 5)
    process.kill()  # the driver
    process.communicate()
    before = parts(output)
    assert blocks // 5 <= before < blocks // 2
    again = start(photos, cluster, output)
    finished(again, output, before + 5)
    kill_worker(cluster.head, again)
    finished(again, output, before + 15)
    wait_until(lambda: cluster.second.pids("ray::Worker"), "a worker on the second node", 280)
    assert again.poll() is None
    cluster.second.kill()
    code, out, err = ended(again)
    assert code == 0, err
    told = json.loads(out)
    assert told["resumed"] >= before
    assert told["retried"] >= 2  # blocks of the worker, and those of the node
    assert (told["rows"], told["blocks"]) == (IMAGES, blocks)
    must_be_complete(output, photos)


def kill_worker(node, process):
    worker = wait_until(lambda: node.pids("ray::Worker"), "a worker", 280)[0]
    assert process.poll() is None
    os.kill(worker, signal.SIGKILL)


def must_be_complete(output, photos):
    """Compare with the input: every image is there once, in order, with its code and its label."""
    names = sorted(str(path.relative_to(photos)) for path in photos.rglob("*.jpg"))
    wanted = [name for name in names if "bad" not in name]
    distinct = HashModel.from_pretrained("pdq").encode([photos / "cat" / f"{row:04}.jpg" for row in range(DISTINCT)])
    found, codes = read_codes(output), distinct[[int(name[-8:-4]) % DISTINCT for name in wanted]]
    assert found.ids.tolist() == wanted
    assert len(wanted) == IMAGES
    assert np.array_equal(found.codes, codes)
    assert list(found.columns["label"]) == [name[:3] for name in wanted]
    assert [one.id for one in found.skipped] == ["cat/bad.jpg", "dog/bad.jpg"]
    assert sorted(path.name for path in output.iterdir() if path.suffix != ".parquet") == [
        "_job.json",
        "_manifest.json",
        "_skipped.json",
    ]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_wrong_token_is_refused_in_one_line(cluster, photos, tmp_path):
    code, _, err = ended(
        start(photos, cluster, tmp_path / "out", RAY_AUTH_TOKEN="0" * 64, RAY_NUM_REDIS_GET_RETRIES="3")
    )
    assert code == 5
    assert "refuses the token of this process" in err
    assert "RAY_AUTH_TOKEN" in err
    assert "Traceback" not in err


def test_what_is_wrong_is_refused_before_a_cluster_is_needed(tmp_path):
    model = HashModel.from_pretrained("pdq")
    data = np.zeros((3, 8, 8), np.uint8)
    with pytest.raises(UsageError, match="cpus_per_worker is 0; give more than 0"):
        encode(model, data, tmp_path / "out", cpus_per_worker=0)
    with pytest.raises(UsageError, match="block_rows is 0"):
        encode(model, data, tmp_path / "out", block_rows=0)
    with pytest.raises(UsageError, match="has no text tower"):
        encode(model, data, tmp_path / "out", modality="text")
    with pytest.raises(UsageError, match="id_column: the columns of a Dataset are known"):
        encode(model, open_dataset(data), tmp_path / "out", id_column="ids")
    with pytest.raises(DataError, match="no such file or folder"):
        encode(model, tmp_path / "gone.npz", tmp_path / "out")
    assert not (tmp_path / "out").exists()


class OneWorker:
    """A pool of one worker in this process."""

    retried = 0

    def __init__(self, _ray, setup, _room, _count):
        self.worker = Worker()
        self.worker.start(setup, 0, None)

    def run(self, numbers, block, done):
        for number in numbers:
            done(number, *self.worker.encode(number, block(number)))

    def close(self):
        pass


@pytest.fixture
def no_cluster(monkeypatch):
    module = sys.modules[encode.__module__]
    nodes = [{"Alive": True, "Resources": {"CPU": 1}}]
    monkeypatch.setattr(module, "connected", lambda _: nullcontext(SimpleNamespace(nodes=lambda: nodes)))
    monkeypatch.setattr(module, "Pool", OneWorker)


def test_an_id_in_two_blocks_ends_the_run_without_a_manifest(no_cluster, tmp_path):
    data = f"file://{tmp_path}/in"
    (tmp_path / "in").mkdir()
    for number in range(2):
        file = io.BytesIO()
        picture(number).save(file, "PNG")
        pq.write_table(pa.table({"image": [file.getvalue()], "id": [0]}), tmp_path / "in" / f"{number}.parquet")
    model = HashModel.from_pretrained("pdq")
    for _ in range(2):  # also where all blocks are there already
        with pytest.raises(DataError, match=r"the id 0 is in two blocks: .*0\.parquet .*1\.parquet .*; give each item"):
            encode(model, data, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"part-000001.parquet", "_job.json"}
    assert not (tmp_path / "out" / "_manifest.json").exists()
    (tmp_path / "in" / "1.parquet").unlink()
    assert encode(model, data, tmp_path / "again").rows == 1
    with pytest.raises(UsageError, match="codes of another job: device differ"):
        encode(model, data, tmp_path / "again", gpus_per_worker=1)
    with pytest.raises(UsageError, match="is inside the input"):
        encode(model, data, tmp_path / "in" / "codes")
    assert not (tmp_path / "in" / "codes").exists()
