"""Words find images by their classes: the order, filters, every change of an index, and what is refused."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinbits import ArtefactError, DataError, Index, UsageError
from kinbits.backbones import Concepts, TextClasses
from kinbits.encoding import CodesFile
from kinbits.index import IndexOptions

CLASSES = 1000


class Space:
    """Stands for the class space: a text is the numbers of classes, each with a weight: "3:1 5:0.5"."""

    names = tuple(f"class {number}" for number in range(CLASSES))

    def weigh(self, texts):
        weights = np.zeros((len(texts), CLASSES), np.float32)
        for row, text in enumerate(texts):
            for part in text.replace("far", "").split():
                number, share = part.split(":")
                weights[row, int(number)] = float(share)
        cosines = np.array([0.1 if "far" in text else 0.9 for text in texts], np.float32)
        return TextClasses(weights, weights.argmax(1), cosines)


@pytest.fixture(autouse=True)
def space(monkeypatch):
    monkeypatch.setattr("kinbits.backbones.class_space", lambda vocabulary: Space())


def probabilities(rng, rows):
    found = np.zeros((rows, CLASSES), np.float32)
    for row in found:
        row[rng.choice(20, 4, replace=False)] = rng.dirichlet(np.ones(4))
    return found


def items(rng, rows, start=0, classed=True, ids=None):
    concepts = Concepts().pack(probabilities(rng, rows)) if classed else None
    codes = rng.integers(0, 256, (rows, 1), dtype=np.uint8)
    names = np.arange(start, start + rows) if ids is None else np.asarray(ids)
    return CodesFile(codes, names, 8, {"year": [2000 + n % 5 for n in range(rows)]}, concepts=concepts)


def naive(given_, text, allowed=None):
    """Return ids and distances by the definition, in a loop."""
    weights = Space().weigh([text]).weights[0]
    found = []
    for id_, row in given_.items():
        if row is not None and (allowed is None or id_ in allowed):
            numbers, steps = Concepts().unpack(row[None])
            found.append((1 - sum(weights[n] * p for n, p in zip(numbers[0], steps[0], strict=True)), id_))
    return sorted(found)


def same(hits, wanted):
    assert len(hits) == len(wanted)
    assert np.allclose(hits.distances, [away for away, _ in wanted], atol=1e-5)
    by_id = {id_: away for away, id_ in wanted}
    assert np.allclose(hits.distances, [by_id[id_] for id_ in hits.ids.tolist()], atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 60), k=st.integers(1, 70), radius=st.floats(0, 1))
def test_hits_are_those_of_the_definition(seed, rows, k, radius):
    rng = np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kinbits.backbones.class_space", lambda vocabulary: Space())
        made = items(rng, rows)
        index = Index.create(None, made)
        known = dict(zip(range(rows), made.concepts, strict=True))
        wanted = naive(known, "3:1 5:0.5")
        same(index.search(text="3:1 5:0.5", k=k), wanted[:k])
        within = [one for one in wanted if one[0] <= radius - 1e-4]
        assert len(index.search(text="3:1 5:0.5", radius=radius)) >= len(within)
        years = {n for n in range(rows) if n % 5 >= 2}
        same(index.search(text="3:1 5:0.5", k=rows, where="year>=2002"), naive(known, "3:1 5:0.5", years))


def test_ties_are_in_order_of_id_and_several_texts_are_several_answers():
    rows = np.zeros((40, CLASSES), np.float32)
    rows[:, 3] = 0.5
    rows[::2, 4] = 0.25
    made = CodesFile(np.zeros((40, 1), np.uint8), np.arange(40)[::-1].copy(), 8, concepts=Concepts().pack(rows))
    index = Index.create(None, made, options=IndexOptions(merge_rows=4))
    found = index.search(text=["3:1", "4:1"], k=5)
    assert found[0].ids.tolist() == [0, 1, 2, 3, 4]
    assert found[1].ids.tolist() == [1, 3, 5, 7, 9]
    assert found[0].concepts == [{"class 3": 0.498}] * 5
    assert index.search(text="3:1 4:1", k=1).concepts == [{"class 3": 0.498, "class 4": 0.252}]


def test_a_hit_names_the_classes_that_made_it_and_tables_hold_them(capsys):
    rows = np.zeros((2, CLASSES), np.float32)
    rows[0, [3, 4, 5, 6]] = 0.4, 0.3, 0.2, 0.02
    rows[1, [7, 3]] = 0.9, 0.1
    made = CodesFile(
        np.zeros((2, 1), np.uint8), np.array(["a", "b"]), 8, {"concepts": [1, 2]}, concepts=Concepts().pack(rows)
    )
    hits = Index.create(None, made).search(text="3:1 4:0.5 6:1", k=2)
    assert hits[0] == {
        "id": "a",
        "distance": pytest.approx(0.43, abs=0.01),
        "concepts": {"class 3": 0.399, "class 4": 0.301},
        "metadata.concepts": 1,
    }
    assert hits.concepts[1] == {"class 3": pytest.approx(0.1, abs=0.005)}
    print(hits)
    shown = capsys.readouterr().out
    assert "class 3 0.4, class 4 0.3" in shown
    assert "agreement of a text with the classes" in shown
    assert hits.to_arrow().column_names == ["id", "distance", "concepts", "metadata.concepts"]
    assert "class 3 0.4" in hits._repr_html_()
    again = pickle.loads(pickle.dumps(hits))
    assert again.concepts == hits.concepts
    assert again.take(np.array([1])).concepts == hits.concepts[1:]
    assert again.to_dicts() == hits.to_dicts()


@pytest.mark.parametrize("block", [12, 1 << 16])
def test_every_change_carries_the_concepts(block, tmp_path, monkeypatch):
    monkeypatch.setattr("kinbits.index.query.words._BLOCK", block)
    rng = np.random.default_rng(0)
    first, second = items(rng, 50), items(rng, 30, 50)
    index = Index.create(tmp_path / "a", first, options=IndexOptions(merge_rows=1, block_rows=8))
    known = dict(zip(range(50), first.concepts, strict=True))
    index.add(second)
    known |= dict(zip(range(50, 80), second.concepts, strict=True))
    other = items(rng, 20, 80)
    index.merge(Index.create(tmp_path / "b", other))
    known |= dict(zip(range(80, 100), other.concepts, strict=True))
    index.delete(list(range(0, 100, 7)))
    for id_ in range(0, 100, 7):
        del known[id_]
    changed = items(rng, 3, 8)
    index.add(changed, upsert=True)
    known |= dict(zip(range(8, 11), changed.concepts, strict=True))
    index.update([9, 15], {"year": [1, 2]})
    for _ in range(2):
        same(index.search(text="3:1 5:0.5", k=200), naive(known, "3:1 5:0.5"))
        index.verify()
        index.compact()
    index.save(tmp_path / "copy")
    for one in (Index.open(tmp_path / "copy"), Index.open(tmp_path / "a"), pickle.loads(pickle.dumps(index))):
        same(one.search(text="3:1 5:0.5", k=200), naive(known, "3:1 5:0.5"))
    memory = Index.create(None, first)
    same(pickle.loads(pickle.dumps(memory)).search(text="3:1", k=50), naive(dict(enumerate(first.concepts)), "3:1"))


@pytest.mark.parametrize("folder", [True, False])
def test_items_without_concepts_are_kept_but_not_found_by_words(folder, tmp_path):
    rng = np.random.default_rng(1)
    classed, bare = items(rng, 6), items(rng, 4, 6, classed=False)
    place = tmp_path / "i" if folder else None
    index = Index.create(place, classed)
    index.add(bare)
    assert len(index) == 10
    with pytest.warns(UserWarning, match="4 of 10 items were added as codes"):
        hits = index.search(text="3:1", k=20)
    same(hits, naive(dict(enumerate(classed.concepts)), "3:1"))
    index.compact()
    with pytest.warns(UserWarning, match="4 of 10 items"):
        same(index.search(text="3:1", k=20), naive(dict(enumerate(classed.concepts)), "3:1"))
    late = Index.create(tmp_path / "late" if folder else None, bare)
    late.merge(Index.create(None, classed))
    assert late.info()["concepts"] == {"vocabulary": "imagenet-1k", "classes": 1000, "kept": 13}
    with pytest.warns(UserWarning, match="4 of 10 items"):
        assert len(late.search(text="3:1", k=20)) == 6
    index.verify()


def test_a_far_text_warns_and_limits_are_checked():
    index = Index.create(None, items(np.random.default_rng(2), 5))
    with pytest.warns(
        UserWarning, match=r"no class of ImageNet is near 'far 3:1' \(the nearest is 'class 3', cosine 0.10"
    ):
        index.search(text="far 3:1")
    for options, told in (
        ({"radius": 12}, "from 0 to 1"),
        ({"distance": "hamming"}, "leave the distance out"),
        ({"where": "colour=red"}, "colour"),
        ({"rescore": 5}, "leave rerank, text and radius out"),
        ({"k": -1}, "k"),
    ):
        with pytest.raises(UsageError, match=told):
            index.search(text="3:1", **options)
    with pytest.raises(DataError, match="empty"):
        index.search(text=" ")
    with pytest.raises(UsageError, match="a query or text="):
        index.search(np.zeros(1, np.uint8), text="3:1")
    assert index.search(text=["3:1"], k=0)[0].ids.size == 0
    assert len(Index.create(bits=8, concepts=True).search(text="3:1")) == 0


def test_the_format_is_new_only_where_concepts_are_kept_and_damage_is_found(tmp_path):
    rng = np.random.default_rng(3)
    index = Index.create(tmp_path / "i", items(rng, 300), options=IndexOptions(mapped_bytes=0))
    manifest = json.loads((tmp_path / "i" / "manifest.json").read_text())
    assert manifest["version"] == 4
    Index.create(tmp_path / "plain", items(rng, 3, classed=False))
    plain = json.loads((tmp_path / "plain" / "manifest.json").read_text())
    assert (plain["version"], "concepts" in plain) == (2, False)
    kept = Index.create(tmp_path / "kept", items(rng, 3), keep="int8", vectors=np.ones((3, 2)))
    assert (
        len(kept.search(np.zeros(1, np.uint8), k=3, rescore=1, vectors=np.ones(2))) == len(kept.search(text="3:1")) == 3
    )
    path = tmp_path / "i" / "000001.concepts"
    raw = bytearray(path.read_bytes())
    raw[1] ^= 255
    path.write_bytes(raw)
    damaged = Index.open(tmp_path / "i")
    assert len(damaged.search(np.zeros(1, np.uint8), k=3)) == 3  # a search by code does not read them
    with pytest.raises(ArtefactError, match=r"000001\.concepts"):
        damaged.search(text="3:1")
    with pytest.raises(ArtefactError, match=r"000001\.concepts"):
        index.verify()


def test_concepts_that_do_not_fit_are_refused(tmp_path):
    rng = np.random.default_rng(4)
    made = items(rng, 5)
    with pytest.raises(DataError, match="give one for each item"):
        Index.create(None, replace(made, concepts=made.concepts[:4]))
    with pytest.raises(DataError, match="beyond the 1000"):
        Index.create(None, replace(made, concepts=np.full((5, 39), 255, np.uint8)))
    Index.create(tmp_path / "i", bits=8)
    with pytest.raises(UsageError, match="keeps no concepts"):
        Index.create(tmp_path / "i", bits=8, concepts=True, exist_ok=True)
    without = Index.create(None, made, concepts=False)
    assert without.info()["concepts"] is None
    with pytest.raises(UsageError, match="a text needs a model that encodes texts"):
        without.search(text="3:1")
