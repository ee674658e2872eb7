"""A model folder comes from a stranger, or from a process that died: it is whole, or it is refused with a reason."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import threading
import time

import pytest
import torch
from model_folders import BITS, FEATURES, edit, outcomes, small_model
from safetensors.torch import load_file, save_file

from kinbits import ArtefactError, HashModel, PlatformError
from kinbits.backbones import Preprocessing, load_backbone
from kinbits.heads import Decoder, build_head
from kinbits.model import Tower, append_metrics
from kinbits.model.restore import within

EXHAUSTIVE = os.environ.get("KINBITS_EXHAUSTIVE") == "1"
FILES = ("config.json", "model.safetensors", "training.json", "metrics.json")


@pytest.fixture
def folder(tmp_path):
    return small_model().save_pretrained(tmp_path / "model")


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_whatever_is_in_a_folder_ends_in_a_model_or_in_one_line_that_says_why():
    found = outcomes(small_model(), 10_000 if EXHAUSTIVE else 100, seed=4)
    assert set(found) == {"model", "ArtefactError"}
    assert found["ArtefactError"] > found["model"] > 0  # the damage is damage, and not all of it matters


def backbone(**changes):
    given = {"name": "x", "licence": "x", "pretrained": True, "preprocessing": Preprocessing(32).to_dict()}
    return {**given, **changes}


VIT = {"model_type": "vit", "num_attention_heads": 1, "image_size": 32, "patch_size": 8, "hidden_size": 16}
LINEAR = {"name": "linear", "features": FEATURES, "bits": BITS}
OUTGROWN = "asks for far more than its file of tensors holds"
TOO_LARGE = {
    "bits": ({}, {"bits": 10**9}, {}),
    "hidden layer": ({}, {"hidden": 10**9}, {}),
    "features of the head": ({}, {"features": 10**12}, {}),
    "width of vectors": ({"dim": 10**9}, {"features": 10**9}, {}),
    "more than memory has addresses": ({}, {"hidden": 2**62}, {}),
    "more than a number holds": ({}, {"hidden": 10**30}, {}),
    "a head inside a head": ({}, {**LINEAR, "name": "merged", "inner": {**LINEAR, "bits": 10**9}}, {}),
    "centres": ({}, {**LINEAR, "name": "vlad", "shape": [FEATURES, 1, 1], "clusters": 10**9}, {}),
    "decoder": ({}, {}, {"hidden": 10**9}),
    "layers of a transformer": (backbone(backbone="hf:", config={**VIT, "num_hidden_layers": 10**6}), {}, {}),
    "positions of a transformer": (backbone(backbone="hf:", config={**VIT, "image_size": 10**6}), {}, {}),
    "width of a transformer": (backbone(backbone="hf:", config={**VIT, "intermediate_size": 10**6}), {}, {}),
    "tokenizer": (
        backbone(backbone="hf-text:", config={"model_type": "bert", "vocab_size": 9}, tokenizer_bytes=10**12),
        {},
        {},
    ),
    "side of images": (backbone(backbone="convnet-small", preprocessing={"size": 10**9}), {}, {}),
}


@pytest.mark.parametrize("what", TOO_LARGE)
def test_what_is_larger_than_its_tensors_is_refused_before_it_is_built(folder, what):
    for_backbone, for_head, for_decoder = TOO_LARGE[what]

    def forge(config):
        image = config["towers"]["image"]
        image["backbone"].update(for_backbone)
        if "preprocessing" in for_backbone:
            image["backbone"]["preprocessing"] = {**Preprocessing(32).to_dict(), **for_backbone["preprocessing"]}
        image["head"] = for_head if "name" in for_head else {**image["head"], **for_head}
        config["bits"] = image["head"]["bits"]
        config["decoder"]["layers"].update(for_decoder)

    edit(folder, forge)
    start = time.monotonic()
    with pytest.raises(ArtefactError, match=rf"{folder}.*({OUTGROWN}|overflow|Overflow|1 <= size <= 4096)"):
        HashModel.from_pretrained(folder)
    taken = time.monotonic() - start
    assert taken < 20  # seconds, most of them to import transformers; building it takes far longer


def test_a_head_that_does_not_fit_its_backbone_or_its_decoder_is_refused(folder):
    wider = build_head({**LINEAR, "features": FEATURES + 1})
    towers = {"image": Tower(load_backbone("features", dim=FEATURES), wider)}
    with pytest.raises(ArtefactError, match="its head does not turn 16 features into 8 bits"):
        HashModel.from_pretrained(HashModel(towers, {"name": "itq"}).save_pretrained(folder))
    model = small_model()
    model.decoder = Decoder(BITS + 1, FEATURES)
    with pytest.raises(ArtefactError, match="its decoder does not turn 8 bits into features"):
        HashModel.from_pretrained(model.save_pretrained(folder))


def test_another_thread_may_build_what_it_likes_meanwhile():
    sizes = []
    with within({}):
        thread = threading.Thread(target=lambda: sizes.append(torch.nn.Linear(5000, 5000).weight.numel()))
        thread.start()
        thread.join()
        with pytest.raises(ArtefactError, match=OUTGROWN):
            torch.nn.Linear(5000, 5000)
    assert sizes == [5000**2]
    assert torch.nn.Linear(5000, 5000).weight.numel() == 5000**2


def test_a_pipe_under_the_name_of_a_file_is_refused_at_once(folder):
    for name in (*FILES, "labels.csv", "train-codes.parquet"):
        kept = (folder / name).read_bytes() if (folder / name).exists() else None
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)
        with pytest.raises(ArtefactError, match=rf"{name} cannot be read \(not a regular file\)"):
            HashModel.from_pretrained(folder)
        (folder / name).unlink()
        if kept is not None:
            (folder / name).write_bytes(kept)
    assert HashModel.from_pretrained(folder).bits == BITS


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_neither_saved_nor_loaded(folder, tmp_path, value):
    broken = small_model()
    broken.towers["image"].head.layers[0].weight.data[1, 2] = value
    with pytest.raises(ArtefactError, match=r"'image\.head\.layers\.0\.weight' are not finite"):
        broken.save_pretrained(tmp_path / "new")
    assert not (tmp_path / "new").exists()
    tensors = load_file(folder / "model.safetensors")
    tensors["decoder.layers.2.bias"].fill_(value)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ArtefactError, match=r"'decoder\.layers\.2\.bias' are not finite"):
        HashModel.from_pretrained(folder)


def test_all_files_have_the_usual_permissions(tmp_path):
    before = os.umask(0o027)
    try:
        folder = small_model().save_pretrained(tmp_path / "model")
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == dict.fromkeys(
        (*FILES, "README.md"), 0o640
    )


def test_a_link_stays_and_its_target_is_replaced(folder, tmp_path):
    link = tmp_path / "current"
    link.symlink_to(folder)
    newer = small_model(seed=1)
    assert newer.save_pretrained(link) == link
    assert link.is_symlink()
    assert (
        HashModel.from_pretrained(folder).fingerprint
        == HashModel.from_pretrained(link).fingerprint
        == newer.fingerprint
    )


def test_a_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    model = small_model()
    assert model.save_pretrained("~/models/one") == tmp_path / "models" / "one"
    assert HashModel.from_pretrained("~/models/one").fingerprint == model.fingerprint
    append_metrics("~/models/one", "other", {"map@all": 0.25})
    assert HashModel.from_pretrained("~/models/one").metrics == {"self": {"map@all": 0.5}, "other": {"map@all": 0.25}}
    assert not (tmp_path / "~").exists()


def test_a_damaged_record_is_named_when_numbers_are_added(folder):
    (folder / "metrics.json").write_text('{"self": 3}')
    with pytest.raises(ArtefactError, match=r"metrics\.json cannot be read \(it does not hold numbers by protocol\)"):
        append_metrics(folder, "self", {"map@all": 0.5})
    assert (folder / "metrics.json").read_text() == '{"self": 3}'


def test_what_the_system_refuses_is_a_platform_error(folder, tmp_path, full_disk):
    before = (folder / "metrics.json").read_bytes()
    with full_disk(0), pytest.raises(PlatformError, match=r"metrics\.json cannot be written"):
        append_metrics(folder, "other", {"map@all": 0.25})
    with full_disk(0), pytest.raises(PlatformError, match=r"model.*cannot be written"):
        small_model().save_pretrained(tmp_path / "new")
    assert (folder / "metrics.json").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]
    assert {path.name for path in folder.iterdir()} == {*FILES, "README.md"}


def test_a_model_of_the_first_format_still_loads(folder, tmp_path):
    # What earlier versions wrote and newer ones leave out.
    edit(folder, lambda config: config["towers"]["image"]["backbone"].pop("preprocessing"))
    (folder / "training.json").unlink()
    (folder / "metrics.json").unlink()
    shutil.move(folder, tmp_path / "moved")
    assert HashModel.from_pretrained(tmp_path / "moved").training == {}
    assert json.loads((tmp_path / "moved" / "config.json").read_text())["format"] == 1


def test_an_export_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    head = build_head({"name": "linear", "features": 384, "bits": BITS})
    model = HashModel({"image": Tower(load_backbone("convnet-small"), head)}, {"name": "x"})

    def full(graph, pixels, path, **_):
        with open(path, "wb") as file:
            file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch.onnx, "export", full)
    with pytest.raises(PlatformError, match=r"model\.onnx cannot be written: No space left on device"):
        model.export(tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
