"""What is done to an index from day to day: by id, by filter, by table, by several at once."""

import fcntl
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import kinbits

PAIRS = 12 if os.environ.get("KINBITS_EXHAUSTIVE") else 2

TOGETHER = """
import json, os, sys
import pyarrow.parquet, kinbits.index.index, kinbits.encoding.codes_file
from kinbits.cli import main

def together(commands):
    '''Run commands in processes of their own that begin at the same time; return their exit codes.'''
    start, end = os.pipe()
    children = []
    for command in commands:
        children.append(os.fork())
        if not children[-1]:
            os.close(end)
            os.read(start, 1)
            os._exit(main(command))
    os.close(end)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]

for round in json.load(sys.stdin):
    print("codes", json.dumps(together(round)), flush=True)
"""


def together(*rounds):
    """Run rounds of simultaneous commands; return the exit codes of each round, and what was said."""
    done = subprocess.run(
        [sys.executable, "-c", TOGETHER],
        input=json.dumps(rounds),
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    codes = [json.loads(line[6:]) for line in done.stdout.splitlines() if line.startswith("codes ")]
    return codes, done.stderr


@pytest.fixture
def shop(run, codes_file):
    """Twenty items with ids 1 to 20, ten of them red, and prices of 1.5 to 20.5."""
    ids = range(1, 21)
    codes_file("shop.parquet", ids, colour=["red", "blue"] * 10, price=[n + 0.5 for n in ids], sku=["007"] * 20)
    assert run("index", "create", "shop", "shop.parquet", "--bits", "16").code == 0
    return Path("shop")


def ids_of(path, where=None):
    index = kinbits.Index.open(path)
    return sorted(index.search(np.zeros(2, np.uint8), radius=16, where=where).ids.tolist())


def metadata_of(path):
    return {row["id"]: row for row in kinbits.Index.open(path).search(np.zeros(2, np.uint8), radius=16).to_dicts()}


def test_a_filter_deletes_after_a_dry_run_that_counts(run, shop):
    command = ["index", "delete", shop, "--where", "colour=red and price<12"]
    told = run(*command, "--dry-run").out
    assert "6 of 20" in told
    assert "..." in told
    dry = json.loads(run(*command, "--dry-run", "--json").out)
    assert (dry["would delete"], dry["items"]) == (6, 20)
    assert set(dry["first"]) < {1, 3, 5, 7, 9, 11}
    refused = run(*command)
    assert refused.code == 2
    assert "6 of 20 items" in refused.error
    assert "--yes" in refused.error
    assert len(kinbits.Index.open(shop)) == 20
    assert json.loads(run(*command, "--yes", "--json").out) == {"index": "shop", "deleted": 6, "items": 14}
    assert ids_of(shop, "colour=red") == [13, 15, 17, 19]
    assert json.loads(run(*command, "--json").out)["deleted"] == 0  # nothing meets it: nothing to ask for


@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, 10), ("n\n", 130, 20)])
def test_a_person_is_asked_before_a_filter_deletes(run, shop, monkeypatch, answer, code, left):
    person = io.StringIO(answer)
    person.isatty = lambda: True
    monkeypatch.setattr("sys.stdin", person)
    ended = run("index", "delete", shop, "--where", "colour=red")
    assert ended.code == code
    assert "Delete 10 of 20 items?" in ended.err
    assert len(kinbits.Index.open(shop)) == left


def test_ids_come_from_arguments_a_file_or_standard_input(run, shop, monkeypatch):
    assert run("index", "delete", shop, "1", "2").code == 0
    Path("gone.txt").write_bytes(b"\xef\xbb\xbf3\r\n\r\n4\n")
    assert run("index", "delete", shop, "--ids", "gone.txt").code == 0
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"5\n6")))
    assert run("index", "delete", shop, "--ids", "-").code == 0
    assert ids_of(shop) == list(range(7, 21))
    told = json.loads(run("index", "delete", shop, "7", "7", "8", "--dry-run", "--json").out)
    assert (told["would delete"], told["first"]) == (2, [7, 8])
    assert "99" in run("index", "delete", shop, "7", "99", "--dry-run").error


@pytest.mark.parametrize(
    "text", ["1_0", "+10", " 10", "10 ", "010", "1e1", "10.0", "٣", "0x1", "-0", "9" * 19, "", "ten", "1\n"]
)
def test_a_text_that_is_no_id_in_its_usual_spelling_deletes_nothing(run, shop, text):
    ended = run("index", "delete", shop, "--", text)
    assert ended.code in (2, 3)
    assert ended.error
    assert len(kinbits.Index.open(shop)) == 20


def test_ids_that_are_text_are_taken_as_they_are(run, codes_file):
    names = ["007", "7", "1_0", " x", "日本", "-k"]
    codes_file("t.parquet", names)
    assert run("index", "create", "t", "t.parquet", "--bits", "16").code == 0
    Path("gone.txt").write_text("007\n x\n日本\n")
    assert run("index", "delete", "t", "--ids", "gone.txt").code == 0
    assert run("index", "delete", "t", "--", "-k").code == 0
    assert ids_of("t") == ["1_0", "7"]
    assert "7x" in run("index", "delete", "t", "7", "7x").error
    assert ids_of("t") == ["1_0", "7"]  # all or nothing


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe", None])
def test_a_file_of_ids_that_makes_no_sense(run, shop, content):
    if content is not None:
        Path("gone.txt").write_bytes(content)
    assert run("index", "delete", shop, "--ids", "gone.txt").code == 3
    os.mkfifo("pipe")
    assert "not a regular file" in run("index", "delete", shop, "--ids", "pipe").error
    assert len(kinbits.Index.open(shop)) == 20


@pytest.mark.parametrize(
    "choice", [[], ["1", "--where", "colour=red"], ["1", "--ids", "x"], ["--ids", "x", "-w", "price>1"]]
)
def test_one_choice_of_items_is_taken(run, shop, choice):
    assert "one of the three" in run("index", "delete", shop, *choice).error


CSV = "id,price,colour,new\n3,9.25,green,x\n4,,007,\n"
JSONL = """
{"id": 3, "price": 9.25, "colour": "green", "new": "x"}

{"id": 4, "price": null, "colour": "007", "new": null}
"""


@pytest.mark.parametrize("kind", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_metadata_are_updated_by_id(run, shop, kind):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(f"new{kind}")
    if kind == ".parquet":
        pq.write_table(
            pa.table({"id": [3, 4], "price": [9.25, None], "colour": ["green", "007"], "new": ["x", None]}), path
        )
    else:
        path.write_text(JSONL if kind == ".jsonl" else CSV.replace(",", "\t" if kind == ".tsv" else ","))
    before = metadata_of(shop)
    told = json.loads(run("index", "update", shop, path, "--json").out)
    assert told == {"index": "shop", "updated": 2, "columns": ["price", "colour", "new"], "items": 20}
    after = metadata_of(shop)
    assert {k: after[3][k] for k in ("price", "colour", "new", "sku")} == {
        "price": 9.25, "colour": "green", "new": "x", "sku": "007",
    }  # fmt: skip
    assert (after[4]["price"], after[4]["colour"], after[4]["new"]) == (None, "007", None)
    assert {k: v for k, v in after[5].items() if k != "new"} == before[5]
    assert after[3]["distance"] == before[3]["distance"]  # the codes stay


def test_a_text_column_stays_text_where_a_table_has_digits(run, shop):
    Path("t.csv").write_text("article,sku,price\n3,0815,1\n4,42,2\n")
    assert run("index", "update", shop, "t.csv", "--id-column", "article").code == 0
    after = metadata_of(shop)
    assert (after[3]["sku"], after[4]["sku"]) == ("0815", "42")
    assert ids_of(shop, "price<=2") == [1, 3, 4]


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("id,price\n3,1\n99,2\n", 3, "99"),
        ("id,price\n3,1\n3,2\n", 3, "'3' occurs in several rows"),
        ("id,price\n1_0,1\n", 2, "'1_0' is none"),
        ("id,price\n,1\n", 3, "row 0"),
        ("sku,price\n3,1\n", 2, "(id_column)"),
        ("id\n3\n", 3, "no column except the ids"),
        ("id,price\n", 3, "no row"),
        ("id,price,price\n3,1,2\n", 3, "price"),
        ("id,distance\n3,1\n", 2, "distance"),
        ("", 3, "t.csv"),
        ("\udcff", 3, "UTF-8"),
    ],
)
def test_a_table_that_cannot_be_used_changes_nothing(run, shop, text, code, told):
    Path("t.csv").write_bytes(text.encode(errors="surrogateescape"))
    before = metadata_of(shop)
    ended = run("index", "update", shop, "t.csv")
    assert ended.code == code
    assert told in ended.error
    assert metadata_of(shop) == before


@pytest.mark.parametrize(
    "text", ["[]", "7", "{", '{"id": 3}', '{"id": 3, "a": 1}\n{"id": 4}', '{"id": true, "a": 1}', "[" * 99999, "\xff"]
)
def test_json_lines_that_cannot_be_used_change_nothing(run, shop, text):
    Path("t.jsonl").write_bytes(text.encode("latin-1"))
    ended = run("index", "update", shop, "t.jsonl")
    assert ended.code == 3
    assert "t.jsonl" in ended.error


def test_upserting_tells_what_was_replaced(run, shop, codes_file):
    more = codes_file("more.parquet", range(1, 21))
    assert "replaced  20" in run("index", "add", shop, more, "--upsert").out
    both = codes_file("both.parquet", range(16, 26))
    told = json.loads(run("index", "add", shop, both, "--upsert", "--json").out)
    assert (told["added"], told["replaced"], told["items"]) == (5, 5, 25)
    shown = run("index", "add", shop, codes_file("new.parquet", [99])).out
    assert "replaced" not in shown


@pytest.mark.parametrize("time", ["soon", "-1", "1_0", "nan", "inf", "30 s", "1e3", "", "5d"])
def test_a_time_that_makes_no_sense(run, shop, time):
    ended = run("index", "compact", shop, "--wait", time)
    assert ended.code == 2
    assert "30s or 2m" in ended.error


def test_a_time_is_read_as_seconds():
    from kinbits.cli.index_options import duration

    assert [duration(text) for text in ("0", "7", "30s", "2m", "1.5h", 0.0)] == [0, 7, 30, 120, 5400, 0]


def test_three_writers_at_once_all_succeed_where_they_wait(shop, codes_file):
    adds = [
        ["index", "add", "shop", str(codes_file(f"{n}.parquet", range(n, n + 5))), "--wait", "60s"]
        for n in (100, 200, 300)
    ]
    codes, said = together(adds)
    assert codes == [[0, 0, 0]], said
    assert len(kinbits.Index.open(shop)) == 35


def test_a_second_writer_is_told_how_to_wait(run, shop):
    with open(shop / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = run("index", "delete", shop, "1")
        told = run("index", "delete", shop, "1", "--wait", "0.01s")
    assert (ended.code, told.code) == (5, 5)
    assert "set a time to wait" in ended.error
    assert run("index", "delete", shop, "1").code == 0


def test_the_first_of_two_creations_wins_and_the_other_is_told(run, codes_file):
    few, many = codes_file("few.parquet", range(5)), codes_file("many.parquet", range(9))
    rounds = [
        [["index", "create", f"x{number}", str(path), "--bits", "16"] for path in (few, many)]
        for number in range(PAIRS)
    ]
    codes, said = together(*rounds)
    for number, ended in enumerate(codes):
        assert sorted(ended) == [0, 2], said
        assert f"/x{number} already; add to it, or choose another folder" in said
        kinbits.Index.open(f"x{number}").verify()
        assert len(kinbits.Index.open(f"x{number}")) == (5, 9)[ended.index(0)]
    assert sorted(path.name for path in Path().iterdir() if path.name[:2] == ".x") == []


def test_a_new_index_takes_the_place_of_an_empty_folder_a_link_to_one_and_a_home_path(run, codes_file, monkeypatch):
    path = codes_file("c.parquet", range(5))
    Path("empty").mkdir()
    Path("link").symlink_to("empty")
    monkeypatch.setenv("HOME", str(Path("home").absolute()))
    Path("home").mkdir()
    assert run("index", "create", "link", path, "--bits", "16").code == 0
    assert Path("link").is_symlink()
    assert len(kinbits.Index.open("empty")) == 5
    assert run("index", "create", "~/deep/er", "~/../c.parquet", "--bits", "16").code == 0
    assert len(kinbits.Index.open("home/deep/er")) == 5
    assert not Path("~").exists()
    assert json.loads(run("index", "info", "~/deep/er", "--json").out)["items"] == 5
