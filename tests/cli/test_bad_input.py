"""What is wrong is told in one line with its remedy and its exit code, and leaves nothing behind."""

import json
import re
import shutil
from pathlib import Path

import pytest

from kinbits.methods import get_method, list_methods

SMALL = ("--backbone", "convnet-small", "--epochs", "1", "--bits", "16")


@pytest.fixture
def refused(run, tmp_path):
    """Run a command that must fail; return its line after checking that no file was left."""

    def call(*arguments, code):
        before = sorted(tmp_path.rglob("*"))
        ended = run(*arguments)
        assert ended.code == code, ended.err
        assert ended.out == ""
        left = [p for p in sorted(tmp_path.rglob("*")) if p not in before and ".cache" not in p.parts]
        assert left == []
        return ended.error

    return call


def test_an_empty_folder(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "no usable image in empty" in refused("fit", "empty", "-o", "m", code=3)


def test_a_folder_of_images_that_cannot_be_read(refused, tmp_path):
    (tmp_path / "bad").mkdir()
    for name in ("a.jpg", "b.png"):
        (tmp_path / "bad" / name).write_bytes(b"nothing")
    line = refused("fit", "bad", "-o", "m", "--method", "itq", "--backbone", "convnet-small", "--frozen", code=3)
    assert "bad has 0 usable images, 2 skipped; a.jpg: " in line
    assert "give at least 2" in line


def test_a_folder_without_labels_for_a_supervised_method(refused, images):
    images("flat", flat=6)
    line = refused("fit", "flat", "-o", "m", "--method", "orthohash", code=3)
    assert "'orthohash' learns from labels" in line
    assert "itq" in line  # names a method that can


def test_one_class_only(refused, images):
    images("one", cat=6)
    assert "at least two classes" in refused("fit", "one", "-o", "m", code=3)


def test_a_class_with_one_image_works(run, images):
    images("photos", cat=6, dog=6, owl=1)
    ended = run("fit", "photos", "-o", "m", *SMALL)
    assert ended.code == 0, ended.err
    assert "13 images, 3 classes" in ended.out


def test_fewer_images_than_a_batch_works(run, images):
    images("photos", cat=2, dog=2)
    ended = run("fit", "photos", "-o", "m", "--batch-size", "64", *SMALL)
    assert ended.code == 0, ended.err
    assert "4 images" in ended.out


@pytest.mark.parametrize("bits", ["0", "-8", "3"])
def test_too_few_bits(refused, vectors, bits):
    assert f"bits is {bits}" in refused("fit", vectors, "-o", "m", "--bits", bits, code=2)


def test_an_unknown_method(refused, vectors):
    assert "did you mean orthohash" in refused("fit", vectors, "-o", "m", "--method", "orthohsh", code=2)


def test_an_unknown_augmentation(refused, vectors):
    line = refused("fit", vectors, "-o", "m", "--view-augmentation", "crop", code=2)
    assert "did you mean crops?" in line


def test_an_unknown_backbone(refused, images):
    images("photos", cat=2, dog=2)
    assert "did you mean convnet-small?" in refused("fit", "photos", "-o", "m", "--backbone", "convnet", code=2)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("marginn=1", "did you mean margin?"),
        ("margin=wide", "give a number"),
        ("margin=0.1_0", "give a number"),
        ("angular=maybe", "true or false"),
        ("targets=some", "one of auto"),
        ("margin", "NAME=VALUE"),
        ("margin=2", "margin 2.0"),
    ],
)
def test_a_wrong_parameter(refused, vectors, given, told):
    assert told in refused("fit", vectors, "-o", "m", "--method", "orthohash", "--param", given, code=2)


def test_a_misspelt_protocol(refused):
    assert "did you mean fashion-mnist" in refused("fit", "fashon-mnist", "-o", "m", code=2)


def test_data_that_is_not_there(refused):
    assert "no such file or folder: nowhere" in refused("fit", "nowhere", "-o", "m", code=3)


@pytest.mark.parametrize("output", ["/proc/no/model", "vectors.npz/model"])
def test_an_output_folder_that_cannot_be_written(refused, vectors, output):
    assert "choose another output folder" in refused("fit", vectors, "-o", output, code=5)


def test_an_output_folder_of_something_else(refused, vectors, images):
    images("photos", cat=1)
    assert "is no kinbits model" in refused("fit", vectors, "-o", "photos", code=4)


@pytest.mark.parametrize("verb", [("encode", "model", "vectors.npz", "-o", "/proc/no/codes.parquet"),
                                  ("index", "create", "/proc/no/index", "model", "vectors.npz"),
                                  ("evaluate", "model", "vectors.npz", "-o", "/proc/no/report"),
                                  ("export", "model", "/proc/no/graph.onnx"),
                                  ("calibrate", "model", "vectors.npz", "-o", "/proc/no/model"),
                                  ("demo", "-o", "/proc/no/demo")], ids=lambda verb: verb[0])  # fmt: skip
def test_every_output_is_checked(refused, model, verb):
    assert "cannot write" in refused(*verb, code=5)


def test_a_corrupt_model(refused, model):
    (model / "model.safetensors").write_bytes(b"\x00" * 50)
    assert "model.safetensors cannot be read" in refused("encode", model, "vectors.npz", "-o", "c.parquet", code=4)
    (model / "config.json").write_text("{")
    assert "config.json cannot be read" in refused("encode", model, "vectors.npz", "-o", "c.parquet", code=4)


def test_a_model_whose_weights_were_changed(refused, model):
    from safetensors.numpy import load_file, save_file

    tensors = load_file(model / "model.safetensors")
    name = next(name for name in tensors if name.endswith("weight"))
    tensors[name] = tensors[name] + 1
    save_file(tensors, model / "model.safetensors")
    assert "fingerprint differs" in refused("encode", model, "vectors.npz", "-o", "c.parquet", code=4)


def test_a_model_of_a_newer_format(refused, model):
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "format": 99}))
    assert "format 99" in refused("evaluate", model, "vectors.npz", code=4)


def test_a_folder_that_is_no_model(refused, vectors, images):
    images("photos", cat=1)
    assert "is no model folder" in refused("encode", "photos", vectors, "-o", "c.parquet", code=4)


def test_an_index_of_another_model(refused, run, index, vectors, more_vectors):
    assert run("fit", more_vectors, "-o", "other", "--bits", "16", "--epochs", "1").code == 0
    line = refused("search", index, "vectors.npz", "--model", "other", code=4)
    assert "made with another model" in line
    assert "another model" in refused("index", "add", index, more_vectors, "--model", "other", code=4)


def test_an_index_whose_model_has_gone(refused, index):
    shutil.rmtree("model")
    assert "put it beside the index, or name the model (--model)" in refused("search", index, "vectors.npz", code=4)


def test_no_index(refused, vectors):
    assert "`kinbits index create` makes one" in refused("search", "nowhere", vectors, code=4)
    assert "`kinbits index create` makes one" in refused("index", "info", "nowhere", code=4)


def test_an_index_that_is_there_already(refused, index, model, vectors):
    assert "already; add to it" in refused("index", "create", index, model, vectors, code=2)


def test_a_folder_of_images_as_the_place_of_an_index(refused, model, vectors, images):
    images("photos", cat=1)
    assert "no empty folder" in refused("index", "create", "photos", model, vectors, code=2)


def test_ids_that_are_in_the_index_already(refused, index, more_vectors):
    assert "upsert replaces the items (--upsert)" in refused("index", "add", index, more_vectors, code=2)


def test_images_for_a_model_of_vectors(refused, model, images):
    images("photos", cat=2)
    assert "vector" in refused("index", "create", "new.index", model, "photos", code=3)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "one of the three"),
        (["--text", "a"], "no text tower"),
        (["vectors.npz", "-k", "0"], "k"),
        (["vectors.npz", "--radius", "-1"], "radius"),
        (["vectors.npz", "--where", "label"], "cannot be read"),
        (["vectors.npz", "--where", "lable=a"], "did you mean label?"),
    ],
)
def test_a_search_that_makes_no_sense(refused, index, options, told):
    assert told in refused("search", index, *options, code=2)


def test_a_query_that_is_no_image(refused, index, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no image")
    assert "no such file: gone.png" in refused("search", index, "gone.png", code=3)
    assert "error:" in refused("search", index, "bad.png", code=3)


def test_a_damaged_index(refused, index):
    codes = next(index.glob("*.codes"))
    codes.write_bytes(bytes(reversed(codes.read_bytes())))
    assert "checksum" in refused("index", "verify", index, code=4)
    codes.write_bytes(b"")
    assert "instead of" in refused("search", index, "vectors.npz", code=4)


def test_an_experiment_file_with_a_misspelt_key(refused, vectors):
    Path("e.yaml").write_text("methode: itq\n")
    assert "did you mean method?" in refused("fit", vectors, "-o", "m", "--config", "e.yaml", code=2)


@pytest.mark.parametrize(
    ("text", "told"),
    [("bits: many", "whole number"), ("bits: [1]", "one value"), ("- bits", "name: value"), ("a: [", "YAML")],
)
def test_an_experiment_file_that_makes_no_sense(refused, vectors, text, told):
    Path("e.yaml").write_text(text)
    assert told in refused("fit", vectors, "-o", "m", "--config", "e.yaml", code=2)


@pytest.mark.parametrize(
    "arguments",
    [["search", "i", "q", "-k", "1_0"], ["search", "i", "q", "-k", "0"],
     ["fit", "x", "--unknown"], ["fit", "x", "-o", "m", "--epochs", "some"], ["search"], ["nothing"], ["fit"],
     ["index"], ["index", "made"]],
    ids=" ".join,
)  # fmt: skip
def test_wrong_usage_is_one_line(run, arguments):
    ended = run(*arguments)
    assert ended.code == 2
    assert len(ended.err.splitlines()) == 1
    assert ended.error


def test_fit_names_what_is_missing(refused):
    assert "fit needs an output folder: -o MODEL" in refused("fit", "photos", code=2)
    assert "fit needs data: kinbits fit DATA" in refused("fit", "-o", "m", code=2)


def test_help_shows_no_types_that_say_nothing(run):
    for verb in (["fit"], ["encode"], ["index", "add"], ["index"], []):
        assert not re.search("<(str|bool|path)>", run(*verb, "--help").out), verb


def test_a_typo_in_a_verb_is_put_right(run):
    assert "search" in run("serch").error


def test_a_fault_of_ours_is_one_line_and_says_how_to_see_more(run, monkeypatch, vectors):
    def broken(*_, **__):
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("kinbits.fitting.fit", broken)
    ended = run("fit", vectors, "-o", "m")
    assert ended.code == 1
    assert "RuntimeError: two lines" in ended.error
    assert "KINBITS_DEBUG=1" in ended.error
    monkeypatch.setenv("KINBITS_DEBUG", "1")
    with pytest.raises(RuntimeError):
        run("fit", vectors, "-o", "m")


def test_an_interrupted_command_says_so(run, monkeypatch, vectors):
    monkeypatch.setattr("kinbits.fitting.fit", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    ended = run("fit", vectors, "-o", "m")
    assert (ended.code, ended.err.splitlines()[-1]) == (130, "interrupted")


def test_a_fault_in_a_users_method_names_its_line(run, vectors, monkeypatch):
    known = {name: get_method(name) for name in list_methods()}
    monkeypatch.setattr("kinbits.methods.registry._REGISTRY", known)  # the method must not stay for other tests
    Path("mine.py").write_text(
        "from kinbits.methods import register\nfrom kinbits.methods.csq import Csq\n\n\n"
        "@register('mine-with-a-fault')\nclass Mine(Csq):\n    def __init__(self, spec):\n        raise KeyError('a')\n"
    )
    ended = run("fit", vectors, "-o", "m", "--method", "mine.py", "--bits", "8")
    assert ended.code == 1
    assert "KeyError: 'a'; this is a fault in mine.py:8, KINBITS_DEBUG=1 shows where" in ended.error


def test_a_model_is_replaced_only_where_that_is_asked_for(refused, run, model, vectors):
    before = (model / "config.json").read_bytes()
    assert "force it to be replaced (--force)" in refused("fit", vectors, "-o", model, "--bits", "8", code=2)
    # nothing to go on with
    assert "force it to be replaced (--force)" in refused("fit", vectors, "-o", model, "--resume", code=2)
    assert (model / "config.json").read_bytes() == before
    assert run("fit", vectors, "-o", model, "--bits", "8", "--epochs", "1", "--force").code == 0
    assert (model / "config.json").read_bytes() != before


def test_an_interrupted_replacement_goes_on(run, monkeypatch, model, vectors):
    def interrupted(*_, checkpoints, **__):
        checkpoints.mkdir()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("kinbits.fitting.fit", interrupted)
        assert run("fit", vectors, "-o", model, "--bits", "8", "--force").code == 130
    assert run("fit", vectors, "-o", model, "--bits", "8", "--epochs", "1", "--resume").code == 0


def test_no_epochs_are_refused_for_a_method_that_learns_by_epochs(refused, run, vectors):
    assert "epochs is 0; it must be at least 1" in refused("fit", vectors, "-o", "m", "--epochs", "0", code=2)
    assert run("fit", vectors, "-o", "m", "--epochs", "0", "--method", "itq", "--bits", "8").code == 0


def test_an_interruption_keeps_what_can_be_resumed(run, monkeypatch, vectors):
    def interrupted(*_, checkpoints, **__):
        checkpoints.mkdir()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("kinbits.fitting.fit", interrupted)
        ended = run("fit", vectors, "-o", "m", "--epochs", "2")
    assert ended.code == 130
    assert "--resume" in ended.err
    assert not Path("m").exists()
    assert run("fit", vectors, "-o", "m", "--epochs", "2", "--resume").code == 0
    assert not Path(".m.checkpoints").exists()
