"""Pairs of images: drawn from labels, named in tables, seen in COLMAP models."""

import shutil

import numpy as np
import pytest

from kinbits import DataError, UsageError, open_dataset
from kinbits.data import Pairs, open_pairs, pairs_from_labels
from kinbits.data.pairs.colmap import common_points
from kinbits.data.pairs.pair_files import Covisible


def collection(*names):
    """Return a collection whose ids are the names."""
    data = open_dataset(np.zeros((len(names), 4), np.float32))
    return type(data)(data.items, np.array(names), name="photos")


def written(folder, text, name="pairs.csv"):
    path = folder / name
    path.write_text(text)
    return path


ABCDE = collection("a.jpg", "x/b.jpg", "c.jpg", "d.jpg", "0005")


def listed(pairs):
    return list(zip(pairs.a.tolist(), pairs.b.tolist(), pairs.similar.tolist(), strict=True))


def test_a_table_of_pairs_is_matched_to_ids_and_ends_of_paths(tmp_path):
    path = written(tmp_path, "path_a,path_b,label,weight\nb.jpg,a.jpg,1,0.5\nold/c.jpg,0005,0,2\n")
    pairs = open_pairs(path, ABCDE)
    assert listed(pairs) == [(0, 1, True), (2, 4, False)]
    assert pairs.weight.tolist() == [0.5, 2.0]
    assert pairs.clusters.tolist() == [-1] * 5


def test_images_that_the_collection_skipped_are_passed_over(tmp_path):
    path = written(tmp_path, "path_a,path_b,label\na.jpg,c.jpg,1\na.jpg,d.jpg,1\n")
    assert listed(open_pairs(path, ABCDE.without([2], ["damaged"]))) == [(0, 2, True)]


def test_unknown_names_are_refused_with_some_of_them_and_a_remedy(tmp_path):
    path = written(tmp_path, "path_a,path_b,label\na.jpg,q.jpg,1\nr.jpg,d.jpg,1\na.jpg,d.jpg,1\n")
    with pytest.raises(DataError, match=r"names 2 images that are not in photos \('q.jpg', 'r.jpg'.*'a.jpg'.*skip"):
        open_pairs(path, ABCDE)
    assert listed(open_pairs(path, ABCDE, unknown="skip")) == [(0, 3, True)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("path_a,path_b\na.jpg,c.jpg\n", "starts with a line path_a,path_b,label"),
        ("path_a,path_b,label\na.jpg,c.jpg,2\n", "line 2: label is 2; give 1 similar, 0 not"),
        ("path_a,path_b,label\na.jpg,c.jpg,yes\n", "column label holds a value that is not a finite number"),
        ("path_a,path_b,label\na.jpg,a.jpg,1\n", "paired with itself"),
        ("path_a,path_b,label,weight\na.jpg,c.jpg,1,-1\n", "weight is -1.0; give 0 or more"),
        ("path_a,path_b,label\na.jpg,c.jpg,1\nc.jpg,a.jpg,0\n", "'a.jpg' and 'c.jpg' are similar in one line and not"),
        ("", "not a readable table"),
    ],
)
def test_wrong_tables_are_refused_where_they_are_wrong(tmp_path, text, told):
    with pytest.raises(DataError, match=told):
        open_pairs(written(tmp_path, text), ABCDE)


def test_a_name_that_may_be_two_images_is_refused(tmp_path):
    data = collection("x/a.jpg", "y/a.jpg", "b.jpg")
    path = written(tmp_path, "path_a,path_b,label\na.jpg,b.jpg,1\n")
    with pytest.raises(DataError, match=r"may be 'x/a.jpg' or 'y/a.jpg'"):
        open_pairs(path, data)


def test_missing_sources_are_refused(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        open_pairs(tmp_path / "nothing.csv", ABCDE)
    with pytest.raises(DataError, match="holds no COLMAP model"):
        open_pairs(tmp_path, ABCDE)


def test_clusters_join_where_they_share_an_image_or_a_similar_pair(tmp_path):
    data = collection(*"abcdefgh")
    one = written(tmp_path, "path,cluster\na,1\nb,1\nc,2\nd,3\ne,4\n", "one.csv")
    two = written(tmp_path, "path,cluster\nb,1\nc,1\n", "two.csv")
    pairs = written(tmp_path, "path_a,path_b,label\nd,f,1\ne,f,1\ng,h,1\n")
    found = open_pairs([one, two, pairs], data).clusters.tolist()
    assert found[0] == found[1] == found[2]
    assert found[3] == found[4] == found[5]
    assert found[0] != found[3]
    assert found[6] == found[7] == -1


def test_common_points_must_be_enough_and_the_best_of_an_image(tmp_path):
    rows = ["a,b,30,0.5", "a,c,40,0.05", "a,d,19,0.9", "b,c,50,0.95", "b,d,25,0.3", "c,d,22,0.2"]
    path = written(tmp_path, "\n".join(["name_a,name_b,shared_points,overlap", *rows]))
    data = collection(*"abcd")
    assert [pair[:2] for pair in listed(open_pairs(path, data))] == [(0, 1), (1, 2), (1, 3), (2, 3)]
    few = open_pairs(path, data, max_overlap=0.9, most=1)
    assert [pair[:2] for pair in listed(few)] == [(0, 1), (1, 3), (2, 3)]
    assert few.clusters.tolist() == [0, 0, 0, 0]


def test_two_reconstructions_are_apart_and_images_without_common_points_are_not(tmp_path):
    head = "name_a,name_b,shared_points,overlap\n"
    one, two = written(tmp_path, f"{head}a,b,30,1\na,c,0,0\n", "1.csv"), written(tmp_path, f"{head}d,e,30,1\n", "2.csv")
    pairs = open_pairs([one, two], collection(*"abcde"))
    assert listed(pairs) == [(0, 1, True), (3, 4, True)]
    assert pairs.clusters.tolist() == [0, 0, 0, 1, 1]
    assert pairs.has_dissimilar
    assert not open_pairs(one, collection(*"abc")).has_dissimilar


@pytest.mark.parametrize("limits", [{"min_shared": 0}, {"min_overlap": 0.5, "max_overlap": 0.4}])
def test_thresholds_out_of_range_are_refused(tmp_path, limits):
    with pytest.raises(UsageError, match="need"):
        open_pairs(written(tmp_path, "path,cluster\na.jpg,1\n"), ABCDE, **limits)


def test_common_points_are_counted_as_sets():
    rng = np.random.default_rng(0)
    images, points = rng.integers(0, 30, 3000), rng.integers(0, 200, 3000)
    sees = [set(points[images == one].tolist()) for one in range(30)]
    limits = Covisible(25, 0.3, 1.0, 100)
    wanted = [
        (i, j)
        for i in range(30)
        for j in range(i + 1, 30)
        if len(sees[i] & sees[j]) >= 25 and len(sees[i] & sees[j]) / min(len(sees[i]), len(sees[j])) >= 0.3
    ]
    a, b = common_points(images, points, 30, limits)
    assert sorted(zip(a.tolist(), b.tolist(), strict=True)) == wanted
    assert 10 < len(wanted) < 400


def test_a_point_that_everybody_sees_costs_little():
    images = np.arange(20_000)
    a, _ = common_points(images, np.zeros(20_000, np.int64), 20_000, Covisible(1, 0.1, 1.0, 5, 50))
    assert 50 * 5 / 2 <= len(a) <= 50 * 49 / 2


@pytest.mark.parametrize("multi", [False, True])
def test_pairs_from_labels_share_one(multi):
    rng = np.random.default_rng(1)
    labels = (rng.random((200, 6)) < 0.25).astype(np.float32) if multi else rng.integers(-1, 6, 200)
    pairs = pairs_from_labels(labels, each=3)
    shared = (labels[pairs.a] * labels[pairs.b]).sum(1) > 0 if multi else labels[pairs.a] == labels[pairs.b]
    bare = ~labels.any(1) if multi else labels < 0
    assert shared.all()
    assert not bare[pairs.a].any()
    assert not (pairs.a == pairs.b).any()
    assert len(pairs.a) == pytest.approx(3 * (~bare).sum(), rel=0.1)
    assert ((pairs.clusters < 0) == bare).all()


def test_a_class_of_one_image_gives_no_pair():
    assert pairs_from_labels(np.array([0, 1, 1, 2])).counts() == {"similar": 10, "dissimilar": 0, "clusters": 3}


def test_selected_rows_keep_what_is_known_of_them():
    pairs = Pairs(
        np.array([0, 1, 2]), np.array([1, 3, 3]), np.array([1, 1, 0], bool), np.ones(3), np.array([0, 0, 1, 1])
    )
    part = pairs.select(np.array([3, 2, 0]))
    assert listed(part) == [(1, 0, False)]
    assert part.clusters.tolist() == [1, 1, 0]
    assert part.fingerprint != pairs.fingerprint


def test_pairs_of_rows_that_are_not_there_are_refused():
    with pytest.raises(DataError, match="rows 0 to 5 of 4"):
        Pairs(np.array([0]), np.array([5]), np.array([True]), np.ones(1), np.zeros(4, np.int64))


@pytest.fixture
def toy_model():
    """Write a model: A sees points 1-4, B 3-5, C 9, and D nothing."""
    pycolmap = pytest.importorskip("pycolmap")
    sees = {"A.jpg": [1, 2, 3, 4], "B.jpg": [3, 4, 5], "C.jpg": [9], "D.jpg": []}
    model = pycolmap.Reconstruction()
    camera = pycolmap.Camera(model="SIMPLE_PINHOLE", width=10, height=10, params=[5, 5, 5], camera_id=1)
    model.add_camera_with_trivial_rig(camera)
    for number, (name, points) in enumerate(sees.items(), 1):
        spots = pycolmap.Point2DList([pycolmap.Point2D([1.0, 1.0]) for _ in points])
        image = pycolmap.Image(name=name, points2D=spots, camera_id=1, image_id=number)
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d())
    for point in (1, 2, 3, 4, 5, 9):
        track = pycolmap.Track()
        for number, points in enumerate(sees.values(), 1):
            if point in points:
                track.add_element(number, points.index(point))
        model.add_point3D(np.ones(3), track, np.zeros(3, np.uint8))
    return model


@pytest.mark.parametrize("kind", ["text", "binary"])
def test_a_colmap_model_pairs_images_with_common_points(tmp_path, toy_model, kind):
    folder = tmp_path / "sparse" / "0"
    folder.mkdir(parents=True)
    getattr(toy_model, f"write_{kind}")(str(folder))
    data = collection("A.jpg", "B.jpg", "C.jpg", "D.jpg")
    found = [open_pairs(tmp_path / "sparse", data, min_shared=2, min_overlap=overlap) for overlap in (0.66, 0.67)]
    assert [listed(pairs) for pairs in found] == [[(0, 1, True)], []]
    assert found[0].clusters.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(("name", "length"), [("images.bin", 300), ("points3D.bin", 100), ("images.bin", 3)])
def test_a_model_that_was_cut_short_is_refused(tmp_path, toy_model, name, length):
    toy_model.write_binary(str(tmp_path))
    with (tmp_path / name).open("r+b") as file:
        file.truncate(length)
    with pytest.raises(DataError, match=f"{name}: not a readable COLMAP model"):
        open_pairs(tmp_path, ABCDE)


def test_a_model_of_which_a_file_is_missing_is_refused(tmp_path, toy_model):
    toy_model.write_text(str(tmp_path))
    (tmp_path / "points3D.txt").unlink()
    with pytest.raises(DataError, match="not a readable COLMAP model"):
        open_pairs(tmp_path, ABCDE)


def test_text_and_table_of_a_real_reconstruction_agree(real_data, tmp_path):
    pycolmap = pytest.importorskip("pycolmap")
    folder = real_data / "sfm_sacre_coeur"
    if not folder.is_dir():
        pytest.skip("the reconstruction is absent")
    data = open_dataset(real_data / "sfm_sacre_coeur.parquet")
    text, table = (open_pairs(source, data) for source in (folder, folder / "pairs.csv"))
    pycolmap.Reconstruction(str(folder)).write_binary(str(tmp_path))
    assert text.counts() == {"similar": 35, "dissimilar": 0, "clusters": 1}
    assert text.fingerprint == table.fingerprint == open_pairs(tmp_path, data).fingerprint
    shutil.rmtree(tmp_path)


def test_without_the_reader_the_extra_is_named(tmp_path, monkeypatch):
    from kinbits import PlatformError

    written(tmp_path, "", "images.txt")
    monkeypatch.setitem(__import__("sys").modules, "pycolmap", None)
    with pytest.raises(PlatformError, match=r"kinbits\[sfm\]"):
        open_pairs(tmp_path, ABCDE)
