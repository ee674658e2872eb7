import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny import encoded, image_folder, picture

from kinbits.data import open_dataset
from kinbits.errors import DataError, PlatformError, UsageError


def parquet(path, columns, **metadata):
    table = pa.table(columns)
    encoded_metadata = {key: json.dumps(value) for key, value in metadata.items()}
    pq.write_table(table.replace_schema_metadata(encoded_metadata), path)
    return path


def blobs(count):
    return [encoded(picture(seed)) for seed in range(count)]


def test_csv_with_guessed_columns(tmp_path):
    image_folder(tmp_path, {"c": 3})
    (tmp_path / "t.csv").write_text('File_Name,label,caption,shop\nc/0.png,b,hi,1\nc/1.png,a,"x,\ny",2\nc/9.png,,,3\n')
    data = open_dataset(tmp_path / "t.csv")
    assert data.ids.tolist() == ["c/0.png", "c/1.png"]
    assert data.label_space.names == ("a", "b")
    assert data.labels.tolist() == [1, 0]
    assert data.texts == ("hi", "x,\ny")
    assert list(data.columns["shop"]) == [1, 2]
    assert [skipped.id for skipped in data.skipped] == ["c/9.png"]


def test_tsv_with_named_columns_and_root(tmp_path):
    image_folder(tmp_path / "images", {"c": 2})
    (tmp_path / "t.tsv").write_text("pic\tkind\tkey\nc/0.png\tu;v\tk1\nc/1.png\t\tk2\n")
    data = open_dataset(
        tmp_path / "t.tsv",
        image_column="pic",
        label_column="kind",
        id_column="key",
        label_separator=";",
        root=tmp_path / "images",
    )
    assert data.labels.tolist() == [[1, 1], [0, 0]]
    assert data.label_space.multi
    assert data.ids.tolist() == ["k1", "k2"]


def test_columns_of_zero_and_one_make_a_multi_label_set(tmp_path):
    image_folder(tmp_path, {"c": 2})
    (tmp_path / "t.csv").write_text("path,sea,sky\nc/0.png,1,1\nc/1.png,0,1\n")
    data = open_dataset(tmp_path / "t.csv", label_column=["sea", "sky"])
    assert data.label_space.names == ("sea", "sky")
    assert data.labels.tolist() == [[1, 1], [0, 1]]


def test_an_image_that_is_listed_twice_gets_two_ids(tmp_path):
    image_folder(tmp_path, {"c": 1})
    (tmp_path / "t.csv").write_text("path,caption\nc/0.png,one\nc/0.png,two\n")
    assert open_dataset(tmp_path / "t.csv").ids.tolist() == ["c/0.png", "c/0.png#2"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a,b\n1,2\n", "no image column among a, b; looked for image.*image_column"),
        ("path,label\nx.png,1\n", "root="),
        ("path,label\n", "no rows"),
        ("path,label\nx.png\n", "not a readable table"),
        ("", "not a readable table"),
    ],
)
def test_broken_tables_say_why(tmp_path, text, reason):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=reason):
        open_dataset(tmp_path / "t.csv")


def test_a_column_that_does_not_exist_is_named_with_the_others(tmp_path):
    (tmp_path / "t.csv").write_text("path,label\nx.png,1\n")
    with pytest.raises(UsageError, match="no column 'klass'; the columns are: path, label"):
        open_dataset(tmp_path / "t.csv", label_column="klass")


def test_parquet_with_image_bytes_and_a_hierarchy(tmp_path):
    path = parquet(
        tmp_path / "t.parquet",
        {"image": blobs(3), "label": [0, 2, 1], "name": ["x", "y", "z"], "split": ["a", "b", "b"]},
        label_names=["cat", "dog", "car"],
        coarse_label_names=["animal", "vehicle"],
        coarse_of_label=[0, 0, 1],
    )
    data = open_dataset(path)
    assert data.ids.tolist() == ["x", "y", "z"]
    assert data.label_space.names == ("cat", "dog", "car")
    assert data.label_space.class_similarity()[0].tolist() == [1, 0.5, 0]
    assert (np.asarray(data.image(2)) == np.asarray(picture(2))).all()
    part = open_dataset(path, split="b")
    assert part.ids.tolist() == ["y", "z"]
    assert (np.asarray(part.image(0)) == np.asarray(picture(1))).all()
    with pytest.raises(DataError, match="a, b"):
        open_dataset(path, split="test")


def test_a_hierarchy_can_be_read_off_the_rows(tmp_path):
    columns = {"image": blobs(4), "label": [0, 1, 2, 0], "coarse_label": [1, 0, 1, 1]}
    path = parquet(tmp_path / "t.parquet", columns, label_names=list("abc"), coarse_label_names=["x", "y"])
    assert open_dataset(path).label_space.class_similarity()[0].tolist() == [1, 0, 0.5]
    columns["coarse_label"] = [1, 0, 1, 0]  # class 0 stands below both
    path = parquet(tmp_path / "u.parquet", columns, label_names=list("abc"), coarse_label_names=["x", "y"])
    assert not open_dataset(path).label_space.hierarchical


def test_parquet_with_label_lists_is_multi_label(tmp_path):
    path = parquet(tmp_path / "t.parquet", {"image": blobs(2), "label": [[0, 2], []]}, label_names=["a", "b", "c"])
    data = open_dataset(path)
    assert data.labels.tolist() == [[1, 0, 1], [0, 0, 0]]
    assert data.ids.tolist() == [0, 1]


def test_parquet_with_paths(tmp_path):
    image_folder(tmp_path, {"c": 2})
    path = parquet(tmp_path / "t.parquet", {"path": ["c/0.png", "c/1.png"], "y": [1, 0]})
    assert open_dataset(path).labels.tolist() == [1, 0]


def test_parquet_pixels_stay_on_disk(tmp_path):
    rng = np.random.default_rng(0)
    path = parquet(tmp_path / "t.parquet", {"image": [rng.bytes(1 << 20) for _ in range(24)]})
    open_dataset(path)  # writes the mapped copy
    before = pa.total_allocated_bytes()
    data = open_dataset(path)
    assert len(data) == 24
    assert pa.total_allocated_bytes() - before < 4 << 20


def test_shards_are_one_table(tmp_path):
    for number in range(2):
        parquet(tmp_path / f"{number}.parquet", {"image": blobs(2), "label": [number, number]})
    data = open_dataset(tmp_path)
    assert data.labels.tolist() == [0, 0, 1, 1]


def test_a_replaced_parquet_is_read_anew(tmp_path):
    first = open_dataset(parquet(tmp_path / "t.parquet", {"image": blobs(2)}))
    second = open_dataset(parquet(tmp_path / "t.parquet", {"image": blobs(3)[1:]}))
    assert first.fingerprint != second.fingerprint
    assert (np.asarray(second.image(1)) == np.asarray(picture(2))).all()


def test_rows_without_an_image_are_bad_images(tmp_path):
    from kinbits.data import readable

    data = readable(open_dataset(parquet(tmp_path / "t.parquet", {"image": [None, *blobs(1)]})))
    assert [skipped.reason for skipped in data.skipped] == ["no image in this row"]


def test_damaged_parquet_and_metadata(tmp_path):
    path = parquet(tmp_path / "t.parquet", {"image": blobs(2), "label": [0, 1]}, label_names={"a": 1})
    with pytest.raises(DataError, match="JSON list"):
        open_dataset(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="not a readable Parquet"):
        open_dataset(path)


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("KINBITS_CACHE", str(tmp_path / "file"))
    with pytest.raises(PlatformError, match="KINBITS_CACHE"):
        open_dataset(parquet(tmp_path / "t.parquet", {"image": blobs(1)}))


@pytest.mark.parametrize("labels", [[0.5, 1.0], ["a", "b"], [-3, 0], [7, 0]])
def test_labels_that_do_not_fit_their_names(tmp_path, labels):
    path = parquet(tmp_path / "t.parquet", {"image": blobs(2), "label": labels}, label_names=["x", "y"])
    with pytest.raises(DataError, match="label"):
        open_dataset(path)


def test_article_numbers_as_labels_are_renumbered(tmp_path):
    path = parquet(tmp_path / "t.parquet", {"image": blobs(3), "label": [900001, None, 7]})
    data = open_dataset(path)
    assert data.label_space.names == ("7", "900001")
    assert data.labels.tolist() == [1, -1, 0]


@pytest.fixture
def hub_rows():
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"img": datasets.Image(), "label": datasets.ClassLabel(names=["no", "yes"])})
    rows = [picture(seed) for seed in range(4)]
    return datasets.Dataset.from_dict({"img": rows, "label": [0, 1, 1, 0]}, features=features)


def test_datasets_object(hub_rows):
    data = open_dataset(hub_rows)
    assert data.label_space.names == ("no", "yes")
    assert (np.asarray(data.image(3)) == np.asarray(picture(3))).all()


def test_shuffled_datasets_object_keeps_labels_with_images(hub_rows):
    data = open_dataset(hub_rows.select([3, 1, 0]))
    assert data.labels.tolist() == [0, 1, 0]
    assert (np.asarray(data.image(0)) == np.asarray(picture(3))).all()
    assert data.fingerprint != open_dataset(hub_rows.select([3, 1, 2])).fingerprint


def test_hf_name_of_a_saved_folder(hub_rows, tmp_path):
    import datasets

    parts = datasets.DatasetDict({"train": hub_rows, "test": hub_rows.select([1])})
    parts.save_to_disk(str(tmp_path / "saved"))
    data = open_dataset(f"hf:{tmp_path / 'saved'}")
    assert list(data.columns["split"]) == ["train"] * 4 + ["test"]
    assert len(open_dataset(f"hf:{tmp_path / 'saved'}", split="test")) == 1
    with pytest.raises(DataError, match="train, test"):
        open_dataset(f"hf:{tmp_path / 'saved'}", split="val")
    hub_rows.save_to_disk(str(tmp_path / "one"))
    assert open_dataset(f"hf:{tmp_path / 'one'}").labels.tolist() == [0, 1, 1, 0]


def test_hf_image_folder(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    data = open_dataset(f"hf:{image_folder(tmp_path / 'pets', {'cat': 2, 'dog': 1})}")
    assert data.label_space.names == ("cat", "dog")
    assert data.labels.tolist() == [0, 0, 1]
    assert data.image(0).size == (12, 8)


def test_hf_name_that_cannot_be_reached():
    with pytest.raises(DataError, match="check the name and the network"):
        open_dataset("hf:nobody/nothing-of-this-name")


def test_streams_are_refused(hub_rows):
    with pytest.raises(UsageError, match="streaming"):
        open_dataset(hub_rows.to_iterable_dataset())
    with pytest.raises(UsageError, match="label_column"):
        open_dataset(hub_rows, labels=[1, 2, 3, 4])
