import gzip
import pickle
import subprocess
import sys

import numpy as np
import pytest
from tiny import image_folder, picture
from trees import IN_SHARED

from kinbits.data import (
    Dataset,
    LabelSpace,
    Protocol,
    SplitRows,
    VectorItems,
    find_protocol,
    list_protocols,
    load_protocol,
    open_dataset,
    register_protocol,
    split_folder,
)
from kinbits.data.protocols import fashion_mnist
from kinbits.data.protocols.registry import REGISTRY
from kinbits.errors import DataError, UsageError

NAMED = sorted(IN_SHARED)


def collection(counts, order=None):
    """A labelled collection of vectors with the given number of items a class."""
    labels = np.repeat(np.arange(len(counts)), counts)
    ids = np.array([f"item{row:04d}" for row in range(len(labels))])
    order = np.arange(len(labels)) if order is None else order
    space = LabelSpace(tuple(f"c{label}" for label in range(len(counts))))
    return Dataset(VectorItems(np.zeros((len(labels), 2))), ids[order], labels[order], space, name="toy")


def names(splits):
    return [sorted(part.ids.tolist()) for part in (splits.train, splits.query, splits.database)]


def test_every_protocol_is_described():
    assert {"fashion-mnist", "cifar10-1k-5k-54k", "cifar10-1k-5k-59k", "cifar10-10k-50k"} <= set(list_protocols())
    assert {"cifar100-hierarchy", "folder", "fashion-products"} <= set(list_protocols())
    assert list(list_protocols()) == sorted(list_protocols())
    assert all(list_protocols().values())


def test_unknown_protocol_names_the_nearest():
    with pytest.raises(UsageError, match=r"did you mean .*cifar10-1k-5k-54k"):
        load_protocol("cifar10-1k-54k")


@pytest.mark.parametrize("name", NAMED)
def test_published_splits_match_their_definitions(request, name):
    if name == "fashion-mnist" and not fashion_mnist.PACKAGE_FOLDER.is_dir():
        pytest.skip("the package dataset-fashion-mnist is not installed")
    folder = None if name == "fashion-mnist" else request.getfixturevalue("real_data")
    splits = load_protocol(name, data_dir=folder)
    own, (train, query, database) = splits.protocol, map(set, names(splits))
    assert (len(train), len(query), len(database)) == (own.train, own.query, own.database)
    assert not query & (train | database)
    assert bool(train & database) == own.overlap
    assert own.checksum == REGISTRY[name][0].checksum
    assert splits.query.image(0).mode == "RGB"
    assert own.checksum in splits.describe()


@pytest.mark.parametrize("name", ["cifar10-1k-5k-54k", "cifar10-1k-5k-59k"])
def test_cifar_parts_are_balanced_and_shuffled(real_data, name):
    splits = load_protocol(name, data_dir=real_data)
    assert np.bincount(splits.query.labels).tolist() == [100] * 10
    assert np.bincount(splits.train.labels).tolist() == [500] * 10
    # A database in class order would hand tied distances out by class.
    assert (np.diff(splits.database.labels) != 0).mean() > 0.8


def test_cifar_protocols_with_and_without_train_share_queries(real_data):
    small, large = (load_protocol(f"cifar10-1k-5k-{n}k", data_dir=real_data) for n in (54, 59))
    assert names(small)[:2] == names(large)[:2]
    assert set(names(large)[2]) == set(names(small)[2]) | set(names(small)[0])


def test_another_seed_draws_another_split_of_the_same_sizes(real_data):
    first, second = (load_protocol("cifar10-1k-5k-54k", data_dir=real_data, seed=s) for s in (0, 1))
    assert first.protocol.checksum != second.protocol.checksum
    assert len(second.database) == 54_000
    assert second.protocol.seed == 1


@pytest.mark.slow
def test_the_original_cifar_files_give_the_published_split(real_data, tmp_path):
    # Their names and classes, with black images: a checksum is over names.
    copy = load_protocol("cifar10-10k-50k", data_dir=real_data)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    parts = [*np.array_split(np.arange(50_000), 5), np.arange(10_000)]
    for number, rows in enumerate(parts, 1):
        part = copy.query if number == 6 else copy.train
        names = [f"{part.ids[row].split('/')[2]}.png" for row in rows]
        batch = {
            "data": np.zeros((len(rows), 3072), np.uint8),
            "labels": part.labels[rows].tolist(),
            "filenames": names,
        }
        (folder / ("test_batch" if number == 6 else f"data_batch_{number}")).write_bytes(
            pickle.dumps(batch, protocol=2)
        )
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list(copy.label_space.names)}))
    for name in ("cifar10-10k-50k", "cifar10-1k-5k-54k"):
        assert load_protocol(name, data_dir=tmp_path).protocol.checksum == find_protocol(name).checksum


def test_hierarchy_and_texts_come_with_their_protocols(real_data):
    cifar = load_protocol("cifar100-hierarchy", data_dir=real_data).label_space
    assert sorted(np.unique(cifar.class_similarity())) == [0, 0.5, 1]
    assert (cifar.class_similarity()[0] == 0.5).sum() == 4
    shop = load_protocol("fashion-products", data_dir=real_data)
    assert shop.label_space.multi
    assert all(shop.query.texts)


def test_missing_data_names_the_places_and_the_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("KINBITS_DATA", str(tmp_path / "here"))
    with pytest.raises(DataError, match=r"cifar10\.parquet .*here.*KINBITS_DATA"):
        load_protocol("cifar10-1k-5k-54k", data_dir=tmp_path)


def test_data_that_differ_from_the_definition_are_refused(tmp_path):
    image_folder(tmp_path / "cifar10", {f"{s}/{c}": 2 for s in ("train", "test") for c in "ab"})
    with pytest.raises(DataError, match="train has 4 rows, not 50000"):
        load_protocol("cifar10-10k-50k", data_dir=tmp_path)
    with pytest.raises(DataError, match="the protocol needs 600"):
        load_protocol("cifar10-1k-5k-54k", data_dir=tmp_path)


@pytest.fixture
def registered(monkeypatch):
    """Register protocols that are gone after the test."""
    monkeypatch.setattr("kinbits.data.protocols.registry.REGISTRY", dict(REGISTRY))

    def add(parts, **changes):
        definition = {"train": 2, "query": 1, "database": 3, **changes}
        register_protocol(Protocol("toy", 1, "toy", **definition))(lambda _, seed: (collection([4, 4]), parts))

    return add


def test_checksum_decides_not_only_the_sizes(registered):
    parts = SplitRows(np.array([0, 1]), np.array([2]), np.array([3, 4, 5]))
    registered(parts, checksum="0" * 64)
    with pytest.raises(DataError, match=r"checksum .* not .*get the original files"):
        load_protocol("toy")


@pytest.mark.parametrize(
    ("train", "query", "database", "overlap", "fine"),
    [
        ([0, 1], [2], [3, 4, 5], False, True),
        ([0, 1], [2], [1, 4, 5], False, False),
        ([0, 1], [2], [1, 4, 5], True, True),
        ([0, 1], [2], [2, 4, 5], True, False),
        ([0, 1], [1], [3, 4, 5], True, False),
    ],
)
def test_parts_overlap_only_where_the_protocol_says_so(registered, train, query, database, overlap, fine):
    registered(SplitRows(*map(np.array, (train, query, database))), overlap=overlap)
    if fine:
        assert len(load_protocol("toy").database) == 3
    else:
        with pytest.raises(DataError, match="in two parts"):
            load_protocol("toy")


def test_a_name_is_registered_once(registered):
    parts = SplitRows(np.array([0, 1]), np.array([2]), np.array([3, 4, 5]))
    registered(parts)
    with pytest.raises(UsageError, match="registered already"):
        registered(parts)


def test_folder_split_has_shares_of_every_class_and_no_overlap():
    splits = split_folder(collection([100, 40, 10]))
    train, query, database = names(splits)
    assert len({*train, *query, *database}) == len(train) + len(query) + len(database) == 150
    assert np.bincount(splits.query.labels).tolist() == [10, 4, 1]
    assert np.bincount(splits.train.labels).tolist() == [50, 20, 5]


def test_folder_split_does_not_depend_on_the_order_of_the_source():
    order = np.random.default_rng(5).permutation(150)
    first, second = split_folder(collection([100, 40, 10])), split_folder(collection([100, 40, 10], order))
    assert names(first) == names(second)
    assert first.protocol.checksum == second.protocol.checksum
    assert first.query.ids.tolist() == second.query.ids.tolist()
    assert split_folder(collection([100, 40, 10]), seed=1).protocol.checksum != first.protocol.checksum


def test_train_inside_the_database_on_request():
    splits = split_folder(collection([20, 20]), train_in_database=True)
    train, query, database = map(set, names(splits))
    assert train < database
    assert not query & database
    assert splits.protocol.overlap
    assert "train rows are also in the database" in splits.describe()


def test_whole_numbers_are_images_a_class():
    splits = split_folder(collection([30, 50]), query=3, train=5)
    assert np.bincount(splits.query.labels).tolist() == [3, 3]
    assert np.bincount(splits.train.labels).tolist() == [5, 5]


def test_class_with_one_image_goes_to_the_database():
    splits = split_folder(collection([20, 1, 2]))
    assert (splits.database.labels == 1).sum() == 1
    assert (splits.query.labels == 2).sum() == 1
    assert (splits.database.labels == 2).sum() == 1


def test_unlabelled_images_are_left_out_and_listed():
    data = collection([20, 20])
    data.labels[3] = -1
    splits = split_folder(data)
    assert [(s.id, s.reason) for s in splits.skipped] == [("item0003", "no label")]
    assert "left out: 1" in splits.describe()
    assert not any("item0003" in part for part in names(splits))


def test_multi_label_rows_are_split_by_their_rarest_label():
    hot = np.zeros((40, 3), np.uint8)
    hot[:, 0] = 1
    hot[:10, 1] = 1
    hot[39] = 0
    data = Dataset(VectorItems(np.zeros((40, 2))), np.arange(40), hot, LabelSpace(("a", "b", "c"), multi=True))
    splits = split_folder(data, query=0.2)
    assert splits.query.labels[:, 1].sum() == 2
    assert splits.protocol.relevance == "at least one shared label"
    assert [s.id for s in splits.skipped] == ["39"]


def told(texts):
    return open_dataset(np.arange(2.0 * len(texts)).reshape(-1, 2), texts=texts)


def test_texts_without_labels_are_split_into_pairs():
    data = told(["", *(f"number {row}" for row in range(1, 41))])
    splits = split_folder(data, query=0.2)
    assert [len(part) for part in (splits.train, splits.query, splits.database)] == [20, 8, 20]
    assert [(s.id, s.reason) for s in splits.skipped] == [("0", "no text")]
    assert not np.isin(splits.train.ids, splits.database.ids).any()
    positives, _ = splits.ground_truth.split()
    assert [splits.database.texts[row] for (row,) in positives] == list(splits.query.texts)
    assert splits.protocol.metrics == ("recall@1", "recall@5", "recall@10", "mrr")
    assert "the queries are also in the database" in splits.describe()
    assert split_folder(data, query=0.2).protocol.checksum == splits.protocol.checksum
    assert split_folder(data, query=0.2, seed=1).protocol.checksum != splits.protocol.checksum


def test_held_out_pairs_can_all_be_queries_or_stand_among_the_learned():
    data = told([f"number {row}" for row in range(40)])
    splits = split_folder(data, query=0.5, train=0.5)
    assert set(splits.query.ids) == set(splits.database.ids)
    whole = split_folder(data, query=4, train=8, train_in_database=True)
    assert (len(whole.query), len(whole.train), len(whole.database)) == (4, 8, 40)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (told(["a", "b", "", ""]), "2 of 4 images with a text"),
        (collection([30]), "1 class"),
        (collection([1, 1, 1]), "no image is left for the train part"),
        (collection([2, 2]), "no image is left for the train part"),
        (open_dataset(np.zeros((4, 2))), "no labels, so no split"),
    ],
)
def test_what_cannot_be_split_says_why(data, reason):
    with pytest.raises(DataError, match=reason):
        split_folder(data)


@pytest.mark.parametrize("shares", [{"query": 0}, {"query": 1.5}, {"train": -1}, {"train": True}, {"seed": -1}])
def test_shares_out_of_range(shares):
    with pytest.raises(UsageError, match="give a"):
        split_folder(collection([20, 20]), **shares)


def test_folder_protocol_by_name(tmp_path):
    image_folder(tmp_path, {"cat": 8, "dog": 8})
    by_name, by_folder = load_protocol(f"folder:{tmp_path}"), load_protocol("folder", data_dir=tmp_path)
    assert names(by_name) == names(by_folder)
    assert by_name.label_space.names == ("cat", "dog")
    with pytest.raises(UsageError, match="needs a source"):
        load_protocol("folder")


def idx(array):
    header = b"\0\0\x08" + bytes([array.ndim]) + np.array(array.shape, ">i4").tobytes()
    return gzip.compress(header + array.tobytes())


def test_idx_files_of_another_place_are_found_and_damage_is_named(tmp_path, monkeypatch):
    folder = tmp_path / "fashion-mnist"
    folder.mkdir()
    for stem, count in (("train", 3), ("t10k", 2)):
        images = np.full((count, 28, 28), count, np.uint8)
        (folder / f"{stem}-images-idx3-ubyte.gz").write_bytes(idx(images))
        (folder / f"{stem}-labels-idx1-ubyte.gz").write_bytes(idx(np.arange(count, dtype=np.uint8)))
    data = fashion_mnist.open_fashion_mnist([tmp_path])
    assert data.ids.tolist() == ["train/00000", "train/00001", "train/00002", "test/00000", "test/00001"]
    assert data.labels.tolist() == [0, 1, 2, 0, 1]
    assert data.image(4).getpixel((5, 5)) == (2, 2, 2)
    target = folder / "t10k-images-idx3-ubyte.gz"
    for damage in (
        target.read_bytes()[:-9],
        b"none",
        gzip.compress(b"\0\0\x0d\x01"),
        idx(images)[:30],
        idx(images[:1])[:0],
    ):
        target.write_bytes(damage)
        with pytest.raises(DataError, match=r"t10k-images.*install it again"):
            fashion_mnist.open_fashion_mnist([tmp_path])


def test_fashion_mnist_without_files_and_network_names_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "PACKAGE_FOLDER", tmp_path / "none")
    monkeypatch.setenv("KINBITS_DATA", "")
    monkeypatch.setattr(fashion_mnist, "_hub_may_answer", lambda: False)
    with pytest.raises(DataError, match="apt-get install dataset-fashion-mnist"):
        load_protocol("fashion-mnist", data_dir=tmp_path)


def test_fashion_mnist_by_its_datasets_name(monkeypatch, tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(num_classes=10)})
    rows = {"image": [picture(seed).resize((28, 28)) for seed in range(2)], "label": [3, 9]}
    part = datasets.Dataset.from_dict(rows, features=features)
    asked = []
    monkeypatch.setattr(fashion_mnist, "PACKAGE_FOLDER", tmp_path)
    monkeypatch.setattr(fashion_mnist, "_hub_may_answer", lambda: True)
    monkeypatch.setattr(datasets, "load_dataset", lambda name: asked.append(name) or {"train": part, "test": part})
    data = fashion_mnist.open_fashion_mnist([])
    assert asked == ["zalando-datasets/fashion_mnist"]
    assert data.labels.tolist() == [3, 9, 3, 9]
    assert data.image(0).size == (28, 28)


def test_importing_the_part_loads_neither_torch_nor_datasets():
    code = "import sys, kinbits.data; print([m for m in ('torch', 'datasets', 'pandas') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
