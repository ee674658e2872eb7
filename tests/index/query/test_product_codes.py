"""An index of product codes: everything that an index of bits promises, but Hamming distances."""

import copy
import pickle
import shutil

import numpy as np
import pytest

from kinbits import ArtefactError, Index, UsageError, fit
from kinbits.encoding import CodesFile, read_codes, write_codes
from kinbits.hamming import table_shape
from kinbits.index import create_index

KINDS = [(64, 16), (20, 16), (24, 256)]


def parts_of(codes, words):
    return codes if words == 256 else np.stack([codes >> 4, codes & 15], axis=2).reshape(len(codes), -1)


def made(bits, words, rows, seed=0):
    """Return random product codes whose pad bits are 0, with many equal ones."""
    codes = np.random.default_rng(seed).integers(0, 256, (rows, -(-bits // 8)), np.uint8)
    codes[rows // 2 :] = codes[: rows - rows // 2]
    if bits % 8:
        codes[:, -1] &= 0xF0
    return codes


def tables_for(bits, words, queries, seed=1):
    return np.random.default_rng(seed).standard_normal((queries, *table_shape(bits, words))).astype(np.float32)


def nearest(tables, codes, ids, words, k):
    parts, found = parts_of(codes, words), []
    for table in tables:
        sums = np.zeros(len(codes), np.float32)
        for part in range(parts.shape[1]):
            sums += table[part, parts[:, part]]
        order = np.lexsort((ids, sums))[:k]
        found.append((ids[order].tolist(), sums[order].tolist()))
    return found


@pytest.fixture(params=KINDS, ids=str)
def kind(request):
    return request.param


def check(index, tables, codes, ids, words, k=15, **options):
    for hits, (wanted, distances) in zip(
        index.search(tables, k=k, **options), nearest(tables, codes, ids, words, k), strict=True
    ):
        assert hits.ids.tolist() == wanted
        assert hits.distances.tolist() == distances


def test_add_delete_upsert_compact_reopen_and_merge(kind, tmp_path):
    bits, words = kind
    codes, ids, tables = made(bits, words, 300), np.arange(300), tables_for(bits, words, 4)
    index = Index.create(tmp_path / "index", bits=bits, words=words)
    index.add(codes[150:], ids=ids[150:]).add(codes[:150], ids=ids[:150])
    check(index, tables, codes, ids, words)
    index.delete(ids[:40])
    other = made(bits, words, 20, seed=5)
    index.add(other, ids=ids[100:120], upsert=True)
    codes[100:120] = other
    check(index, tables, codes[40:], ids[40:], words)
    index.compact()
    again = Index.open(tmp_path / "index")
    assert (again.bits, again.words) == kind
    check(again, tables, codes[40:], ids[40:], words)
    assert again.ids().tolist() == ids[40:].tolist()
    more = made(bits, words, 30, seed=9)
    again.merge(Index.create(bits=bits, words=words).add(more, ids=np.arange(900, 930)))
    check(again, tables, np.concatenate([codes[40:], more]), np.r_[ids[40:], 900:930], words)
    again.verify()


def test_filters_and_radius(kind):
    bits, words = kind
    codes, tables = made(bits, words, 200), tables_for(bits, words, 3)
    even = np.arange(0, 200, 2)
    index = Index.create(bits=bits, words=words).add(codes, metadata={"even": [i % 2 == 0 for i in range(200)]})
    check(index, tables, codes[even], even, words, where="even=true")
    full = index.search(tables, k=200)
    radius = float(full[0].distances[20])
    within = index.search(tables[:1], radius=radius)[0]
    assert within.ids.tolist() == full[0].ids[: np.sum(full[0].distances <= radius)].tolist()


def test_copies_and_files_keep_the_kind(kind, tmp_path):
    bits, words = kind
    codes, tables = made(bits, words, 50), tables_for(bits, words, 2)
    index = Index.create(bits=bits, words=words).add(codes)
    for other in (pickle.loads(pickle.dumps(index)), copy.deepcopy(index)):
        assert other.words == words
        check(other, tables, codes, np.arange(50), words)
    index.save(tmp_path / "saved")
    assert Index.open(tmp_path / "saved").words == words
    write_codes(tmp_path / "codes.parquet", index.to_codes())
    read = read_codes(tmp_path / "codes.parquet")
    assert (read.bits, read.words) == kind
    check(Index.create(items=read), tables, codes, np.arange(50), words)


def test_it_says_what_it_is(kind):
    bits, words = kind
    index = Index.create(bits=bits, words=words)
    assert repr(index) == f"Index(0 items, {bits} bits in parts of {words} words, memory)"
    assert index.info()["words"] == words
    assert f"parts of {words} words" in repr(CodesFile(made(bits, words, 2), np.arange(2), bits, words=words))
    index.add(made(bits, words, 3))
    assert f"{words} words" in index._repr_html_()


def test_kinds_do_not_mix(tmp_path):
    product, plain = (Index.create(bits=16, words=words).add(np.zeros((2, 2), np.uint8)) for words in (16, None))
    message = r"16-bit product codes \(4 parts of 16 words\)"
    with pytest.raises(ArtefactError, match=message):
        plain.merge(product)
    with pytest.raises(ArtefactError, match=message):
        plain.add(product.to_codes())
    with pytest.raises(ArtefactError, match=message):
        product.add(plain.to_codes())
    with pytest.raises(ArtefactError, match=message):
        plain.search(product.to_codes())
    Index.create(tmp_path / "index", bits=16, words=16)
    with pytest.raises(UsageError, match=message):
        Index.create(tmp_path / "index", bits=16, exist_ok=True)
    with pytest.raises(ArtefactError, match=message):
        create_index(engine="faiss-hnsw", bits=16).add(product.to_codes())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda index: index.search(np.zeros(2, np.uint8), distance="hamming"),
            "product codes have no Hamming distance",
        ),
        (
            lambda index: list(index.pairs(1)),
            "pairs are found by Hamming distances of bits, .* holds 16-bit product codes .* method itq",
        ),
        (
            lambda index: index.optimize(),
            "search tables are for Hamming distances of bits, .* a search reads all codes",
        ),
        (lambda index: index.explain(), "strategies are for Hamming distances of bits"),
        (lambda index: index.search(np.zeros(2, np.uint8)), "needs the index's model"),
        (lambda index: index.search(np.zeros((1, 4, 16), np.float32), strategy="grouped"), "finds Hamming distances"),
    ],
)
def test_what_only_bits_can_do_is_refused(call, message):
    index = Index.create(bits=16, words=16).add(np.zeros((2, 2), np.uint8))
    with pytest.raises(UsageError, match=message):
        call(index)


@pytest.mark.parametrize(
    ("bits", "words", "message"),
    [
        (18, 16, "give a multiple of 4"),
        (20, 256, "give a multiple of 8"),
        (16, 10, "give 2 for bits, 16 or 256"),
    ],
)
def test_a_length_that_parts_do_not_fill_is_refused(bits, words, message):
    with pytest.raises(UsageError, match=message):
        Index.create(bits=bits, words=words)


def test_the_manifest_of_bits_is_as_before_and_a_wrong_kind_is_damage(tmp_path):
    Index.create(tmp_path / "bits", bits=16)
    before = (tmp_path / "bits" / "manifest.json").read_text()
    assert "words" not in before
    assert '"version": 2' in before
    Index.create(tmp_path / "product", bits=16, words=16)
    path = tmp_path / "product" / "manifest.json"
    assert '"version": 3' in path.read_text()  # an earlier kinbits says that it is too old
    path.write_text(path.read_text().replace('"words": 16', '"words": 256'))
    with pytest.raises(ArtefactError, match="checksum"):
        Index.open(tmp_path / "product")


@pytest.mark.parametrize(
    ("method", "bits", "metric", "measure"),
    [
        ("pq", 16, "euclidean", "squared Euclidean distance to product codes, in the unit of the method"),
        ("pq", 16, "cosine", "squared Euclidean distance of vectors of length 1 to product codes, in the unit of the"),
        ("pq", 16, "inner", "minus the inner product with product codes"),
        ("rabitq", 112, "inner", "minus the inner product, estimated by scaled codes"),
        ("rabitq", 112, "cosine", "1 - cosine, estimated by scaled codes"),
    ],
)
def test_hits_say_what_their_distances_are(method, bits, metric, measure, tmp_path):
    vectors = np.random.default_rng(0).normal(size=(300, 16)).astype(np.float32)
    model = fit(vectors, method=method, bits=bits, params={"metric": metric}, progress=False)
    model.save_pretrained(tmp_path / "model")
    Index.create(tmp_path / "index", vectors, model=model)
    index, tables = Index.open(tmp_path / "index"), model.encode(vectors[:2], output="tables")
    assert all(hits.measure.startswith(measure) for hits in index.search(tables))
    assert "loaded" not in vars(index._model)
    for hits in (index.search(vectors[0]), Index.create(model=model).add(vectors).search(vectors[0])):
        assert hits.measure.startswith(measure)
        assert pickle.loads(pickle.dumps(hits)).measure == hits.measure
        assert f"distance: {measure}" in repr(hits)
    shutil.rmtree(tmp_path / "model")
    kind = "scaled" if method == "rabitq" else "product"
    assert f"{kind} codes" in Index.open(tmp_path / "index").search(tables)[0].measure


def test_distances_of_bits_need_no_words():
    codes = np.zeros((3, 2), np.uint8)
    assert Index.create(bits=16).add(codes).search(codes[0]).measure == ""
