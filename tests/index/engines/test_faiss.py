"""faiss behind our interface: what it promises, what it says about itself, and what a crash leaves."""

import json
import multiprocessing
import pickle
import sys
from functools import partial

import numpy as np
import pytest

from kinbits import hamming
from kinbits.errors import ArtefactError, PlatformError, UsageError
from kinbits.index import Index, create_index, open_index
from kinbits.index.engines.faiss_graph import Sidecar
from kinbits.testing import check_index

ENGINES = ("faiss-hnsw", "faiss-ivf")
RNG = np.random.default_rng(0)
CODES = RNG.integers(0, 256, (3000, 8), dtype=np.uint8)
QUERIES = CODES[:20] ^ (1 << RNG.integers(0, 8, (20, 8))).astype(np.uint8)


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.param


def filled(engine, place=None, **options):
    index = create_index(place, engine=engine, bits=64, exact_below=100, **options)
    return index.add(CODES, metadata={"year": [2000 + i % 20 for i in range(len(CODES))]})


def test_the_engine_conforms(engine, tmp_path):
    make = partial(create_index, engine=engine, exact_below=1)
    check_index(make, open_index=open_index, folder=tmp_path, bits=(13, 64))


def test_the_engine_conforms_in_memory(engine):
    check_index(partial(create_index, engine=engine, exact_below=1), open_index=open_index, bits=(13,))


def test_few_items_are_searched_exactly(engine):
    index = create_index(engine=engine, bits=64)
    index.add(CODES)
    exact, _ = hamming.topk(QUERIES, CODES, 10)
    assert np.array_equal(index.search(QUERIES).distances, exact)
    assert index.info()["recall@10"] is None
    assert "fewer than 10000" in repr(index)


def test_the_measured_recall_is_shown_and_is_the_truth(engine):
    index = filled(engine)
    shown = index.info()["recall@10"]
    assert f"recall@10 {shown:.3f} of 3000 items" in repr(index)
    assert shown == index.recall()
    picked = CODES[np.random.default_rng(0).permutation(len(CODES))[:100]]
    exact, _ = hamming.topk(picked, CODES, 10)
    found = index.search(picked, k=10).distances
    assert shown == np.mean([near <= last for near, last in zip(found, exact[:, -1], strict=True)])


def test_the_index_of_an_engine_is_not_merged():
    with pytest.raises(UsageError, match=r"merge\(\) takes an index of kinbits' own format, not FaissIvf"):
        Index.create(bits=64).merge(filled("faiss-ivf"))


def test_searching_wider_finds_more():
    narrow = filled("faiss-ivf", nprobe=1).recall()
    assert narrow < 0.6 < filled("faiss-ivf", nprobe=10_000).recall() == 1
    assert filled("faiss-hnsw", m=4, ef_construction=8, ef_search=1).recall() < filled("faiss-hnsw").recall()


def test_the_search_width_can_be_changed_at_opening_and_the_shape_cannot(tmp_path):
    filled("faiss-ivf", tmp_path / "x", nprobe=1)
    assert open_index(tmp_path / "x", nprobe=10_000).recall() == 1
    with pytest.raises(UsageError, match="nlist cannot change"):
        open_index(tmp_path / "x", nlist=7)


def test_filters_and_radii_are_complete(engine):
    index, exact = (
        filled(engine, **({"nprobe": 1} if engine == "faiss-ivf" else {"ef_search": 1})),
        Index.create(bits=64),
    )
    exact.add(CODES, metadata={"year": [2000 + i % 20 for i in range(len(CODES))]})
    for asked in ({"k": 50, "where": "year=2003"}, {"radius": 20}, {"radius": 22, "k": 3, "where": "year>2010"}):
        for mine, true in zip(index.search(QUERIES, **asked), exact.search(QUERIES, **asked), strict=True):
            assert mine.to_dicts() == true.to_dicts()


def test_deleting_a_whole_neighbourhood_leaves_no_query_short(engine):
    index = create_index(engine=engine, bits=64, exact_below=1)
    crowd = np.zeros((500, 8), np.uint8)  # where the query lies, nothing will live
    index.add(np.concatenate([crowd, CODES[:500]]))
    index.delete(list(range(500)))
    hits = index.search(crowd[0], k=20)
    assert len(hits) == 20
    assert hits.ids.min() >= 500


def test_replaced_items_are_found_by_their_new_code_alone(engine):
    index = filled(engine)
    index.add(~CODES[:5], ids=list(range(5)), upsert=True)
    assert [index.search(~CODES[i], k=1).ids[0] for i in range(5)] == list(range(5))
    assert all(index.search(CODES[i], k=1).ids[0] != i for i in range(5))
    assert index.info()["dead rows"] == 5
    assert index.compact().info()["dead rows"] == 0


def test_lists_are_trained_again_when_the_collection_has_outgrown_them():
    index = create_index(engine="faiss-ivf", bits=64, exact_below=100)
    index.add(CODES[:100])
    assert "of 100 items" in repr(index)
    index.add(CODES[100:])
    assert "of 3000 items" in repr(index)


def test_a_writer_killed_before_faiss_was_written_costs_speed_and_no_answer(engine, tmp_path, monkeypatch):
    index = filled(engine, tmp_path / "x")
    monkeypatch.setattr(Sidecar, "write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        index.add(~CODES[:1], ids=[10**6])
    monkeypatch.undo()
    with pytest.warns(RuntimeWarning, match=r"exact, but slow.*interrupted.*rebuild\(\)"):
        opened = open_index(tmp_path / "x")
    assert opened.search(~CODES[0], k=1).ids.tolist() == [10**6]
    assert "outdated" in repr(opened)
    opened.rebuild()
    assert "approximate" in repr(open_index(tmp_path / "x"))


def test_a_damaged_graph_is_named_and_never_loaded(engine, tmp_path):
    filled(engine, tmp_path / "x")
    (path,) = (tmp_path / "x").glob("graph-*.faiss")
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.warns(RuntimeWarning, match=f"{path.name} differs from its checksum"):
        index = open_index(tmp_path / "x")
    with pytest.raises(ArtefactError, match=path.name):
        index.verify()
    index.rebuild().verify()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"engine": 1}', '{"engine": "faiss-hnsw", "format": 9}', "\0"])
def test_a_damaged_description_is_an_error_that_names_it(tmp_path, text):
    filled("faiss-hnsw", tmp_path / "x")
    (tmp_path / "x" / "engine.json").write_text(text)
    with pytest.raises((ArtefactError, UsageError)):
        open_index(tmp_path / "x")


@pytest.mark.parametrize(
    "change", [{"files": {}}, {"files": {"faiss": ["../../etc/passwd", "0"]}}, {"generation": "x"}, []]
)
def test_a_nonsense_description_of_the_graph_costs_speed_and_no_answer(tmp_path, change):
    filled("faiss-hnsw", tmp_path / "x")
    path = tmp_path / "x" / "engine.json"
    found = json.loads(path.read_text())
    found["graph"] = {**found["graph"], **change} if change else change
    path.write_text(json.dumps(found))
    with pytest.warns(RuntimeWarning, match="rebuild"):
        index = open_index(tmp_path / "x")
    assert index.search(CODES[7], k=1).ids.tolist() == [7]


def test_a_graph_of_another_index_is_not_taken_for_ones_own(tmp_path):
    other = create_index(tmp_path / "other", engine="faiss-hnsw", bits=256, exact_below=1)
    other.add(np.tile(CODES[:50], 4))
    filled("faiss-hnsw", tmp_path / "x")
    graph = json.loads((tmp_path / "other" / "engine.json").read_text())["graph"]
    for name, _ in graph["files"].values():
        (tmp_path / "other" / name).rename(tmp_path / "x" / name)
    path = tmp_path / "x" / "engine.json"
    own = json.loads(path.read_text())
    for items, told in ((graph["items"], "belongs to other items"), (own["graph"]["items"], "do not belong together")):
        path.write_text(json.dumps({**own, "graph": {**graph, "items": items}}))
        with pytest.warns(RuntimeWarning, match=told):
            index = open_index(tmp_path / "x")
        assert index.search(CODES[7], k=1).ids.tolist() == [7]


def test_a_folder_that_was_swapped_is_not_written_over(engine, tmp_path):
    index = filled(engine, tmp_path / "x")
    create_index(tmp_path / "y", engine=engine, bits=64, exact_below=50).add(CODES[:60, :8])
    (tmp_path / "x").rename(tmp_path / "aside")
    (tmp_path / "y").rename(tmp_path / "x")
    before = (tmp_path / "x" / "engine.json").read_bytes()
    with pytest.raises(ArtefactError, match="created again; open it"):
        index.delete([1])
    assert (tmp_path / "x" / "engine.json").read_bytes() == before
    open_index(tmp_path / "x").verify()


def searches(index, results):
    results.put(index.search(CODES[7], k=3).ids.tolist())


def test_a_forked_child_searches_with_the_index_of_its_parent(engine, tmp_path):
    index = filled(engine, tmp_path / "x")
    queries = CODES[:500]
    index.search(queries, k=3)  # OpenMP has its threads now
    context = multiprocessing.get_context("fork")
    for _ in range(3):
        results = context.SimpleQueue()
        child = context.Process(target=searches, args=(index, results))
        child.start()
        child.join(20)
        alive = child.is_alive()
        if alive:
            child.kill()
        assert not alive
        assert results.get() == index.search(CODES[7], k=3).ids.tolist()


def test_an_index_travels_by_its_path(engine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    index = filled(engine, "x")
    monkeypatch.chdir("/")
    copy = pickle.loads(pickle.dumps(index))
    assert copy.search(CODES[7], k=3).ids.tolist() == index.search(CODES[7], k=3).ids.tolist()
    with pytest.raises(UsageError, match="in memory cannot be pickled"):
        pickle.dumps(filled(engine))


def test_only_the_files_of_the_last_change_stay(engine, tmp_path):
    index = filled(engine, tmp_path / "x")
    index.delete([1, 2]).delete([3])
    assert len(list((tmp_path / "x").glob("graph-*"))) == 4


def test_wrong_options_and_places_say_what_is_right(tmp_path):
    with pytest.raises(UsageError, match="ef_search"):
        create_index(engine="faiss-hnsw", bits=64, ef_serch=3)
    for value in (0, -1, 1.5, "8"):
        with pytest.raises(UsageError, match="nprobe"):
            create_index(engine="faiss-ivf", bits=64, nprobe=value)
    with pytest.raises(UsageError, match="faiss-hnsw"):
        create_index(engine="faiss-hnws", bits=64)
    with pytest.raises(UsageError, match="bits=64"):
        create_index(engine="faiss-hnsw")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "mine.txt").write_text("")
    for action in (
        partial(create_index, engine="faiss-hnsw", bits=64),
        create_index(engine="faiss-hnsw", bits=64).save,
    ):
        with pytest.raises(UsageError, match=r"is no empty folder|an index lies"):
            action(tmp_path / "x")


def test_the_number_of_lists_is_checked_when_the_index_is_made(tmp_path):
    for value in (-3, 1.5, "x", None, True):
        with pytest.raises(UsageError, match="nlist"):
            create_index(tmp_path / "x", engine="faiss-ivf", bits=64, nlist=value)
    assert not (tmp_path / "x").exists()
    assert filled("faiss-ivf", nlist=0)._graph.searcher.index.nlist == int(4 * 3000**0.5) + 1
    assert filled("faiss-ivf", tmp_path / "x", nlist=np.int64(7))._graph.searcher.index.nlist == 7
    assert open_index(tmp_path / "x").info()["options"]["nlist"] == 7


def test_lists_without_a_number_in_an_older_description_are_automatic(tmp_path):
    filled("faiss-ivf", tmp_path / "x")
    path = tmp_path / "x" / "engine.json"
    found = json.loads(path.read_text())
    path.write_text(json.dumps({**found, "options": {**found["options"], "nlist": None}}))
    index = open_index(tmp_path / "x")
    assert index.info()["options"]["nlist"] == 0
    assert index.add(~CODES[:5]).search(~CODES[0], k=1).ids.tolist() == [3000]


def test_a_machine_without_faiss_is_told_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(PlatformError, match=r"pip install 'kinbits\[faiss\]'"):
        create_index(engine="faiss-hnsw", bits=64)


def test_an_opened_index_follows_its_first_change(engine, tmp_path):
    filled(engine, tmp_path / "x")
    for change in range(3):  # each swallows the small segments before it
        index = open_index(tmp_path / "x")
        index.add(~CODES[change : change + 1], ids=[10**6 + change])
        index.add(CODES[change : change + 1] ^ 1, ids=[change], upsert=True)
    index = open_index(tmp_path / "x").delete([10**6])
    assert "approximate" in repr(index)
    assert [index.search(~CODES[i], k=1).ids[0] for i in (1, 2)] == [10**6 + 1, 10**6 + 2]
    assert index.search(CODES[1] ^ 1, k=1).ids.tolist() == [1]


def crowded(engine, place=None):
    """Twenty items on each of 150 codes: as separate nodes of a graph they would be each other's only neighbours."""
    rng = np.random.default_rng(1)
    centres = rng.integers(0, 256, (150, 4), dtype=np.uint8)
    codes = centres[rng.permutation(np.repeat(np.arange(150), 20))]
    index = create_index(place, engine=engine, bits=32, exact_below=100)
    queries = centres[:40] ^ (1 << rng.integers(0, 8, (40, 4))).astype(np.uint8)
    return index.add(codes), codes, queries


def test_items_of_equal_codes_share_a_node_and_are_all_found(engine):
    index, codes, queries = crowded(engine)
    exact, rows = hamming.topk(queries, codes, 60)
    assert index._graph.searcher.index.ntotal == 150
    for k in (5, 60):
        hits = index.search(queries, k=k)
        assert np.mean([h.distances == near[:k] for h, near in zip(hits, exact, strict=True)]) > 0.97
    assert index.search(queries[0], k=5).ids.tolist() == rows[0, :5].tolist()  # of one code the lowest ids


def test_a_shared_node_lives_as_long_as_one_of_its_items(engine, tmp_path):
    index, codes, _ = crowded(engine, tmp_path / "x")
    same = np.flatnonzero((codes == codes[0]).all(1))
    index.delete(same[:-1])
    assert index.search(codes[0], k=1).ids.tolist() == [same[-1]]
    index.add(codes[:1], ids=[9000])
    assert index._graph.searcher.index.ntotal == 150
    for one in (index, open_index(tmp_path / "x")):
        assert one.search(codes[0], k=2).ids.tolist() == [same[-1], 9000]
    index.delete([int(same[-1]), 9000])
    assert index.search(codes[0], k=1).distances[0] > 0
    index.add(codes[:1], ids=[9001])
    assert index.search(codes[0], k=1).ids.tolist() == [9001]
    assert index.search(codes[1], k=20).ids.tolist() == np.flatnonzero((codes == codes[1]).all(1)).tolist()


def test_replacing_a_code_moves_the_item_to_another_node(engine):
    index, codes, _ = crowded(engine)
    other = np.flatnonzero((codes != codes[0]).any(1))[0]
    index.add(codes[other][None], ids=[0], upsert=True)
    expected = np.flatnonzero((codes == codes[other]).all(1)).tolist()
    assert index.search(codes[other], k=21).ids.tolist() == sorted([0, *expected])
    assert 0 not in index.search(codes[0], k=19).ids
