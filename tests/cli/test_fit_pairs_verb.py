"""kinbits fit --pairs: tables by flag and by file, and what is refused."""

import json

import pytest

FIT = ("fit", "vectors.npz", "-o", "model", "--bits", "16", "--epochs", "2")


@pytest.fixture
def tables(tmp_path, vectors):
    """A table of pairs and one of clusters of the sixty vectors."""
    rows = [f"item {row:03},item {row + 3:03},1" for row in range(57)]
    (tmp_path / "pairs.csv").write_text("\n".join(["path_a,path_b,label", *rows]))
    rows = [f"item {row:03},{row % 3}" for row in range(60)]
    (tmp_path / "clusters.csv").write_text("\n".join(["path,cluster", *rows]))


def test_several_tables_by_flags(run, tables):
    done = run(*FIT, "--method", "bcdh", "--pairs", "pairs.csv", "--pairs", "clusters.csv")
    assert done.code == 0, done.err
    assert "57 similar, 3 clusters" in done.out


def test_tables_by_an_experiment_file(run, tables, tmp_path):
    (tmp_path / "e.yaml").write_text("method: bcdh\npairs: [pairs.csv, clusters.csv]\n")
    done = run(*FIT, "--config", "e.yaml", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["pairs"] == {"similar": 57, "dissimilar": 0, "clusters": 3}


def test_thresholds_decide_what_is_similar(run, vectors, tmp_path):
    rows = ["item 000,item 003,30,0.5", "item 001,item 004,10,0.05"]
    (tmp_path / "seen.csv").write_text("\n".join(["name_a,name_b,shared_points,overlap", *rows]))
    found = []
    for name, more in (("a", ()), ("b", ("--min-shared", "5", "--min-overlap", "0.01"))):
        done = run(*FIT[:3], name, *FIT[4:], "--method", "bcdh", "--pairs", "seen.csv", *more, "--json")
        assert done.code == 0, done.err
        assert "warning: all given pairs are similar" in done.err
        found.append(json.loads(done.out)["pairs"]["similar"])
    assert found == [1, 2]


def test_unknown_images_are_named(run, vectors, tmp_path):
    (tmp_path / "pairs.csv").write_text("path_a,path_b,label\nitem 000,cat.jpg,1\n")
    done = run(*FIT, "--method", "bcdh", "--pairs", "pairs.csv")
    assert done.code == 3
    assert "'cat.jpg'" in done.error


def test_a_method_without_pairs_refuses_them(run, tables):
    done = run(*FIT, "--method", "hashnet", "--pairs", "pairs.csv")
    assert done.code == 2
    assert "bcdh" in done.error


def test_thresholds_without_pairs_are_refused(run, vectors):
    done = run(*FIT, "--method", "bcdh", "--min-shared", "5")
    assert done.code == 2
    assert "min_shared is a limit for pairs of a reconstruction" in done.error


def test_the_list_says_what_it_learns_from(run):
    assert "from pairs, given or drawn from labels" in run("methods").out
