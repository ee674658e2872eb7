"""The field's protocols whose images cannot be shipped, on small trees in the layouts that researchers hold."""

import pickle
import shutil
from dataclasses import replace

import numpy as np
import pytest
from scipy.io import savemat
from trees import IN_SHARED, SIZES, as_json, as_mat, cifar10_batches, ground_truth, grow, write_lists

from kinbits.data import list_protocols, load_protocol
from kinbits.data.protocols.registry import REGISTRY
from kinbits.errors import DataError
from kinbits.metrics import LabelRelevance


@pytest.fixture(autouse=True)
def nowhere_else(monkeypatch, tmp_path):
    """Keep real data out of these tests."""
    monkeypatch.setenv("KINBITS_DATA", str(tmp_path / "nothing"))
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Grow a protocol's tree and scale its definition to it; returns the folder of data."""

    def make(name):
        definition, build = REGISTRY[name]
        sizes = {"checksum": "", **SIZES[name]}
        monkeypatch.setitem(REGISTRY, name, (replace(definition, **sizes), build))
        grow(tmp_path / "data", name)
        return tmp_path / "data"

    return make


def test_every_protocol_is_either_run_on_real_data_or_on_a_tree_in_its_layout():
    assert set(list_protocols()) == IN_SHARED | set(SIZES) | {"folder", "lists"}


@pytest.mark.parametrize("name", SIZES)
def test_a_tree_in_the_published_layout_gives_the_parts_and_labels(small, name):
    splits = load_protocol(name, data_dir=small(name))
    own = splits.protocol
    assert (len(splits.train), len(splits.query), len(splits.database)) == (own.train, own.query, own.database)
    assert not set(splits.query.ids) & {*splits.train.ids, *splits.database.ids}
    assert splits.query.image(0).mode == splits.database.image(0).mode == "RGB"
    assert own.checksum in splits.describe()
    if splits.ground_truth is None:
        relevant = LabelRelevance(splits.query.labels, splits.database.labels).block(0, len(splits.query))
        assert relevant.any()
        assert not relevant.all()


@pytest.mark.parametrize("name", SIZES)
def test_the_folder_itself_may_be_given(small, name):
    folder = small(name)
    own = next(folder.iterdir())
    by_parent = load_protocol(name, data_dir=folder).protocol.checksum
    if REGISTRY[name][0].required_files.files:
        moved = own.rename(own.with_name("under_another_name"))
        assert load_protocol(name, data_dir=moved).protocol.checksum == by_parent


def needed():
    return [(name, wanted) for name in SIZES for wanted in REGISTRY[name][0].required_files.files]


@pytest.mark.parametrize(("name", "wanted"), needed())
def test_each_missing_file_is_named_with_its_place(small, name, wanted):
    folder = small(name)
    own = next(folder.iterdir())
    gone = next(own / option for option in wanted.split(" | ") if (own / option).exists())
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    with pytest.raises(DataError) as caught:
        load_protocol(name, data_dir=folder)
    assert f"{own} lacks {wanted.replace(' | ', ' or ')}; put it there" in str(caught.value)
    assert REGISTRY[name][0].required_files.missing(folder) == str(caught.value)


@pytest.mark.parametrize("name", sorted(set(SIZES) - {"cifar100"}))
def test_a_missing_or_empty_image_is_named_and_never_left_out_silently(small, name):
    folder = small(name)
    gone = sorted(path for path in folder.rglob("*") if path.suffix in (".png", ".jpg"))[0]
    for damage in (lambda: gone.write_bytes(b""), gone.unlink):
        damage()
        with pytest.raises(DataError, match=f"[12] of .* files are missing or empty, the first is .*{gone.name}"):
            load_protocol(name, data_dir=folder)


@pytest.mark.parametrize("name", SIZES)
def test_other_sizes_than_the_definition_are_refused(small, monkeypatch, name):
    folder = small(name)
    definition, build = REGISTRY[name]
    monkeypatch.setitem(REGISTRY, name, (replace(definition, database=definition.database + 1), build))
    with pytest.raises(DataError, match=f"database has {definition.database} rows, not {definition.database + 1}"):
        load_protocol(name, data_dir=folder)


def test_nothing_there_names_the_folders_and_the_files(tmp_path):
    with pytest.raises(DataError, match=r"nus_wide .*database\.txt.*nothing.*KINBITS_DATA.*HashNet"):
        load_protocol("nuswide-81", data_dir=tmp_path)


def test_rows_without_a_label_are_counted_and_held_to_the_definition(small, monkeypatch):
    folder = small("nuswide-81")
    splits = load_protocol("nuswide-81", data_dir=folder)
    assert splits.unlabelled == {"train": 1, "query": 1, "database": 1}
    assert "without a label: 1 train, 1 query, 1 database rows" in splits.describe()
    definition, build = REGISTRY["nuswide-81"]
    monkeypatch.setitem(REGISTRY, "nuswide-81", (replace(definition, unlabelled={"query": 0}), build))
    with pytest.raises(DataError, match="1 query rows have no label, not 0"):
        load_protocol("nuswide-81", data_dir=folder)


def test_another_number_of_labels_is_refused(small, monkeypatch):
    folder = small("nuswide-21")
    definition, build = REGISTRY["nuswide-21"]
    monkeypatch.setitem(REGISTRY, "nuswide-21", (replace(definition, classes=21), build))
    with pytest.raises(DataError, match="3 labels, not 21"):
        load_protocol("nuswide-21", data_dir=folder)


def test_queries_in_hashnets_coco_database_are_taken_out_and_train_images_put_in(small):
    splits = load_protocol("coco", data_dir=small("coco"))
    assert set(splits.train.ids) <= set(splits.database.ids)
    assert not set(splits.query.ids) & set(splits.database.ids)
    assert [note.split(" ", 1)[0] for note in splits.notes] == ["3", "4"]
    assert "3 queries were also in the database list" in splits.describe()


def test_a_repeated_train_image_counts_once_and_is_noted(small):
    splits = load_protocol("flickr25k-38-prosgan", data_dir=small("flickr25k-38-prosgan"))
    assert splits.notes == ("train_img.txt repeats 1 images; each counts once",)


def test_pairs_carry_the_tags_as_texts(small):
    splits = load_protocol("flickr25k-24", data_dir=small("flickr25k-24"))
    for name, text in zip(splits.query.ids, splits.query.texts, strict=True):
        assert text == f"sky number{name[2:-4]}"
    assert splits.label_space.multi


def test_clothing_keeps_noisy_and_clean_labels_of_one_image_apart(small):
    splits = load_protocol("clothing1m", data_dir=small("clothing1m"))
    assert set(splits.train.labels) == {1}
    both = splits.database.ids.tolist().index("images/0/a,0.png")
    assert splits.database.labels[both] == 0
    assert "noisy/images/0/a,0.png" in splits.train.ids
    assert splits.notes[0].startswith("1 images are in train")
    assert splits.label_space.names == ("T-Shirt", "Down Coat")


def test_a_clothing_query_in_a_train_list_is_refused(small):
    folder = small("clothing1m")
    with (folder / "clothing1m" / "noisy_train_key_list.txt").open("a") as file:
        file.write("\nimages/8/a,8.png\n")
    with pytest.raises(DataError, match=r"1 test images are in a train list, e\.g\. images/8"):
        load_protocol("clothing1m", data_dir=folder)


def test_birds_are_split_by_the_official_file(small):
    splits = load_protocol("cub-200", data_dir=small("cub-200"))
    assert sorted(id[-5] for id in splits.train.ids) == list("01234")
    assert splits.label_space.names == ("001.Bird_0", "002.Bird_1")
    assert [splits.label_space.names[label] for label in splits.query.labels] == [
        id.split("/")[0] for id in splits.query.ids
    ]


def test_landmarks_are_answered_by_the_list_not_by_the_class(small):
    splits = load_protocol("gldv2", data_dir=small("gldv2"))
    answers = [splits.database.ids[rows].tolist() for rows in splits.ground_truth.easy]
    assert dict(zip(splits.query.ids.tolist(), answers, strict=True)) == {
        "xy0cdef": ["120cdef", "122cdef"],
        "xy1cdef": ["121cdef"],
    }
    assert splits.label_space.names == ("7", "19")
    assert (splits.database.labels == -1).all()
    assert "2 of 2 queries have an answer, 3 in all" in splits.describe()


def test_an_answer_that_is_not_in_the_index_is_named(small):
    folder = small("gldv2")
    (folder / "gldv2" / "index.csv").write_text("id\n120cdef\n121cdef\n123cdef\n")
    with pytest.raises(DataError, match=r"1 answers are not in the index, e\.g\. 122cdef"):
        load_protocol("gldv2", data_dir=folder)


def test_landmark_answers_may_be_json(small):
    folder = small("gldv2")
    by_csv = load_protocol("gldv2", data_dir=folder).protocol.checksum
    (folder / "gldv2" / "retrieval_solution_v2.1.csv").unlink()
    answers = '{"xy0cdef": ["120cdef", "122cdef"], "xy1cdef": ["121cdef"]}'
    (folder / "gldv2" / "retrieval_solution.json").write_text(answers)
    assert load_protocol("gldv2", data_dir=folder).protocol.checksum == by_csv


@pytest.mark.parametrize("kind", ["pkl", "mat", "json", "arrays"])
def test_oxford_is_the_same_from_every_form_of_its_ground_truth(small, kind):
    folder = small("roxford5k") / "roxford5k"
    (folder / "gnd_roxford5k.pkl").unlink()
    truth = ground_truth()
    if kind == "mat":
        savemat(folder / "gnd_roxford5k.mat", as_mat(truth))
    elif kind == "json":
        (folder / "gnd_roxford5k.json").write_text(as_json(truth))
    else:
        if kind == "arrays":
            for one in truth["gnd"]:
                one.update({grade: np.array(one[grade], np.int32) for grade in ("easy", "hard", "junk")})
        (folder / "gnd_roxford5k.pkl").write_bytes(pickle.dumps(truth, protocol=2))
    splits = load_protocol("roxford5k", data_dir=folder.parent)
    found = splits.ground_truth
    assert [[rows.tolist() for rows in grade] for grade in (found.easy, found.hard, found.junk)] == [
        [[0, 4], []],
        [[1], [3]],
        [[5], []],
    ]
    assert splits.database.ids.tolist() == [f"photo_{n}" for n in range(6)]
    assert "have an answer: easy 1, medium 2, hard 2" in splits.describe()


def test_oxford_queries_are_the_rectangles_clipped_to_the_photo(small):
    splits = load_protocol("roxford5k", data_dir=small("roxford5k"))
    assert splits.query.image(0).size == (6, 5)
    assert splits.query.image(1).size == splits.database.image(0).size == (12, 8)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"gnd": None}, "no usable"),
        ({"gnd": [{"bbx": [1.0], "easy": [], "hard": [], "junk": []}] * 2}, "no usable"),
        ({"gnd": [{"easy": [], "hard": [], "junk": []}] * 2}, "no usable.*bbx"),
        ({"gnd": []}, "0 ground truths for 2 queries"),
        ({"gnd": [{"bbx": [0, 0, 1, 1], "easy": [9], "hard": [], "junk": []}] * 2}, "row 9 of a database of 6"),
        ({"gnd": [{"bbx": [0, 0, 1, 1], "easy": ["a"], "hard": [], "junk": []}] * 2}, "no usable"),
    ],
)
def test_ground_truth_that_is_none_is_named(small, change, reason):
    folder = small("roxford5k")
    (folder / "roxford5k" / "gnd_roxford5k.pkl").write_bytes(pickle.dumps({**ground_truth(), **change}))
    with pytest.raises(DataError, match=reason):
        load_protocol("roxford5k", data_dir=folder)


def test_the_checksum_of_landmarks_covers_their_answers(small):
    folder = small("roxford5k")
    first = load_protocol("roxford5k", data_dir=folder).protocol.checksum
    truth = ground_truth()
    truth["gnd"][0]["easy"] = [0, 3]
    (folder / "roxford5k" / "gnd_roxford5k.pkl").write_bytes(pickle.dumps(truth))
    assert load_protocol("roxford5k", data_dir=folder).protocol.checksum != first


def test_superclasses_come_from_the_original_cifar_files(small):
    space = load_protocol("cifar100", data_dir=small("cifar100")).label_space
    assert space.parent_names == ("animals", "trees")
    assert space.class_similarity().tolist() == (np.kron(np.eye(2), np.full((2, 2), 0.5)) + np.eye(4) / 2).tolist()


def test_original_cifar_files_give_the_names_that_other_copies_give(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    batches = cifar10_batches(folder)
    with pytest.raises(DataError, match="train has 20 rows, not 50000"):
        load_protocol("cifar10-10k-50k", data_dir=tmp_path)
    data, parts = REGISTRY["cifar10-10k-50k"][1](tmp_path, 0)
    assert data.ids[:2].tolist() == ["train/airplane/thing_s_000000", "train/automobile/thing_s_000001"]
    assert data.ids[parts.query[0]].startswith("test/")
    red = batches["data_batch_1"]["data"][1][:1024].reshape(32, 32)
    assert np.array_equal(np.asarray(data.image(1))[:, :, 0], red)


def test_a_damaged_cifar_batch_is_named(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    cifar10_batches(folder)
    (folder / "data_batch_3").write_bytes(pickle.dumps({"labels": [0], "data": [1]}))
    with pytest.raises(DataError, match=r"data_batch_3: no filenames.*unpack"):
        load_protocol("cifar10-10k-50k", data_dir=tmp_path)
    batch = {"labels": [10], "data": np.zeros((1, 3072), np.uint8), "filenames": ["a.png"]}
    (folder / "data_batch_3").write_bytes(pickle.dumps(batch))
    with pytest.raises(DataError, match="label 10 of 10 classes"):
        load_protocol("cifar10-10k-50k", data_dir=tmp_path)
    (folder / "batches.meta").write_bytes(pickle.dumps(["cat"]))
    with pytest.raises(DataError, match=r"batches\.meta: no label_names"):
        load_protocol("cifar10-10k-50k", data_dir=tmp_path)
    (folder / "data_batch_3").unlink()
    with pytest.raises(DataError, match="holds 5 of the original batches"):
        load_protocol("cifar10-10k-50k", data_dir=tmp_path)


def lists(folder, rows):
    write_lists(folder, rows, prefix="")
    for name in {name for part in rows.values() for name, _ in part}:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    return folder


def test_any_folder_of_lists_is_a_protocol(tmp_path):
    rows = {"train": [("a.png", "2"), ("b.png", "0")], "test": [("c.png", "2")], "database": [("d.png", "0")]}
    splits = load_protocol(f"lists:{lists(tmp_path / 'own', rows)}")
    assert (splits.train.labels.tolist(), splits.query.labels.tolist()) == ([2, 0], [2])
    assert splits.protocol.relevance == "same class"
    assert splits.label_space.classes == 3
    assert load_protocol("lists", data_dir=tmp_path / "own").protocol == splits.protocol


def test_images_of_one_name_in_two_folders_stay_apart(tmp_path):
    rows = {"train": [("cat/0.png", "0"), ("dog/0.png", "1")], "test": [("dog/1.png", "1")], "database": []}
    rows["database"] = [("cat/1.png", "0")]
    splits = load_protocol(f"lists:{lists(tmp_path / 'own', rows)}")
    assert splits.train.ids.tolist() == ["cat/0.png", "dog/0.png"]
    assert (splits.train.labels.tolist(), len(splits.database)) == ([0, 1], 1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"test": [("c.png", "1 0 0")]}, "different numbers of labels per line"),
        ({"test": [("c.png", "")]}, "different numbers of labels per line"),
        ({"database": [("a.png", "1 1")]}, r"1 images have different labels in two lists .*a\.png"),
        ({"train": [("a.png", "0 1"), ("b.png", "0 1 1")]}, "line 2 has 3 labels, the first has 2"),
        ({"train": [("a.png", "0 x")]}, "not a whole number"),
        ({"train": [("a.png", "0 2")]}, "only 0 and 1"),
        ({"train": []}, "the list is empty"),
        ({"test": [("a.png", "0 1")]}, "1 rows are in two parts"),
    ],
)
def test_lists_that_cannot_be_right_say_why(tmp_path, change, reason):
    rows = {"train": [("a.png", "0 1")], "test": [("c.png", "1 0")], "database": [("d.png", "1 1")], **change}
    with pytest.raises(DataError, match=reason):
        load_protocol(f"lists:{lists(tmp_path / 'own', rows)}")


def test_parallel_lists_of_different_length_are_refused(small):
    folder = small("flickr25k-38-prosgan") / "FLICKR-25K"
    with (folder / "test_label.txt").open("a") as file:
        file.write("1 0 0\n")
    with pytest.raises(DataError, match=r"test_label\.txt has 4 lines and .*test_img\.txt has 3"):
        load_protocol("flickr25k-38-prosgan", data_dir=folder.parent)
