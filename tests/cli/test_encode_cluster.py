"""kinbits encode with a cluster: what is refused before one is needed."""


def test_options_of_a_cluster_need_one(run, model, vectors):
    ended = run("encode", model, vectors, "-o", "codes.parquet", "--workers", "2")
    assert (ended.code, ended.error) == (2, "error: --workers is for a cluster; give --cluster too, or leave it out")


def test_an_object_store_needs_a_cluster(run, model, vectors):
    ended = run("encode", model, vectors, "-o", "s3://bucket/codes")
    assert ended.code == 2
    assert "s3://bucket/codes is written by a cluster; give --cluster local" in ended.error


def test_options_that_workers_do_not_know_are_refused(run, model, tmp_path):
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "a.tar").write_bytes(b"")
    ended = run("encode", model, "shards", "-o", "codes", "--cluster", "local", "--no-labels")
    assert (ended.code, "--no-labels is for data that are opened here" in ended.error) == (2, True)


def test_an_unfinished_folder_of_codes_is_named(run, tmp_path):
    (tmp_path / "codes").mkdir()
    (tmp_path / "codes" / "_job.json").write_text('{"job": "0"}')
    ended = run("index", "create", "an.index", "codes")
    assert (ended.code, "is not complete: it has no _manifest.json" in ended.error) == (4, True)


def test_the_output_of_another_kind_is_refused(run, model, vectors, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("")
    ended = run("encode", model, vectors, "-o", "notes", "--cluster", "local")
    assert (ended.code, "is not empty, and holds something else (a.txt)" in ended.error) == (2, True)
    assert run("encode", model, vectors, "-o", "new", "--cluster", "nowhere").code == 2
