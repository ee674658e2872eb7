"""Vectors beside codes: what is stored, who may come in, and the order of hits after they were scored again."""

import pickle

import numpy as np
import pytest

from kinbits import ArtefactError, DataError, HashModel, Index, UsageError
from kinbits.backbones import load_backbone
from kinbits.encoding import CodesFile
from kinbits.hamming import pack
from kinbits.heads import build_head
from kinbits.index import IndexOptions
from kinbits.model import Tower

D, BITS = 24, 16


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def world(rng, rows=300):
    """Return vectors and codes of their first signs, which say little."""
    x = rng.normal(size=(rows, D)).astype(np.float32)
    return x, pack(x[:, :BITS] > 0)


def made(keep, x, codes, path=None, **options):
    return Index.create(path, codes, bits=BITS, keep=keep, vectors=x, **options)


def exact(metric, x, q):
    x, q = x.astype(float), q.astype(float)
    if metric == "cosine":
        return 1 - (x @ q) / np.linalg.norm(x, axis=1) / np.linalg.norm(q)
    return -(x @ q) if metric == "inner" else ((x - q) ** 2).sum(1)


@pytest.mark.parametrize("metric", ["cosine", "inner", "euclidean"])
@pytest.mark.parametrize(("keep", "error"), [("float32", 1e-5), ("float16", 0.02), ("int8", 0.3)])
def test_all_candidates_make_the_order_of_the_vectors(keep, error, metric, rng):
    x, codes = world(rng)
    index = made(keep, x, codes, metric=metric)
    hits = index.search(codes[7], k=300, rescore=1, vectors=x[7])
    wanted = exact(metric, x, x[7])
    assert np.allclose(hits.distances, wanted[hits.ids], atol=error)
    assert np.all(np.diff(hits.distances) >= 0)
    assert hits.ids[0] == 7 or metric == "inner"
    assert f"to {keep} vectors, of the 300 nearest by Hamming distance" in repr(hits)


def test_the_candidates_are_the_first_by_codes_and_ties_are_by_id(rng):
    x, codes = world(rng)
    x[1::2] = x[::2]  # pairs of equal vectors
    codes = pack(x[:, :BITS] > 0)
    index = made("float32", x, codes, ids=np.arange(300)[::-1].copy())
    query, vector = pack(-x[3:4, :BITS] > 0)[0], x[3]
    plain = index.search(query, k=40)
    hits = index.search(query, k=10, rescore=4, vectors=vector)
    assert set(hits.ids.tolist()) <= set(plain.ids.tolist())
    away = exact("cosine", x[299 - plain.ids], vector).astype(np.float32)
    assert hits.ids.tolist() == plain.ids[np.lexsort((plain.ids, np.round(away, 5)))][:10].tolist()


@pytest.mark.parametrize("keep", ["int8", "float16", "float32"])
def test_every_change_carries_the_vectors(keep, rng, tmp_path):
    x, codes = world(rng)
    names = [f"n{row:03}" for row in range(300)]
    index = made(keep, x[:100], codes[:100], tmp_path / "a", ids=names[:100], metadata={"row": list(range(100))})
    index.add(codes[100:150], names[100:150], {"row": list(range(100, 150))}, vectors=x[100:150])
    other = made(keep, x[150:], codes[150:], tmp_path / "b", ids=names[150:], metadata={"row": list(range(150, 300))})
    index.merge(other)
    index.delete(names[::7])
    index.add(codes[:1], ["n007"], {"row": [-1]}, upsert=True, vectors=x[:1])
    index.update(names[8:10], {"row": [1000, 1001]})
    index.compact()
    index.verify()
    index.save(tmp_path / "copy")
    for one in (index, Index.open(tmp_path / "a"), Index.open(tmp_path / "copy"), pickle.loads(pickle.dumps(index))):
        for row in (1, 8, 120, 299):
            assert one.search(codes[row], k=1, rescore=300, vectors=x[row]).ids.tolist() == [names[row]]
        found = one.search(codes[0], k=1, rescore=300, vectors=x[0])
        assert found[0]["id"] == "n007"
        assert found[0]["row"] == -1
        filtered = one.search(codes[8], k=300, rescore=1, vectors=x[8], where="row>=1000")
        assert filtered.ids.tolist() == ["n008", "n009"]
    memory = pickle.loads(pickle.dumps(made(keep, x, codes)))
    assert memory.search(codes[5], k=1, rescore=300, vectors=x[5]).ids.tolist() == [5]


def test_items_bring_their_own_vectors(rng, tmp_path):
    x, _ = world(rng)
    head = build_head({"name": "linear", "features": D, "bits": BITS})
    model = HashModel({"image": Tower(load_backbone("features", dim=D), head)})
    index = Index.create(tmp_path / "i", x, model=model, keep="float32")
    assert index.info()["keep"] == {"precision": "float32", "metric": "cosine", "dims": D}
    for distance in ("hamming", "asymmetric"):
        hits = index.search(x[3], k=5, rescore=60, distance=distance)
        assert hits.ids.tolist() == np.argsort(exact("cosine", x, x[3]))[:5].tolist()
        assert f"by {'Hamming' if distance == 'hamming' else distance} distance" in hits.measure
    several = index.search(x[:4], k=2, rescore=10)
    assert [hits.ids[0] for hits in several] == [0, 1, 2, 3]
    with pytest.raises(UsageError, match="keeps vectors, and codes have none; give the items themselves"):
        index.add(model.encode(x[:2]))


def test_an_older_kinbits_and_a_forged_manifest(rng, tmp_path):
    x, codes = world(rng)
    made("int8", x, codes, tmp_path / "a")
    made(None, None, codes, tmp_path / "b")
    assert '"version": 3' in (tmp_path / "a" / "manifest.json").read_text()
    assert '"version": 2' in (tmp_path / "b" / "manifest.json").read_text()
    assert '"keep"' not in (tmp_path / "b" / "manifest.json").read_text()
    vectors = tmp_path / "a" / "000001.vectors"
    raw = bytearray(vectors.read_bytes())
    raw[100] ^= 1
    vectors.write_bytes(raw)
    index = Index.open(tmp_path / "a")
    index.search(codes[0])  # reads no vector
    with pytest.raises(ArtefactError, match=r"000001\.vectors in .* differs from its checksum"):
        index.search(codes[0], rescore=2, vectors=x[0])
    with pytest.raises(ArtefactError, match=r"000001\.vectors"):
        index.verify()


def test_what_does_not_fit_is_refused(rng, tmp_path):
    x, codes = world(rng)
    with pytest.raises(UsageError, match="precision"):
        made("int4", x, codes)
    with pytest.raises(UsageError, match="metric"):
        made("int8", x, codes, metric="manhattan")
    plain, index = made(None, None, codes), made("int8", x, codes)
    with pytest.raises(UsageError, match="keeps no vectors; create it with keep='int8'"):
        plain.add(codes, vectors=x)
    with pytest.raises(UsageError, match="this index keeps none; create one that keeps int8 vectors"):
        plain.search(codes[0], rescore=10, vectors=x[0])
    with pytest.raises(DataError, match="300 items, but 299 vectors"):
        index.add(codes, vectors=x[1:])
    with pytest.raises(DataError, match=r"row 4 of the vectors is not finite"):
        index.add(codes, vectors=np.where(np.arange(300)[:, None] == 4, np.nan, x))
    with pytest.raises(DataError, match=r"23 dimensions, but the index keeps vectors of 24"):
        index.add(codes, vectors=x[:, 1:])
    with pytest.raises(DataError, match=r"query vectors have 23 dimensions"):
        index.search(codes[0], rescore=10, vectors=x[0, 1:])
    with pytest.raises(DataError, match="2 queries, but 1 query vectors"):
        index.search(codes[:2], rescore=10, vectors=x[:1])
    with pytest.raises(UsageError, match="codes have none; give their vectors too"):
        index.search(codes[0], rescore=10)
    for options in ({"radius": 3}, {"text": "a dog"}, {"rerank": 10}, {"rescore": 0}):
        query = None if "text" in options else codes[0]
        with pytest.raises(UsageError, match=r"leave rerank, text and radius out|rescore is 0"):
            index.search(query, **{"rescore": 10, "vectors": x[0], **options})
    with pytest.raises(UsageError, match="rescore"):
        index.search(codes[0], vectors=x[0])
    with pytest.raises(UsageError, match="give it, and not vectors= alone"):
        index.search(None, rescore=2, vectors=x[0])
    for wrong in (x.astype(str), x.astype(complex), [[1, 2], [3]]):
        with pytest.raises(DataError, match="no array of real numbers"):
            index.add(codes, vectors=wrong)
    for keep, small in (("float16", 1e-9), ("int8", 1e-44)):
        with pytest.raises(DataError, match=f"too small for {keep}"):
            made(keep, x * small, codes)
    with pytest.raises(UsageError, match="metric"):
        Index.create(None, codes, bits=BITS, metric="inner")
    with pytest.raises(DataError, match="beyond 65504"):
        made("float16", x * 1e6, codes)
    with pytest.raises(ArtefactError, match=r"the other index keeps vectors: none, this one: int8, cosine, 24 dim"):
        index.merge(plain)
    with pytest.raises(UsageError, match="give the items themselves, or their vectors"):
        index.add(CodesFile(codes, np.arange(300) + 1000, BITS))
    made("int8", x, codes, tmp_path / "i")
    with pytest.raises(UsageError, match="keeps vectors: int8, cosine, 24 dimensions, not none"):
        Index.create(tmp_path / "i", bits=BITS, exist_ok=True)
    assert len(Index.create(tmp_path / "i", bits=BITS, keep="int8", exist_ok=True)) == 300


def test_an_empty_index_takes_the_length_of_the_first_vectors_or_of_another_index(rng, tmp_path):
    x, codes = world(rng)
    empty = Index.create(tmp_path / "e", bits=BITS, keep="int8")
    assert len(empty.search(codes[0], rescore=10, vectors=x[0])) == 0
    empty.merge(made("int8", x, codes))
    assert Index.open(tmp_path / "e").search(codes[2], k=1, rescore=300, vectors=x[2]).ids.tolist() == [2]
    zeros = made("int8", np.zeros_like(x), codes)
    assert zeros.search(codes[0], k=3, rescore=1, vectors=x[0]).distances.tolist() == [1, 1, 1]


def test_recall_of_every_stage_is_that_of_a_loop(rng, tmp_path):
    x, _ = world(rng, 250)
    x[5] = x[6]
    head = build_head({"name": "linear", "features": D, "bits": BITS})
    model = HashModel({"image": Tower(load_backbone("features", dim=D), head)})
    index = Index.create(tmp_path / "i", x[:150], model=model, keep="float32", options=IndexOptions(merge_rows=1))
    index.add(x[150:])
    index.delete([3, 77])
    assert index.info()["segments"] == 2
    found = index.recall(k=5, sample=1000, rescore=4)
    living = [row for row in range(250) if row not in (3, 77)]
    assert found.queries == len(living)
    for stage, options in (("hamming", {}), ("asymmetric", {"distance": "asymmetric"})):
        shares = []
        for row in living:
            away = exact("cosine", x, x[row]).astype(np.float32)
            near = sorted((other for other in living if other != row), key=lambda o: (away[o], o))[:5]
            hits = [one for one in index.search(x[row], k=6, **options).ids.tolist() if one != row][:5]
            shares.append(len(set(near) & set(hits)) / 5)
        assert found.stages[stage] == pytest.approx(np.mean(shares), abs=0.003)
        assert found.stages[f"{stage}, rescore 4"] > found.stages[stage]
    assert "recall@5 of neighbours by kept vectors, 248 items as queries" in str(found)
    assert index.recall(k=5, sample=20).queries == 20
    codes = model.encode(x)
    alone = Index.create(None, codes, bits=BITS, keep="int8", vectors=x).recall(k=5, rescore=50)
    assert set(alone.stages) == {"hamming", "hamming, rescore 50"}
    assert alone.stages["hamming, rescore 50"] > 0.95
    with pytest.raises(UsageError, match="keeps none"):
        Index.create(None, codes, bits=BITS).recall()
    with pytest.raises(DataError, match="more than 10 items"):
        Index.create(None, codes[:10], bits=BITS, keep="int8", vectors=x[:10]).recall()
    with pytest.raises(UsageError, match="k=0"):
        index.recall(k=0)


def test_large_small_and_nearly_equal_vectors_keep_their_order():
    codes = np.zeros((3, 2), np.uint8)
    far = np.array([[3e19, 0], [2e19, 0], [1.9e19, 0]], np.float32)
    for scale in (1, 1e-43):
        index = made("float32", far * np.float32(scale), codes, metric="euclidean")
        assert index.search(codes[0], k=3, rescore=1, vectors=np.zeros(2)).ids.tolist() == [2, 1, 0]
    close = np.array([[1e4, 0], [1e4, 1e-4], [1e4, 2e-4]], np.float32)
    index = made("float32", close, codes, metric="inner")
    assert index.search(codes[0], k=3, rescore=1, vectors=[1e4, 1e4]).ids.tolist() == [2, 1, 0]
    largest = np.finfo(np.float32).max
    index = made("int8", np.array([[largest, 0], [0, largest], [-largest, 1]], np.float32), codes)
    hits = index.search(codes[0], k=3, rescore=1, vectors=[largest, 0])
    assert hits.ids.tolist() == [0, 1, 2]
    assert hits.distances.tolist() == pytest.approx([0, 1, 2])


def test_a_model_of_vectors_finds_candidates_of_items_with_other_vectors(rng):
    x, _ = world(rng)
    head = build_head({"name": "linear", "features": D, "bits": BITS})
    model = HashModel({"image": Tower(load_backbone("features", dim=D), head)})
    index = Index.create(None, x, model=model, keep="float32", vectors=x[:, :8])
    assert [hits.ids[0] for hits in index.search(x[:2], k=3, rescore=100, vectors=x[:2, :8])] == [0, 1]
    assert index.search(x[0], k=3, rescore=100, vectors=x[0, :8]).ids[0] == 0
    turned = np.linalg.qr(rng.normal(size=(D, D)))[0].astype(np.float32)
    other = Index.create(None, model.encode(x), model=model, keep="int8", vectors=x @ turned)
    assert set(other.recall(5).stages) == {"hamming", "hamming, rescore 10"}  # the model read other vectors
    product = Index.create(None, np.zeros((20, 2), np.uint8), bits=16, words=16, keep="int8", vectors=x[:20])
    with pytest.raises(UsageError, match="no model is here that made them"):
        product.recall(5)


def test_an_emptied_index_takes_vectors_of_another_length(rng):
    x, codes = world(rng)
    index = made("int8", x[:5], codes[:5])
    index.delete([0, 1, 2, 3, 4])
    index.add(codes[:3], vectors=x[:3, :7])
    assert index.info()["keep"]["dims"] == 7
    index.delete([5, 6, 7])
    index.merge(made("int8", x, codes))
    assert index.info()["keep"]["dims"] == D
