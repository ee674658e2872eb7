"""An index knows its model and where its images are, wherever both are moved."""

import json
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from kinbits import ArtefactError, DataError, HashModel, Index, UsageError, hamming, open_dataset
from kinbits.backbones import load_backbone
from kinbits.encoding import encode_collection
from kinbits.heads import build_head
from kinbits.index import create_index, open_index
from kinbits.model import Tower

WIDTH, BITS = 6, 64
VECTORS = np.random.default_rng(0).normal(size=(20, WIDTH)).astype(np.float32)


def made(seed=0, bits=BITS):
    torch.manual_seed(seed)
    head = build_head({"name": "linear", "features": WIDTH, "bits": bits})
    return HashModel({"image": Tower(load_backbone("features", dim=WIDTH), head)}, {"name": "itq"})


@pytest.fixture
def folder(tmp_path):
    """A folder of a model and an index of twenty vectors, made with it."""
    (tmp_path / "here").mkdir()
    model = made()
    model.save_pretrained(tmp_path / "here" / "model")
    Index.create(tmp_path / "here" / "some.index", VECTORS, model=model)
    return tmp_path / "here"


def finds_itself(index):
    return [hits.ids[0] for hits in index.search(VECTORS, k=1)] == list(range(20))


def test_an_index_loads_its_model_when_it_is_first_needed(folder, monkeypatch):
    index = Index.open(folder / "some.index")
    loaded = []
    monkeypatch.setattr(HashModel, "from_pretrained", lambda path: loaded.append(path) or made())
    codes = made().encode(VECTORS)
    assert index.search(codes[3], k=1).ids.tolist() == [3]
    index.add(codes[:1], ids=[99]).delete(99)
    assert loaded == []
    assert finds_itself(index)
    assert finds_itself(index)
    assert index.model.fingerprint == made().fingerprint
    assert loaded == [folder / "model"]


def test_items_are_added_by_the_linked_model(folder):
    index = Index.open(folder / "some.index").add(VECTORS[:3] + 1, ids=[100, 101, 102])
    assert index.search(VECTORS[1] + 1, k=1).ids.tolist() == [101]
    assert finds_itself(Index.open(folder / "some.index"))


def test_codes_are_searched_without_pytorch(folder):
    code = f"""
import sys
sys.modules["torch"] = None
import numpy as np
from kinbits import Index
index = Index.open({str(folder / "some.index")!r})
print(index.search(np.zeros(8, np.uint8), k=1).distances.tolist())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    nearest = hamming.distances(np.zeros((1, 8), np.uint8), made().encode(VECTORS)).min()
    assert done.stdout.strip() == f"[{nearest}]", done.stderr


@pytest.mark.parametrize("move", ["both", "index", "beside"])
def test_a_moved_model_is_found(folder, tmp_path, move):
    place = tmp_path / "there"
    if move == "both":
        shutil.move(folder, place)
    elif move == "index":
        shutil.move(folder / "some.index", place / "deep" / "some.index")
        place = place / "deep"
    else:
        shutil.move(folder / "some.index", place / "some.index")
        shutil.move(folder / "model", place / "model")
    index = Index.open(place / "some.index")
    assert finds_itself(index)
    index.add(VECTORS[:1], ids=[50]).delete(50)  # what is written now knows the new place
    assert index.info()["model"] == str(folder / "model" if move == "index" else place / "model")


@pytest.mark.parametrize("other", ["model", "empty", "none"])
def test_a_change_of_a_copy_keeps_the_link_to_the_model(folder, tmp_path, other):
    copy = tmp_path / "there" / "some.index"
    shutil.copytree(folder / "some.index", copy)
    if other == "model":
        made(seed=1).save_pretrained(copy.parent / "model")
    elif other == "empty":
        (copy.parent / "model").mkdir()
    Index.open(copy).delete([3])
    index = Index.open(copy)
    assert index.info()["model"] == str(folder / "model")
    assert index.search(VECTORS[4], k=1).distances.tolist() == [0]


def test_a_link_to_a_missing_model_outlives_changes(folder, tmp_path):
    shutil.move(folder / "model", tmp_path / "aside")
    shutil.move(folder / "some.index", tmp_path / "there" / "deep" / "some.index")
    made(seed=1).save_pretrained(tmp_path / "there" / "deep" / "model")
    before = json.loads((tmp_path / "there" / "deep" / "some.index" / "manifest.json").read_text())["model"]
    Index.open(tmp_path / "there" / "deep" / "some.index").delete([3]).delete([4])
    after = json.loads((tmp_path / "there" / "deep" / "some.index" / "manifest.json").read_text())["model"]
    assert after == before == {"relative": "../model", "absolute": str(folder / "model")}
    with pytest.raises(ArtefactError, match="which is gone"):
        Index.open(tmp_path / "there" / "deep" / "some.index").search(VECTORS)


def test_a_copy_and_a_pickled_index_know_the_model(folder, tmp_path):
    index = Index.open(folder / "some.index")
    index.save(tmp_path / "a" / "b" / "copy.index")
    shutil.move(folder, tmp_path / "a" / "here")
    with pytest.raises(ArtefactError, match=r"model of the index was at .*here.model, which is gone; put it beside"):
        Index.open(tmp_path / "a" / "b" / "copy.index").search(VECTORS)
    shutil.move(tmp_path / "a" / "here", folder)
    shutil.move(tmp_path / "a" / "b" / "copy.index", tmp_path / "copy.index")
    assert finds_itself(Index.open(tmp_path / "copy.index"))
    assert finds_itself(pickle.loads(pickle.dumps(Index.open(tmp_path / "copy.index"))))
    memory = Index.create(model=folder / "model").add(VECTORS)
    assert finds_itself(pickle.loads(pickle.dumps(memory)))
    memory.save(tmp_path / "saved.index")
    assert finds_itself(Index.open(tmp_path / "saved.index"))


@pytest.mark.parametrize("engine", ["faiss-hnsw", "faiss-ivf"])
def test_an_index_of_another_engine_finds_its_model_too(tmp_path, engine):
    pytest.importorskip("faiss")
    made().save_pretrained(tmp_path / "model")
    create_index(tmp_path / "some.index", engine=engine, model=tmp_path / "model").add(VECTORS)
    assert finds_itself(open_index(tmp_path / "some.index"))
    shutil.move(tmp_path / "model", tmp_path / "elsewhere")
    assert finds_itself(open_index(tmp_path / "some.index", model=tmp_path / "elsewhere"))


def test_a_model_is_named_by_its_folder(folder, tmp_path):
    shutil.move(folder / "model", tmp_path / "elsewhere")
    with pytest.raises(ArtefactError, match="which is gone"):
        Index.open(folder / "some.index").search(VECTORS)
    index = Index.open(folder / "some.index", model=tmp_path / "elsewhere")
    assert finds_itself(index)
    index.add(VECTORS[:1], ids=[50]).delete(50)
    assert Index.open(folder / "some.index").info()["model"] == str(tmp_path / "elsewhere")
    with pytest.raises(ArtefactError, match="no model folder"):
        Index.open(folder / "some.index", model=tmp_path / "nowhere")


def test_another_model_is_refused_with_both_fingerprints(folder, tmp_path):
    ours, other = made(), made(seed=1)
    both = rf"another model \({ours.fingerprint[:12]}\) than .*{other.fingerprint[:12]}"
    other.save_pretrained(tmp_path / "other")
    for wrong in (other, tmp_path / "other", str(tmp_path / "other")):
        with pytest.raises(ArtefactError, match=both):
            Index.open(folder / "some.index", model=wrong)
    other.save_pretrained(folder / "model")  # fitted again at the same place
    index = Index.open(folder / "some.index")
    with pytest.raises(ArtefactError, match=both):
        index.search(VECTORS)
    with pytest.raises(ArtefactError, match=both):
        index.add(VECTORS)
    assert len(index) == 20


def test_a_model_that_was_not_saved_leaves_no_link(tmp_path):
    Index.create(tmp_path / "a.index", VECTORS, model=made())
    index = Index.open(tmp_path / "a.index")
    assert (index.model, index.fingerprint) == (None, made().fingerprint)
    with pytest.raises(UsageError, match="knows no model"):
        index.search(VECTORS)
    model = made()
    model.save_pretrained(tmp_path / "m")
    Index.open(tmp_path / "a.index", model=model).add(VECTORS[:1], ids=[50])
    assert Index.open(tmp_path / "a.index").search(VECTORS[0], k=1).distances.tolist() == [0]


def test_codes_bring_their_model_and_must_fit(folder, tmp_path):
    model = HashModel.from_pretrained(folder / "model")
    codes = encode_collection(model, VECTORS)
    index = Index.create(tmp_path / "codes.index", codes)
    assert (len(index), index.fingerprint) == (20, model.fingerprint)
    assert finds_itself(Index.open(tmp_path / "codes.index"))
    for empty in (Index.create(bits=BITS), Index.create(tmp_path / "empty.index", bits=BITS)):
        assert finds_itself(empty.add(codes))
    assert finds_itself(Index.create(None, codes))
    other = encode_collection(made(seed=1), VECTORS)
    with pytest.raises(ArtefactError, match=rf"{model.fingerprint[:12]}.* than .*{other.fingerprint[:12]}"):
        index.add(other)
    with pytest.raises(ArtefactError, match="8-bit codes"):
        index.add(encode_collection(made(bits=8), VECTORS))
    assert len(index) == 20


def test_a_new_index_with_items_appears_complete_or_not_at_all(folder, tmp_path):
    target = tmp_path / "new.index"
    with pytest.raises(DataError, match="id 1 is given twice"):
        Index.create(target, VECTORS, ids=[1] * 20, model=folder / "model")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here"]
    index = Index.create(target, VECTORS, ids=range(20), metadata={"row": list(range(20))}, model=folder / "model")
    assert index.last_change.added == 20
    assert Index.open(target).search(VECTORS[4], k=1, where="row=4").ids.tolist() == [4]
    with pytest.raises(UsageError, match=r"there is an index at .*new\.index already; add to it"):
        Index.create(target, VECTORS, model=folder / "model")
    with pytest.raises(UsageError, match="exist_ok"):
        Index.create(target, VECTORS, model=folder / "model", exist_ok=True)


def test_folders_of_images_are_known_from_the_data_sets_that_were_added(tmp_path):
    torch.manual_seed(0)
    head = build_head({"name": "linear", "features": 384, "bits": BITS})
    model = HashModel({"image": Tower(load_backbone("convnet-small"), head)})
    index = Index.create(tmp_path / "i", model=model)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (32, 32), "red").save(tmp_path / name / f"{name}.png")
        index.add(open_dataset(tmp_path / name))
    roots = [str(tmp_path / "one"), str(tmp_path / "two")]
    assert Index.open(tmp_path / "i").info()["image_roots"] == roots
    other = Index.create(bits=BITS, model=model).merge(index)
    assert other.info()["image_roots"] == roots
    shutil.move(tmp_path / "two", tmp_path / "moved")
    assert Index.open(tmp_path / "i").info()["image_roots"] == roots  # nowhere else to be found
