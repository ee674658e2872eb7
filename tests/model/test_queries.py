"""Every form of a query: how many queries it holds, and what is refused with its reason."""

import io
import os
import sys

import numpy as np
import pytest
from PIL import Image

import kinbits
from kinbits import DataError, UsageError
from kinbits.data import FeatureCache
from kinbits.index import BatchHits, Hits, create_index
from kinbits.model import HashModel

SIDE, BITS, BACKBONE = 28, 64, {4: "convnet-small"}
RNG = np.random.default_rng(0)
GREYS = RNG.integers(0, 256, (6, SIDE, SIDE), dtype=np.uint8)
COLOURS = RNG.integers(0, 256, (6, SIDE, SIDE, 3), dtype=np.uint8)
VECTORS = RNG.standard_normal((6, 12)).astype(np.float32)


def hashed(data):
    """A model whose codes tell all items apart."""
    return kinbits.fit(data, method="lsh", bits=BITS, backbone=BACKBONE.get(data.ndim), cache=None, progress=False)


@pytest.fixture(scope="module")
def images():
    return hashed(np.concatenate([COLOURS, np.repeat(GREYS[..., None], 3, axis=3)]))


@pytest.fixture(scope="module")
def vectors():
    return hashed(VECTORS)


@pytest.fixture(params=["kinbits", "faiss"])
def engine(request):
    if request.param == "faiss":
        pytest.importorskip("faiss")
        return lambda model: create_index(None, engine="faiss-hnsw", model=model)
    return lambda model: kinbits.Index.create(model=model)


def nearest(found):
    """The id of each query's only hit; asserts that it is the very item."""
    rows = [found] if isinstance(found, Hits) else list(found)
    assert all(hits.distances.tolist() == [0] for hits in rows)
    return [int(hits.ids[0]) for hits in rows]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (GREYS, [0, 1, 2, 3, 4, 5]),
        (GREYS[:2], [0, 1]),
        (GREYS[:1], [0]),
        (GREYS[:3, :, :, None], [0, 1, 2]),
        ([GREYS[4]], [4]),
        ([GREYS[4], Image.fromarray(GREYS[2])], [4, 2]),
        ((GREYS[3],), [3]),
    ],
    ids=["greys", "two", "array of one", "channel axis", "list of one", "mixed list", "tuple"],
)
def test_several_grey_images_are_all_answered(images, engine, query, expected):
    found = engine(images).add(GREYS).search(query, k=1)
    assert isinstance(found, BatchHits)
    assert nearest(found) == expected


@pytest.mark.parametrize("query", [GREYS[4], GREYS[4][:, :, None], Image.fromarray(GREYS[4])])
def test_one_grey_image_is_one_query(images, engine, query):
    found = engine(images).add(GREYS).search(query, k=1)
    assert isinstance(found, Hits)
    assert nearest(found) == [4]
    assert images.encode(query).shape == (1, 8)


def test_colours_are_one_or_several(images, engine):
    index = engine(images).add(COLOURS)
    assert nearest(index.search(COLOURS[3], k=1)) == [3]
    assert isinstance(index.search(COLOURS[3], k=1), Hits)
    assert nearest(index.search(COLOURS[3:4], k=1)) == [3]
    assert isinstance(index.search(COLOURS[3:4], k=1), BatchHits)
    assert nearest(index.search(COLOURS[::-1], k=1)) == [5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize("channels", [3, 4])
def test_channels_first_is_refused_with_the_remedy(images, engine, channels):
    index = engine(images).add(GREYS)
    wrong = np.zeros((channels, SIDE, SIDE), np.uint8)
    for call in (index.search, index.add, images.encode):
        with pytest.raises(UsageError, match=rf"give \(h, w, {channels}\), e.g. array.transpose.*\(n, h, w, 1\)"):
            call(wrong)
    assert len(index.search(wrong.transpose(1, 2, 0), k=1)) == 1
    assert len(index.search(wrong[..., None], k=1)) == channels
    with pytest.raises(DataError, match=r"\(n, h, w, 3\)"):
        index.search(np.zeros((2, 3, SIDE, SIDE), np.uint8))


def test_a_folder_a_table_and_an_array_file_are_several_queries(images, vectors, engine, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for row in (5, 1):
        Image.fromarray(COLOURS[row]).save(folder / f"{row}.png")
    index = engine(images).add(COLOURS)
    for query in (folder, str(folder)):
        found = index.search(query, k=1)
        assert isinstance(found, BatchHits)
        assert nearest(found) == [1, 5]
    (folder / "1.png").unlink()
    assert nearest(index.search(folder, k=1)) == [5]
    assert isinstance(index.search(folder, k=1), BatchHits)
    np.save(tmp_path / "v.npy", VECTORS)
    found = engine(vectors).add(VECTORS).search(tmp_path / "v.npy", k=1)
    assert nearest(found) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("query", [VECTORS[2], VECTORS[2].astype(np.float64), VECTORS[2].astype(np.float16)])
def test_one_vector_is_one_query(vectors, engine, query):
    found = engine(vectors).add(VECTORS).search(query, k=1)
    assert isinstance(found, Hits)
    assert found.ids.tolist() == [2]


@pytest.mark.parametrize(
    "query", [VECTORS, VECTORS.tolist(), list(VECTORS), [tuple(row) for row in VECTORS.tolist()], tuple(VECTORS)]
)
def test_several_vectors_are_all_answered(vectors, engine, query):
    found = engine(vectors).add(query).search(query, k=1)
    assert isinstance(found, BatchHits)
    assert nearest(found) == [0, 1, 2, 3, 4, 5]


def test_lists_of_vectors_of_unequal_width_or_of_something_else_are_refused(vectors):
    with pytest.raises(DataError, match=r"vector 1 has shape \(11,\), the first one \(12,\)"):
        vectors.encode([VECTORS[0], VECTORS[1][:11]])
    with pytest.raises(DataError, match="a value that is not a number"):
        vectors.encode([[1.0] * 12, [1.0] * 11 + ["x"]])
    with pytest.raises(UsageError, match="cannot read an image from float"):
        vectors.encode(VECTORS[0].tolist())


def png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file


def test_bytes_and_files_are_images(images, engine, tmp_path):
    index = engine(images).add(COLOURS)
    file = png(COLOURS[2])
    (tmp_path / "two.png").write_bytes(file.getvalue())
    forms = [file.getvalue(), bytearray(file.getvalue()), memoryview(file.getvalue()), file, tmp_path / "two.png"]
    for form in forms:
        found = index.search(form, k=1)
        assert isinstance(found, Hits)
        assert nearest(found) == [2]
    with (tmp_path / "two.png").open("rb") as opened:
        assert nearest(index.search(opened, k=1)) == [2]
    assert nearest(index.search([*forms, png(COLOURS[4])], k=1)) == [2, 2, 2, 2, 2, 4]


def test_standard_input_is_a_query(images, monkeypatch, tmp_path):
    (tmp_path / "in").write_bytes(png(COLOURS[1]).getvalue())
    index = kinbits.Index.create(model=images).add(COLOURS)
    with (tmp_path / "in").open() as given:
        monkeypatch.setattr(sys, "stdin", given)
        assert nearest(index.search(sys.stdin.buffer, k=1)) == [1]
    with (
        (tmp_path / "in").open(encoding="latin1") as given,
        pytest.raises(UsageError, match=r"mode 'rb'.*sys.stdin.buffer"),
    ):
        index.search(given)


def test_what_is_no_query_is_refused_with_the_reason(images, tmp_path):
    index = kinbits.Index.create(model=images).add(COLOURS)
    (tmp_path / "list.txt").write_text("a.png 0\n")
    for query in (tmp_path / "list.txt", str(tmp_path / "list.txt")):
        with pytest.raises(UsageError, match=r"is a text file.*text=.*open_dataset"):
            index.search(query)
    with pytest.raises(UsageError, match="kinbits downloads no images"):
        index.search("https://example.org/a.png")
    with pytest.raises(DataError, match="not an image"):
        index.search(b"GIF89a no")
    with pytest.raises(UsageError, match="cannot read an image from dict"):
        index.search([{}])
    with pytest.raises(UsageError, match="cannot open a dict"):
        index.search({})


def test_codes_are_told_from_grey_images_by_their_width(images):
    index = kinbits.Index.create(model=images).add(GREYS)
    codes = images.encode(GREYS)
    assert nearest(index.search(codes, k=1)) == [0, 1, 2, 3, 4, 5]
    assert nearest(index.search(codes[1], k=1)) == [1]
    square = RNG.integers(0, 256, (8, 8), dtype=np.uint8)
    assert len(index.search(square, k=1)) == 8  # as wide as a code
    assert len(index.search([square], k=1)) == 1
    for wrong in (codes[:, :4], np.zeros((100, 16), np.uint8), np.zeros(16, np.uint8), np.zeros((2, 16), np.uint8)):
        with pytest.raises(DataError, match=r"width|bytes"):  # codes of another length, as before
            index.search(wrong)


class Texts(HashModel):
    """Answers texts with the code of the image of that number."""

    def encode(self, inputs, *, modality="image", **options):
        if modality == "image":
            return super().encode(inputs, **options)
        return super().encode(COLOURS[[int(text) for text in ([inputs] if isinstance(inputs, str) else inputs)]])


def test_a_text_or_a_list_of_texts_is_a_query(images, engine):
    model = Texts(images.towers)
    index = engine(model).add(COLOURS)
    one, several = index.search(text="3", k=1), index.search(text=["3", "5"], k=1)
    assert (type(one), nearest(one)) == (Hits, [3])
    assert (type(several), nearest(several)) == (BatchHits, [3, 5])
    for wrong in ({}, {"query": COLOURS[0], "text": "3"}):
        with pytest.raises(UsageError, match="give a query or text=, one of the two"):
            index.search(**wrong)


def test_a_text_needs_a_model_that_reads_texts(images):
    with pytest.raises(UsageError, match="no text tower"):
        kinbits.Index.create(model=images).add(COLOURS).search(text="a dog")
    with pytest.raises(UsageError, match="a text needs a model"):
        kinbits.Index.create(bits=BITS).add(images.encode(COLOURS)).search(text="a dog")


def test_no_query_gives_no_answer(images, vectors):
    assert len(kinbits.Index.create(model=images).add(COLOURS).search([])) == 0
    assert len(kinbits.Index.create(model=vectors).add(VECTORS).search(VECTORS[:0])) == 0


def test_a_list_of_images_is_known_by_its_pixels(images, tmp_path):
    path, cache = tmp_path / "a.png", FeatureCache(tmp_path / "cache")
    found = []
    for row in (0, 1):
        Image.fromarray(COLOURS[row]).save(path)
        os.utime(path, ns=(0, 0))
        found.append(images.encode([path], output="features", cache=cache))
        np.testing.assert_array_equal(found[-1], images.encode(COLOURS[row : row + 1], output="features"))
    assert not np.array_equal(*found)
    path.write_bytes(b"no image")
    read = images.encode([path, COLOURS[2]], on_error="skip", cache=cache)
    assert read.rows.tolist() == [1]
