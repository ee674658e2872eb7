"""Vectors that stay on disk while a model learns: the same numbers as in memory, with bounded memory."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import kinbits
from kinbits import DataError
from kinbits.methods import get_method
from kinbits.training import FeatureSet

ROWS, WIDTH = 90, 12
LABELS = np.arange(ROWS) % 3
WHOLE = (np.random.default_rng(5).normal(size=(3, WIDTH))[LABELS]).astype(np.float32)
WHOLE += np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype(np.float32)


@pytest.fixture
def stays_on_disk(monkeypatch):
    monkeypatch.setattr("kinbits.training.training_set.IN_MEMORY", 0)


def shards(folder, kind):
    folder.mkdir()
    for number, rows in enumerate(np.array_split(np.arange(ROWS), 4)):
        if kind == "npy":
            np.save(folder / f"{number}.npy", WHOLE[rows])
        else:
            table = pa.table({"vector": WHOLE[rows].tolist(), "label": LABELS[rows].tolist()})
            table = table.set_column(0, "vector", table["vector"].cast(pa.list_(pa.float32(), WIDTH)))
            pq.write_table(table, folder / f"{number}.parquet", row_group_size=10)
    return folder


def opened(folder, kind):
    return kinbits.open_dataset(folder, labels=LABELS if kind == "npy" else None)


@pytest.mark.parametrize("kind", ["npy", "parquet"])
@pytest.mark.parametrize(
    "options",
    [
        {"method": "orthohash", "epochs": 2, "validation": 0.2},
        {"method": "bihalf", "epochs": 2, "normalise": True, "dims": 10},
        {"method": "itq"},
        {"method": "pq", "params": {"words": 16}},
        {"method": "csq", "epochs": 1, "labels_fraction": 0.5},
    ],
    ids=lambda options: options["method"],
)
@pytest.mark.usefixtures("stays_on_disk")
def test_shards_give_the_model_of_an_array(tmp_path, kind, options):
    options = {"bits": 8, "batch_size": 30, "progress": False, "accelerator": "cpu", **options}
    from_shards = kinbits.fit(opened(shards(tmp_path / "v", kind), kind), **options)
    from_memory = kinbits.fit(kinbits.open_dataset(WHOLE, labels=LABELS), **options)
    assert from_shards.fingerprint == from_memory.fingerprint
    assert from_shards.training["history"] == from_memory.training["history"]


@pytest.mark.usefixtures("stays_on_disk")
def test_cached_features_of_images_are_read_batch_by_batch(tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 255, (30, 20, 20, 3), dtype=np.uint8)
    data, seen = kinbits.open_dataset(images, labels=np.arange(30) % 3), []
    batch = FeatureSet.batch

    def watched(self, rows, seed):
        seen.append((type(self._features).__name__, len(self)))
        return batch(self, rows, seed)

    monkeypatch.setattr(FeatureSet, "batch", watched)
    options = {"backbone": "convnet-small", "finetune": False, "epochs": 2, "bits": 8, "batch_size": 10}
    cache = kinbits.data.FeatureCache(tmp_path)
    models = [kinbits.fit(data, **options, validation=0.2, progress=False, cache=one) for one in (cache, None)]
    assert set(seen) == {("MappedRows", 24), ("ndarray", 24)}
    assert models[0].fingerprint == models[1].fingerprint


def test_a_method_that_reads_all_rows_at_once_is_refused_beyond_the_memory(monkeypatch):
    monkeypatch.setattr("kinbits.training.training_set.memory_bytes", lambda: 4 * ROWS * WIDTH - 1)
    with pytest.raises(DataError, match=r"features of all 90 rows at once, .* choose a method that learns by batches"):
        kinbits.fit(kinbits.open_dataset(WHOLE, labels=LABELS), method="shc", bits=8, progress=False)


def test_itq_draws_rows_for_its_rotation_where_there_are_too_many(monkeypatch):
    options = {"method": "itq", "bits": 8, "progress": False}
    whole = kinbits.fit(WHOLE, **options)
    monkeypatch.setattr(f"{get_method('itq').__module__}.MOST_COMPONENTS", 8 * 40)
    with pytest.warns(UserWarning, match="itq learns its rotation from 40 of 90 rows"):
        drawn = [kinbits.fit(WHOLE, **options, seed=seed) for seed in (0, 0, 1)]
    assert drawn[0].fingerprint == drawn[1].fingerprint != drawn[2].fingerprint
    assert drawn[0].fingerprint != whole.fingerprint
    near = [kinbits.hamming.distances(m.encode(WHOLE), m.encode(WHOLE[:1])) for m in (whole, drawn[0])]
    assert np.corrcoef(near[0].ravel(), near[1].ravel())[0, 1] > 0.5


LIMITED = """
import resource, sys
import numpy as np
import kinbits
from kinbits.training import training_set

def fit(data):
    return kinbits.fit(data, method="orthohash", bits=16, epochs=1, batch_size=4000, progress=False, accelerator="cpu")

small = np.random.default_rng(0).normal(size=(200, 512)).astype(np.float32)
fit(kinbits.open_dataset(small, labels=np.arange(200) % 2))  # what is loaded once is no matter of the data
used = next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (used + int(sys.argv[2]),) * 2)
training_set.IN_MEMORY = 1 << 20
data = kinbits.open_dataset(sys.argv[1], labels=np.arange(200_000) % 2)
print(fit(data).training["rows"])
training_set.IN_MEMORY = 2 << 30
try:
    fit(data)
except MemoryError:
    print("too large for the memory")
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux limits the memory of a process so")
def test_memory_stays_below_half_of_the_data(tmp_path):
    rng, folder = np.random.default_rng(0), tmp_path / "v"
    folder.mkdir()
    block = rng.random((25_000, 512), np.float32)
    for number in range(8):
        np.save(folder / f"{number}.npy", np.roll(block, number, axis=1))
    size = 8 * block.nbytes
    ran = subprocess.run(
        [sys.executable, "-c", LIMITED, folder, str(size // 2)], capture_output=True, text=True, timeout=100
    )
    assert ran.stdout.split("\n") == ["200000", "too large for the memory", ""], ran.stderr[-2000:]
