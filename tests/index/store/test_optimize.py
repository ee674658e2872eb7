"""Search tables make large segments fast and change no answer; they may be lost, and are built anew."""

import numpy as np
import pytest

from kinbits.errors import ArtefactError, UsageError
from kinbits.index import Index, IndexOptions

STRATEGIES = ("auto", "scan", "grouped", "multi-index")


SMALL = IndexOptions(merge_rows=50, table_rows=100)  # small segments count as large


def opened(path):
    return Index.open(path, options=SMALL)


def some_codes(rows, bits=24, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 256, (40, bits // 8), dtype=np.uint8)
    return centres[rng.integers(0, 40, rows)] ^ (1 << rng.integers(0, 9, (rows, bits // 8))).astype(np.uint8)


def filled(path=None, text=False):
    """Two large segments and a small one, with deletions."""
    codes = some_codes(730)
    index = Index.create(path, bits=24, options=SMALL)
    for rows in (range(0, 730, 2), range(1, 700, 2), range(701, 730, 2)):
        ids = [f"é{row}" for row in rows] if text else list(rows)
        index.add(codes[list(rows)], ids=ids, metadata={"n": list(rows)})
    return index.delete([f"é{row}" for row in range(50, 90)] if text else range(50, 90))


def answers(index, **options):
    queries = some_codes(5, seed=1)
    asked = (
        {"k": 7},
        {"radius": 4},
        {"k": 3, "radius": 9},
        {"k": 9, "where": "n>=300"},
        {"radius": 5, "where": "n<70"},
    )
    return [hits.to_dicts() for one in asked for hits in index.search(queries, **one, **options)]


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("folder", [False, True])
def test_answers_are_the_same_with_tables_and_by_every_strategy(tmp_path, folder, text):
    index = filled(tmp_path / "x" if folder else None, text)
    before = answers(index)
    assert index.info()["tables"] == 0
    index.optimize()
    assert index.info()["tables"] == 2
    for one in (index, opened(tmp_path / "x")) if folder else (index,):
        for strategy in STRATEGIES:
            assert answers(one, strategy=strategy) == before
        one.verify()


def test_changes_leave_the_tables_of_other_segments_as_they_are(tmp_path):
    index = filled(tmp_path / "x").optimize()
    files = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "x").glob("*.tables.*")}
    index.add(some_codes(200, seed=3), ids=range(1000, 1200), metadata={"n": range(1000, 1200)})
    index.delete(range(100, 130))
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "x").glob("*.tables.*")} == files
    plain = Index.create(bits=24).merge(index)
    assert plain.info()["tables"] == 0
    assert answers(opened(tmp_path / "x")) == answers(plain)
    index.optimize().optimize()
    assert index.info()["tables"] == 3
    generation = index.info()["generation"]
    assert index.optimize().info()["generation"] == generation  # nothing left to do
    assert index.compact().info()["tables"] == 0
    assert not list((tmp_path / "x").glob("*.tables.*"))
    assert answers(index.optimize()) == answers(plain)


def flip(path):
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 16
    path.write_bytes(raw)


@pytest.mark.parametrize(
    "damage", [flip, lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:-1])]
)
def test_lost_or_damaged_tables_raise_with_the_remedy_which_builds_them_anew(tmp_path, damage):
    before = answers(filled(tmp_path / "x").optimize())
    damage(sorted((tmp_path / "x").glob("*.tables.*"))[0])
    with pytest.raises(ArtefactError, match=r"000001\.tables\.\d+.*optimize"):
        opened(tmp_path / "x").search(some_codes(1)[0])
    with pytest.raises(ArtefactError, match=r"000001\.tables\.\d+.*optimize"):
        opened(tmp_path / "x").verify()
    assert answers(opened(tmp_path / "x").optimize()) == before
    index = opened(tmp_path / "x")
    assert answers(index) == before
    index.verify()


def test_a_reader_takes_tables_up_when_it_refreshes(tmp_path):
    writer = filled(tmp_path / "x")
    reader = opened(tmp_path / "x")
    before = answers(reader)
    writer.optimize()
    assert reader.info()["tables"] == 0
    assert answers(reader) == before
    assert reader.refresh().info()["tables"] == 2
    assert answers(reader, strategy="multi-index") == before


def test_a_strategy_that_cannot_be_taken_says_why():
    index = filled()
    with pytest.raises(UsageError, match=r"optimize\(\)"):
        index.search(some_codes(1)[0], strategy="multi-index")
    with pytest.raises(UsageError, match="did you mean multi-index"):
        index.search(some_codes(1)[0], strategy="multiindex")
    assert Index.create(bits=24).search(some_codes(1)[0], strategy="grouped").ids.size == 0


def test_explain_tells_for_every_segment_what_is_done_and_why():
    index = filled()
    assert str(index.explain()).count("optimize") == 2
    plan = index.optimize().explain(k=5, queries=3)
    assert [segment.rows for segment in plan.segments] == [365, 350, 15]
    assert plan.segments[0].strategy in STRATEGIES
    assert "substrings" in str(plan)
    assert str(plan).endswith("it is too small for search tables")
    assert "empty" in str(Index.create(bits=24).explain(radius=3))
    with pytest.raises(UsageError, match="queries="):
        index.explain(k=5, queries=-1)


def all_pairs(index):
    return sorted(tuple(pair) for chunk in index for pair in zip(*(part.tolist() for part in chunk), strict=True))


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("radius", [0, 2, 5])
@pytest.mark.parametrize("where", [None, "n>=300"])
def test_pairs_are_those_of_a_comparison_of_all_with_all(text, radius, where):
    index, codes = filled(text=text), some_codes(730)
    kept = [row for row in range(730) if not 50 <= row < 90 and (where is None or row >= 300)]
    names = {row: f"é{row}" if text else row for row in kept}
    bits = np.unpackbits(codes[kept], axis=1).astype(np.int64)
    distances = (bits[:, None, :] != bits[None, :, :]).sum(axis=2)
    expected = sorted(
        (*sorted((names[kept[a]], names[kept[b]])), int(distances[a, b]))
        for a, b in zip(*np.nonzero(np.triu(distances <= radius, 1)), strict=True)
    )
    assert all_pairs(index.pairs(radius, where)) == expected  # over three segments
    assert all_pairs(index.compact().pairs(radius, where)) == expected  # one, without tables
    assert all_pairs(index.optimize().pairs(radius, where)) == expected  # one, with tables


def test_pairs_of_nothing_and_wrong_arguments():
    empty = Index.create(bits=24)
    assert all_pairs(empty.pairs(3)) == []
    assert all_pairs(empty.add(some_codes(1)).pairs(24)) == []
    for call in (lambda: empty.pairs(-1), lambda: empty.pairs(1.5), lambda: empty.pairs(1, "n=1")):
        with pytest.raises(UsageError):
            call()
