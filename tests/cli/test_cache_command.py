"""kinbits cache shows what is kept, and clears it."""

import json


def _keep(folder):
    entry = folder / ".cache" / "arrow" / ("0a" * 16) / ("1b" * 16)
    entry.mkdir(parents=True)
    (entry / "table.arrow").write_bytes(bytes(8192))
    return entry


def test_the_cache_is_shown_by_kind(run, tmp_path):
    _keep(tmp_path)
    found = json.loads(run("cache", "--json").out)
    assert [(one["name"], one["entries"]) for one in found["kinds"]] == [("features", 0), ("arrow", 1)]
    assert found["freed"] == 0
    out = run("cache").out
    assert "working copies of tables" in out
    assert "8.2 kB" in out


def test_clearing_removes_it_when_the_user_agreed(run, tmp_path):
    entry = _keep(tmp_path)
    assert "give --yes" in run("cache", "--clear").error  # no terminal to ask on
    assert entry.exists()
    ended = run("cache", "--clear", "--yes")
    assert (ended.code, ended.err) == (0, "freed 8.2 kB\n")
    assert not entry.exists()


def test_clearing_leaves_and_names_a_folder_of_the_user(run, tmp_path):
    entry = _keep(tmp_path)
    thesis = tmp_path / ".cache" / "features" / "thesis"
    thesis.mkdir(parents=True)
    (thesis / "chapter.tex").write_text("mine")
    ended = run("cache", "--clear", "--yes")
    assert ended.err == f"not part of the cache, and never removed: {thesis}\nfreed 8.2 kB\n"
    assert (thesis / "chapter.tex").read_text() == "mine"
    assert not entry.exists()
    assert json.loads(run("cache", "--json").out)["kinds"][0]["others"] == [str(thesis)]


def test_yes_alone_is_refused(run):
    ended = run("cache", "--yes")
    assert ended.code == 2
    assert "--yes goes with --clear" in ended.error
