"""Choosing an engine by the place that a user gives."""

import subprocess
import sys

import numpy as np
import pytest

from kinbits.errors import ArtefactError, UsageError
from kinbits.index import Index, create_index, list_engines, open_index
from kinbits.testing import check_index

CODES = np.arange(8, dtype=np.uint8)[:, None]


def test_without_a_name_the_engine_is_the_exact_one(tmp_path):
    assert isinstance(create_index(bits=8), Index)
    create_index(tmp_path / "x", bits=8).add(CODES)
    assert isinstance(open_index(tmp_path / "x"), Index)
    check_index(create_index, open_index=open_index, bits=(13,))


def test_a_folder_remembers_its_engine(tmp_path):
    for engine in ("faiss-hnsw", "faiss-ivf", "exact"):
        create_index(tmp_path / engine, engine=engine, bits=8).add(CODES)
        opened = open_index(tmp_path / engine)
        assert len(opened) == 8
        assert getattr(opened, "name", "exact") == engine


def test_the_list_says_what_each_engine_supports():
    listed = {engine.name: engine for engine in list_engines()}
    assert next(iter(listed)) == "exact"
    assert listed["exact"].supports.lacks() == []
    assert listed["faiss-hnsw"].supports.lacks() == ["exact"]
    assert all(engine.about.endswith(".") for engine in listed.values())


@pytest.mark.parametrize(
    ("place", "options", "words"),
    [
        ("milvuss://host/x", {}, "did you mean milvus"),
        ("s3://bucket/x", {}, "URI scheme 's3'"),
        (None, {"engine": "milvus"}, "needs a URI"),
        ("milvus://host/x", {"engine": "faiss-hnsw"}, "leave out engine="),
        (None, {"engine": "postgres"}, "needs a URI, e.g. postgresql:"),
        ("postgress://host/db?table=t", {}, "did you mean postgres"),
        (None, {"engine": "fais-hnsw"}, "did you mean faiss-hnsw"),
        (None, {"ef_search": 3}, "exist_ok"),
    ],
)
def test_a_place_that_fits_no_engine_is_refused_with_the_remedy(place, options, words):
    with pytest.raises(UsageError, match=words):
        create_index(place, bits=8, **options)


def test_opening_what_is_not_there_says_so(tmp_path):
    with pytest.raises(ArtefactError, match="no index"):
        open_index(tmp_path / "nothing")
    with pytest.raises(UsageError, match="nprobe"):
        open_index(tmp_path / "nothing", nprobe=3)


def test_a_path_with_a_colon_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    create_index("photos:2020", bits=8).add(CODES)
    assert len(open_index("photos:2020")) == 8


def test_naming_the_engines_loads_none_of_them():
    heavy = "{'faiss', 'psycopg', 'pymilvus', 'torch'}"
    code = f"import sys, kinbits.index as i; i.list_engines(); sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
