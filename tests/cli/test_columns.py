"""The options that name columns: of data, and of a table of queries."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

COLUMNS = ("--image-column", "--vector-column", "--label-column", "--text-column", "--id-column", "--no-labels")
VECTORS = np.random.default_rng(0).normal(size=(60, 16)).astype(np.float32)


@pytest.fixture
def table(tmp_path):
    """Vectors in a column whose name says nothing."""
    names = [f"text {row:02}" for row in range(60)]
    pq.write_table(pa.table({"name": names, "mine": list(VECTORS), "other": list(-VECTORS)}), tmp_path / "t.parquet")
    return "t.parquet"


@pytest.fixture
def index(run, table):
    for command in (
        ("fit", table, "-o", "m", "--method", "itq", "--bits", "16", "--vector-column", "mine"),
        ("index", "create", "i", "m", table, "--vector-column", "mine", "--keep", "float32"),
    ):
        ended = run(*command)
        assert ended.code == 0, ended.err
    return "i"


def test_every_command_with_data_has_all_of_them(run):
    commands = ("fit", "tune", "encode", "evaluate", "calibrate", "inspect", "index create", "index add")
    for command in commands:
        out = run(*command.split(), "--help").out
        assert not [flag for flag in COLUMNS if flag not in out], command


def test_a_column_of_vectors_is_named_from_the_fit_to_the_search(run, table, index):
    ended = run("fit", table, "-o", "n", "--method", "itq", "--bits", "16", "--vector-column", "mine")
    assert "index create n.index n t.parquet --vector-column" in ended.out
    Path("fit.yaml").write_text("method: itq\nbits: 16\nvector-column: mine\n")
    ended = run("fit", table, "-o", "k", "--config", "fit.yaml", "--json")
    assert json.loads(ended.out)["rows"] == 60
    for more in ((), ("--rescore", "3")):
        found = json.loads(run("search", index, table, "--vector-column", "mine", "-k", "1", "--json", *more).out)
        assert [one["query"] for one in found] == [f"text {row:02}" for row in range(60)]
    assert [one["hits"][0]["id"] for one in found] == [f"text {row:02}" for row in range(60)]
    away = json.loads(run("search", index, table, "--vector-column", "other", "-k", "1", "--json").out)
    assert away[0]["hits"][0]["id"] != "text 00"
    named = run("search", index, table, "--vector-column", "mine", "--id-column", "name", "-k", "1")
    assert "guessed" not in named.err
    assert run("encode", "m", table, "-o", "c.parquet", "--vector-column", "mine").code == 0
    assert run("calibrate", "m", table, "-o", "m2", "--vector-column", "mine").code == 0
    assert run("inspect", "m", table, "--vector-column", "mine").code == 0


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ((), "name it by image_column or vector_column"),
        (("--image-column", "mine"), "not images or paths; vectors are named by vector_column (--vector-column)"),
        (("--vector-column", "name"), "images and paths are named by image_column (--image-column)"),
        (("--vector-column", "mine", "--image-column", "name"), "image_column and vector_column both name what is"),
        (("--vector-column", "yours"), "no column 'yours'; the columns are: name, mine, other"),
    ],
)
def test_a_name_that_does_not_fit_is_told_in_one_line(run, table, index, named, told):
    assert told in run("fit", table, "-o", "n", *named).error
    assert told in run("search", index, table, *named).error


def test_queries_that_are_in_no_table_have_no_columns(run, index, images):
    folder, flag = images("photos", flat=1), ("--vector-column", "mine")
    assert run("encode", "m", "t.parquet", "-o", "c.parquet", *flag).code == 0
    for query in (["-"], [folder / "0.png"], [folder / "0.png"] * 2, ["c.parquet"], ["--text", "a dog"]):
        assert "--vector-column is of a table of queries; give one table" in run("search", index, *query, *flag).error
    assert "i holds codes already; leave --vector-column out" in run("inspect", index, *flag).error
    assert "it has no text tower" in run("search", index, "t.parquet", *flag, "--modality", "text").error


def test_names_are_taken_as_they_are_written(run, tmp_path):
    pq.write_table(pa.table({"none": list(VECTORS), " b ": list(VECTORS)}), tmp_path / "odd.parquet")
    for name in ("none", " b "):
        ended = run(
            "fit", "odd.parquet", "-o", "n", "--force", "--method", "itq", "--bits", "8", "--vector-column", name
        )
        assert ended.code == 0, ended.err
