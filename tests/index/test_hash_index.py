"""Indexes of perceptual hashes know their model by its fingerprint, and take codes of no other."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hash_pictures import photos, picture

from kinbits import ArtefactError, HashModel, Index, UsageError
from kinbits.encoding import encode_collection, encode_to_file, read_codes
from kinbits.hamming import to_hex


@pytest.fixture
def folder(tmp_path):
    return photos(tmp_path / "photos")


@pytest.mark.parametrize("name", ["pdq", "phash"])
def test_an_index_finds_its_model_without_a_folder(name, folder, tmp_path):
    Index.create(tmp_path / "some.index", model=name).add(folder)
    opened = Index.open(tmp_path / "some.index")
    assert opened.search(folder / "1.png", k=1).ids.tolist() == ["1.png"]
    assert opened.info()["model"] == name
    with pytest.raises(UsageError, match="this model encodes image"):
        opened.search(text="a dog")
    assert opened.model.fingerprint == opened.fingerprint
    assert f"model: {name}" in opened._repr_html_()
    opened.add([picture(9)], ids=["new"])
    assert opened.search(picture(9), k=1).ids.tolist() == ["new"]


def test_an_index_of_a_loaded_model_does_too(folder, tmp_path):
    model = HashModel.from_pretrained("pdq")
    Index.create(tmp_path / "some.index", encode_collection(model, folder))
    found = Index.open(tmp_path / "some.index").search(picture(2, (320, 240)), k=1)
    assert (found.ids.tolist(), found.distances[0] <= 31) == (["2.png"], True)


def test_known_signals_are_searched_with_an_image(folder, tmp_path):
    encode_to_file(HashModel.from_pretrained("pdq"), folder, tmp_path / "known.txt")
    Index.create(tmp_path / "known.index", read_codes(tmp_path / "known.txt"))
    found = Index.open(tmp_path / "known.index").search(folder / "3.png", radius=31)
    assert found.ids.tolist() == to_hex(HashModel.from_pretrained("pdq").encode(folder / "3.png"))


def test_codes_of_different_models_do_not_mix(folder, tmp_path):
    index = Index.create(model="pdq").add(folder)
    other = encode_collection(HashModel.from_pretrained("phash"), folder)
    with pytest.raises(ArtefactError, match="holds 64-bit codes, but the index holds 256-bit codes"):
        index.add(other)
    learned = encode_collection(HashModel.from_pretrained("pdq"), folder)
    object.__setattr__(learned, "fingerprint", "another")
    with pytest.raises(ArtefactError, match="made with another model"):
        index.add(learned, ids=["a", "b", "c", "d", "e"])
    Index.create(tmp_path / "some.index", model="pdq")
    with pytest.raises(ArtefactError, match="the model makes 64-bit codes"):
        Index.open(tmp_path / "some.index", model="phash")


def test_a_search_by_codes_loads_neither_torch_nor_a_hash(folder, tmp_path):
    index = Index.create(tmp_path / "some.index", model="pdq").add(folder)
    np.save(tmp_path / "query.npy", index.to_codes().codes[:1])
    code = f"""
        import sys, numpy as np
        from kinbits import Index
        found = Index.open({str(tmp_path / "some.index")!r}).search(np.load({str(tmp_path / "query.npy")!r}), k=1)
        assert found[0].distances.tolist() == [0]
        assert not {{"torch", "scipy", "pdqhash"}} & set(sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
