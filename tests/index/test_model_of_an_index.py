"""An index that was created without a model takes the first one, and refuses others from then on."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from kinbits import ArtefactError, Index
from kinbits.encoding import CodesFile

CODES = np.array([[0], [1], [15]], np.uint8)


class Model:
    """Encodes numbers by their low byte."""

    def __init__(self, name):
        self.bits, self.fingerprint, self.folder = 8, name * 64, Path(f"/models/{name}")

    def encode(self, items, /):
        return np.atleast_1d(np.asarray(items, dtype=np.uint8))[:, None]


OURS, OTHER = Model("a"), Model("b")


def codes_of(model, ids=(0, 1, 2)):
    return CodesFile(CODES, np.array(ids), 8, fingerprint=model.fingerprint, model=model.folder)


@pytest.fixture
def silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("items", [[0, 1, 15], codes_of(OURS)], ids=["items", "codes"])
def test_an_empty_index_takes_the_model_of_its_first_items(tmp_path, items, silent):
    Index.create(tmp_path / "i", bits=8)
    Index.open(tmp_path / "i", model=OURS).add(items, [5, 6, 7])
    index = Index.open(tmp_path / "i", model=OURS)
    assert (index.fingerprint, index.info()["model"]) == (OURS.fingerprint, "/models/a")
    assert index.search([1], k=1)[0].ids.tolist() == [6]
    with pytest.raises(ArtefactError, match=r"another model \(a{12}\) than this one \(b{12}\)"):
        Index.open(tmp_path / "i", model=OTHER)
    for call in (index.add, index.search, Index.open(tmp_path / "i").search):
        with pytest.raises(ArtefactError, match=r"another model \(a{12}\) than .* \(b{12}\)"):
            call(codes_of(OTHER, [20, 21, 22]))
    assert len(index) == 3


def test_an_index_of_unknown_codes_says_that_they_count_as_the_models(tmp_path, silent):
    index = Index.create(tmp_path / "i", CODES, bits=8)
    reader, other = Index.open(tmp_path / "i"), Index.open(tmp_path / "i", model=OTHER)
    assert other.search([15], k=1)[0].ids.tolist() == [2]  # nothing to compare it with yet
    index.add(CODES[:1])
    assert (index.fingerprint, index.info()["model"]) == (None, None)
    with pytest.warns(UserWarning, match=r"codes of an unknown model; it now takes .* \(a{12}\)") as caught:
        Index.open(tmp_path / "i", model=OURS).add([3])
    assert [one.filename for one in caught] == [__file__]
    assert reader.refresh().fingerprint == OURS.fingerprint
    for call in (other.refresh, lambda: other.add([3])):
        with pytest.raises(ArtefactError, match=r"another model \(a{12}\) than this one \(b{12}\)"):
            call()
    Index.open(tmp_path / "i", model=OURS).add([4]).add(codes_of(OURS, [30, 31, 32]))
    assert len(reader.refresh()) == 9


def test_codes_of_another_model_than_the_one_given_are_refused(tmp_path):
    index = Index.create(tmp_path / "i", bits=8)
    with pytest.raises(ArtefactError, match=r"another model \(b{12}\) than .* \(a{12}\)"):
        Index.open(tmp_path / "i", model=OTHER).add(codes_of(OURS))
    assert (len(index.refresh()), index.fingerprint) == (0, None)


def test_packed_codes_given_with_a_model_leave_no_link_to_it(tmp_path):
    Index.create(tmp_path / "i", bits=8)
    index = Index.open(tmp_path / "i", model=OURS).add(CODES)
    assert (index.fingerprint, index.info()["model"]) == (None, None)
