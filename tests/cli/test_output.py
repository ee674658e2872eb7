"""Text of others never commands a terminal, any encoding will do, and messages can be hidden or kept."""

import io
import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from kinbits._util import printable
from kinbits.cli.output import facts, json_text, table

CODES = np.arange(12, dtype=np.uint8).reshape(6, 2)
EVIL = "\x1b]0;owned\x07\x1b[2J\n\u202egnp.exe\x9b31m"
SHOWN = r"\x1b]0;owned\x07\x1b[2J\n\u202egnp.exe\x9b31m"
OBEYED = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e]")


def write_codes(path, ids, **columns):
    import pyarrow as pa
    import pyarrow.parquet as pq

    codes = [bytes(row) for row in CODES[: len(ids)]]
    pq.write_table(pa.table({"id": ids, "code": codes, **columns}), path)


@pytest.fixture
def evil_index(run):
    """An index of codes whose ids, labels and column names hold what a terminal obeys."""
    write_codes("c.parquet", [EVIL, "b", "c"], **{"label": [EVIL, "x", None], EVIL: [1, 2, 3]})
    assert run("index", "create", "i", "c.parquet", "--bits", "16").code == 0
    return "i"


def test_printable_shows_what_a_terminal_would_obey():
    assert printable(EVIL) == SHOWN
    assert printable("ünï 日本 \u200d👩\u200d💻") == "ünï 日本 \u200d👩\u200d💻"
    assert printable("\udcff") == r"\udcff"  # a byte of a file name that is no text
    assert printable(7) == "7"


def test_tables_facts_and_json_show_it_too(capsys, monkeypatch):
    from kinbits.cli.output import console

    console().print(table([EVIL, "n"], [[EVIL, 1]], title=EVIL))
    facts({EVIL: f"one\n{EVIL}"})
    out = capsys.readouterr().out
    assert not OBEYED.search(out)
    assert "owned" in out
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), "utf-8"))
    text = json_text({"id": EVIL})
    assert not OBEYED.search(text)
    assert json.loads(text) == {"id": EVIL}


def test_no_command_sends_ids_labels_or_paths_to_the_terminal_as_they_are(run, evil_index):
    for command in (
        ["index", "info", "i"],
        ["index", "pairs", "i", "--radius", "16"],
        ["index", "pairs", "i", "--radius", "16", "--json"],
        ["index", "delete", "i", f"{EVIL}."],
        ["index", "verify", EVIL],
        ["search", "i", EVIL],
        ["fit", EVIL, "-o", "m"],
        ["methods", EVIL],
        ["protocols", EVIL],
        ["inspect", "c.parquet"],
        [EVIL],
        ["fit", f"--{EVIL}"],
    ):
        ended = run(*command)
        assert ended.code != 1, ended.err
        assert not OBEYED.search(ended.out.replace("\t", "") + ended.err), command
    pairs = run("index", "pairs", "i", "--radius", "16").out.splitlines()
    assert len(pairs) == 3
    assert all(len(line.split("\t")) == 3 for line in pairs)


def test_a_warning_is_one_line_and_shows_it_too(run, monkeypatch, evil_index):
    def warned(self):
        warnings.warn_explicit(f"two\nlines {EVIL}", UserWarning, "index.py", 1, module="kinbits.index")

    monkeypatch.setattr("kinbits.index.Index.verify", warned)
    err = run("index", "verify", "i").err
    assert err.startswith("warning: two lines ")
    assert not OBEYED.search(err)
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_any_encoding_of_the_terminal_will_do(run, encoding, tmp_path):
    write_codes("c.parquet", ["日本", "grün", "c"], label=["犬", "ß", None])
    assert run("index", "create", "i", "c.parquet", "--bits", "16").code == 0
    script = (
        "from kinbits.cli import main; import sys\n"
        "for line in sys.argv[1:]: print('exit', main(line.split()), flush=True)"
    )
    lines = ["index info i", "index pairs i -r 16", "index pairs i -r 16 --json", "index verify 日本", "--help"]
    done = subprocess.run(
        [sys.executable, "-c", script, *lines],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    out, err = done.stdout.decode(encoding), done.stderr.decode(encoding)
    assert re.findall(r"exit (\d+)", out) == ["0", "0", "0", "4", "0"], err
    assert r"\u65e5\u672c" in out
    assert r"\u65e5\u672c" in err
    found = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    assert {one["first"] for one in found} | {one["second"] for one in found} == {"日本", "grün", "c"}


def test_quiet_hides_progress_and_notes_but_no_warning_and_no_error(run, vectors, model):
    spoken = run("fit", vectors, "-o", "m", "--bits", "8", "--epochs", "1", "--resume")
    quiet = run("--quiet", "fit", vectors, "-o", "m2", "--bits", "8", "--epochs", "1", "--resume")
    assert "nothing to resume" in spoken.err
    assert "trained shc" in spoken.err
    assert quiet.err == ""
    assert "m2" in quiet.out
    assert "warning: " in run("-q", "evaluate", "model", vectors, "--no-baselines", "--metric", "map@all").err
    assert run("--quiet", "index", "info", "nowhere").error
    assert "trained" in run("fit", vectors, "-o", "m3", "--bits", "8", "--epochs", "1").err  # as if nothing had been


def test_log_keeps_messages_with_their_time_and_is_appended_to(run, vectors):
    assert (
        run("--quiet", "--log", "l.txt", "fit", vectors, "-o", "m", "--bits", "8", "--epochs", "1", "--resume").code
        == 0
    )
    assert run("--log", "l.txt", "index", "info", f"gone{EVIL}").code == 4
    lines = Path("l.txt").read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d \d+ ", line) for line in lines)
    told = [line.split(" ", 2)[2] for line in lines]
    assert told[0].startswith("kinbits --quiet --log l.txt fit ")
    assert any(line.startswith("nothing to resume in ") for line in told[1:-4])
    assert not any("trained" in line for line in told)  # progress
    assert re.fullmatch(r"ended with exit code 0 after \d+\.\d s", told[-4])
    assert told[-2].startswith(r"error: there is no index at gone\x1b]0;owned")
    assert told[-1].startswith("ended with exit code 4 ")
    assert not OBEYED.search("".join(lines))


def test_a_log_that_cannot_be_written_and_one_that_is_no_file(run):
    os.mkfifo("pipe")
    for path in ("pipe", "no/such/folder.log", "."):
        ended = run("--log", path, "methods")
        assert ended.code == 5
        assert "the log" in ended.error


def test_quiet_behind_the_command_is_told_where_it_goes(run):
    assert "kinbits --quiet COMMAND" in run("methods", "--quiet").error
    assert "kinbits --log FILE COMMAND" in run("methods", "--log", "x").error


@pytest.mark.parametrize(
    ("shell", "line"), [("bash", "complete -o"), ("zsh", "#compdef kinbits"), ("fish", "complete")]
)
def test_completion_scripts_are_printed(run, shell, line, monkeypatch):
    monkeypatch.setattr("shellingham.detect_shell", lambda *_: (shell, f"/bin/{shell}"))
    ended = run("--show-completion")
    assert ended.code == 0, ended.err
    assert line in ended.out
    assert "_KINBITS_COMPLETE" in ended.out


def test_a_shell_completes_verbs_and_options():
    def completed(*words):
        environment = {
            "_KINBITS_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1),
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "kinbits"],
            env={**os.environ, **environment}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    assert completed("kinbits", "sea") == ["search"]
    assert "--upsert" in completed("kinbits", "index", "add", "--")
