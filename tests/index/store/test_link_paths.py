"""Links of an index: which of their places counts, and manifests that have none."""

import json

import numpy as np
import pytest

from kinbits import ArtefactError, Index
from kinbits.index.store.links import Link
from kinbits.index.store.manifest import checksum_of


def test_the_first_place_that_is_there_counts(tmp_path):
    index, model = tmp_path / "a" / "some.index", tmp_path / "models" / "m"
    index.mkdir(parents=True)
    link = Link.from_path(str(model), index)
    assert link == Link("../../models/m", str(model))
    assert link.find(index) is None
    beside = tmp_path / "a" / "m"
    beside.mkdir()
    assert link.find(index) == str(beside)
    model.mkdir(parents=True)
    assert link.find(index) == str(model)
    moved = tmp_path / "b" / "a" / "some.index"
    moved.mkdir(parents=True)
    assert link.find(moved) == str(model)  # the index moved alone
    (tmp_path / "b" / "models" / "m").mkdir(parents=True)
    assert link.find(moved) == str(tmp_path / "b" / "models" / "m")  # both moved


def test_a_symbolic_link_to_an_index_changes_no_path(tmp_path):
    (tmp_path / "real" / "some.index").mkdir(parents=True)
    (tmp_path / "real" / "m").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "some.index")
    link = Link.from_path(str(tmp_path / "real" / "m"), tmp_path / "link")
    assert link.relative == "../m"
    assert link.find(tmp_path / "link") == str(tmp_path / "real" / "m")


def edited(folder, change):
    """Change the manifest of an index, and give it the checksum that it needs."""
    path = folder / "manifest.json"
    body = json.loads(path.read_text())
    del body["checksum"]
    change(body)
    path.write_text(json.dumps({**body, "checksum": checksum_of(body)}))


@pytest.fixture
def folder(tmp_path):
    Index.create(tmp_path / "some.index", np.arange(3, dtype=np.uint8)[:, None], bits=8)
    return tmp_path / "some.index"


def test_a_manifest_without_links_is_read(folder):
    edited(folder, lambda body: (body.pop("model"), body.pop("image_roots")))
    index = Index.open(folder)
    assert (len(index), index.info()["model"], index.info()["image_roots"]) == (3, None, [])


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "x"},
        {"model": {"relative": "x"}},
        {"image_roots": [{"relative": 1, "absolute": "x"}]},
        {"image_roots": 5},
    ],
)
def test_a_link_that_is_none_is_damage(folder, changes):
    edited(folder, lambda body: body.update(changes))
    with pytest.raises(ArtefactError, match="is damaged"):
        Index.open(folder)
