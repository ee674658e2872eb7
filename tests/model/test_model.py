"""HashModel: what goes in, what stays the same on disk, what is refused."""

import errno
import json
import shutil

import numpy as np
import pytest
from PIL import Image

import kinbits
from kinbits import ArtefactError, DataError, PlatformError, UsageError, hamming
from kinbits.backbones import extract
from kinbits.data import as_dataset

CLASSES, ROWS = 3, 60


def pictures(seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(ROWS) % CLASSES
    images = rng.integers(0, 90, (ROWS, 28, 28, 3), dtype=np.uint8)
    images[np.arange(ROWS), :, :, labels] += 150
    return images, labels


@pytest.fixture(scope="module")
def model():
    images, labels = pictures()
    data = kinbits.open_dataset(images, labels=labels)
    options = {"method": "orthohash", "backbone": "convnet-small", "epochs": 2, "batch_size": 20}
    return kinbits.fit(data, bits=19, **options, progress=False, cache=None)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    return model.save_pretrained(tmp_path_factory.mktemp("models") / "model")


def test_every_form_of_an_image_gives_the_same_code(model, tmp_path):
    images, _ = pictures()
    path = tmp_path / "one.png"
    Image.fromarray(images[0]).save(path)
    expected = model.encode(images[:1])
    assert expected.shape == (1, 3)
    assert expected.dtype == np.uint8
    for form in (images[0], Image.fromarray(images[0]), path, str(path), [path], [Image.fromarray(images[0])]):
        np.testing.assert_array_equal(model.encode(form), expected)
    both = model.encode([images[1], path, Image.fromarray(images[1])])
    np.testing.assert_array_equal(both, model.encode(images[[1, 0, 1]]))


def test_pad_bits_are_zero(model):
    codes = model.encode(pictures()[0])
    assert not (codes[:, -1] & 0b00011111).any()  # 19 bits fill 3 of the last byte's 8 bits
    np.testing.assert_array_equal(hamming.pack(hamming.unpack(codes, 19)), codes)


def test_a_saved_model_gives_the_same_codes(model, folder):
    again = kinbits.HashModel.from_pretrained(folder)
    images = pictures(3)[0]
    np.testing.assert_array_equal(again.encode(images), model.encode(images))
    assert again.fingerprint == model.fingerprint
    assert again.method == model.method
    assert again.training["rows"] == ROWS


def test_a_model_folder_holds_what_it_should_and_no_pickle(folder):
    names = {path.name for path in folder.iterdir()}
    assert names == {"model.safetensors", "config.json", "training.json", "metrics.json", "README.md"}
    card = (folder / "README.md").read_text()
    for word in ("orthohash", "19-bit", "licence", "fingerprint", "from_pretrained"):
        assert word in card


@pytest.mark.parametrize("config", ['{"model_type": "vit"}', "[]", "{"])
def test_a_model_of_another_program_is_not_replaced(model, tmp_path, config):
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "pytorch_model.bin").write_bytes(b"weights")
    with pytest.raises(ArtefactError, match="exists and is no kinbits model; choose another output folder"):
        model.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "pytorch_model.bin"]
    assert (tmp_path / "config.json").read_text() == config


@pytest.mark.parametrize("name", ["notes.txt", "photos.index/manifest.json", ".git/HEAD"])
def test_a_model_with_files_of_the_user_is_not_replaced(model, tmp_path, name):
    target = model.save_pretrained(tmp_path / "model")
    (target / name).parent.mkdir(exist_ok=True)
    (target / name).write_text("mine")
    top = name.split("/")[0]
    with pytest.raises(ArtefactError, match=f"holds {top}, which is no file of a model; move that away"):
        model.save_pretrained(target)
    assert (target / name).read_text() == "mine"


def test_what_a_killed_process_left_in_a_model_does_not_stop_its_replacement(model, tmp_path):
    target = model.save_pretrained(tmp_path / "model")
    (target / ".metrics.0123abcd.part.json").touch()
    model.save_pretrained(target)
    assert not (target / ".metrics.0123abcd.part.json").exists()


def test_saving_over_a_model_replaces_it_and_over_anything_else_is_refused(model, tmp_path):
    target = tmp_path / "model"
    model.save_pretrained(target)
    model.save_pretrained(target)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model"]
    other = tmp_path / "precious"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    with pytest.raises(ArtefactError, match="another output folder"):
        model.save_pretrained(other)
    assert [p.name for p in other.iterdir()] == ["thesis.tex"]


def test_a_place_that_cannot_be_written_is_named(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PlatformError, match="cannot write"):
        model.save_pretrained(tmp_path / "file" / "model")


@pytest.mark.parametrize("size", [0, 200, 50_000])
def test_a_full_disk_is_named_and_leaves_the_older_model(model, tmp_path, full_disk, size):
    target = model.save_pretrained(tmp_path / "model")
    for place in (target, tmp_path / "new"):
        with full_disk(size), pytest.raises(PlatformError, match=r"model.*free space"):
            model.save_pretrained(place)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert kinbits.HashModel.from_pretrained(target).fingerprint == model.fingerprint


def test_a_model_that_cannot_take_its_place_leaves_the_older_one(model, tmp_path, monkeypatch):
    target = model.save_pretrained(tmp_path / "model")
    (target / "README.md").write_text("older")

    def failing(aside, to):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("kinbits._util.files._exchange", failing)
    with pytest.raises(PlatformError, match="Input/output error"):
        model.save_pretrained(target)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (target / "README.md").read_text() == "older"
    assert kinbits.HashModel.from_pretrained(target).fingerprint == model.fingerprint


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "model.safetensors").write_bytes(b"short"), "cannot be read"),
        (lambda f: (f / "config.json").write_text("{"), "cannot be read"),
        (lambda f: (f / "config.json").unlink(), "no model folder"),
        (lambda f: (f / "model.safetensors").unlink(), "cannot be read"),
        (lambda f: _edit(f, format=99), "newer|pip install -U"),
        (lambda f: _edit(f, towers={}), "no image tower"),
        (lambda f: _edit(f, fingerprint="0"), "fingerprint"),
    ],
)
def test_a_damaged_model_is_refused_with_its_reason(folder, tmp_path, damage, message):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    damage(copy)
    with pytest.raises(ArtefactError, match=message):
        kinbits.HashModel.from_pretrained(copy)


def _edit(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_flipped_bit_in_the_weights_is_found(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    raw = bytearray((copy / "model.safetensors").read_bytes())
    raw[-100] ^= 1
    (copy / "model.safetensors").write_bytes(raw)
    with pytest.raises(ArtefactError, match="fingerprint"):
        kinbits.HashModel.from_pretrained(copy)


def test_calibration_balances_the_bits_of_a_shifted_collection(folder):
    model = kinbits.HashModel.from_pretrained(folder)
    images = pictures()[0]
    dark = (images // 3).astype(np.uint8)
    before = model.fingerprint

    def imbalance():
        return np.abs(hamming.unpack(model.encode(dark), 19).mean(0) - 0.5).mean()

    first = imbalance()
    model.calibrate(dark, statistic="median")
    assert imbalance() < min(first, 0.1)
    assert model.fingerprint != before


def test_text_needs_a_text_tower(model):
    with pytest.raises(UsageError, match="no text tower"):
        model.encode("a dog", modality="text")


def test_an_unreadable_image_is_named_or_skipped(model, tmp_path):
    Image.fromarray(pictures()[0][0]).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"bad\.png"):
        model.encode([tmp_path / "good.png", tmp_path / "bad.png"])
    found = model.encode(kinbits.open_dataset(tmp_path), on_error="skip")
    assert (len(found), found.rows.tolist()) == (1, [1])
    assert [one.id for one in found.skipped] == ["bad.png"]
    np.testing.assert_array_equal(found.array, model.encode(tmp_path / "good.png"))
    with pytest.warns(UserWarning, match=r"skipped 1 of 2 images that cannot be read \(bad\.png: "):
        index = kinbits.Index.create(model=model).add(kinbits.open_dataset(tmp_path))
    assert index.search(tmp_path / "good.png").to_dicts() == [{"id": "good.png", "distance": 0}]
    (tmp_path / "good.png").write_bytes(b"not an image either")
    with pytest.raises(DataError, match=r"no image can be read \(bad\.png: .*; good\.png: .*\)"):
        kinbits.Index.create(model=model).add(kinbits.open_dataset(tmp_path))


def test_fingerprints_tell_models_apart(model):
    images, labels = pictures()
    data = kinbits.open_dataset(images, labels=labels)
    other = kinbits.fit(data, bits=19, backbone="convnet-small", epochs=1, seed=4, progress=False, cache=None)
    assert other.fingerprint != model.fingerprint


@pytest.mark.slow
def test_the_exported_graph_agrees(model, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    assert model.export(tmp_path / "model.onnx") >= 0.999
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    images = pictures()[0][:5]
    pixels = np.stack([model.towers["image"].backbone.preprocessing(Image.fromarray(image)) for image in images])
    logits = session.run(None, {"pixels": pixels})[0]
    equal = hamming.unpack(model.encode(images), 19) == (logits >= 0)
    assert equal.mean() >= 0.99


def test_an_index_takes_a_dataset_and_refuses_another_models_query(model, folder):
    images, labels = pictures()
    data = kinbits.open_dataset(images, labels=labels)
    index = kinbits.Index.create(model=model).add(data)
    hits = index.search(images[4], k=ROWS)
    assert hits.distances[list(hits.ids).index(data.ids[4])] == 0
    other = kinbits.HashModel.from_pretrained(folder).calibrate(images // 2)
    saved = index.save(folder.parent / "an.index")
    with pytest.raises(ArtefactError, match="model"):
        kinbits.Index.open(saved if saved is not None else folder.parent / "an.index", model=other)


def test_features_are_encoded_as_their_images_are(model, tmp_path):
    images, _ = pictures()
    (tmp_path / "bad.png").write_bytes(b"no image")
    backbone = model.tower().backbone
    found = extract(as_dataset([images[0], str(tmp_path / "bad.png"), images[1]]), backbone)
    encoded = model.encode(found, on_error="skip")
    assert (encoded.rows.tolist(), len(encoded.skipped)) == ([0, 2], 1)
    np.testing.assert_array_equal(encoded.array, model.encode(list(images[:2])))
    index = kinbits.Index.create(bits=19, model=model).add(list(images[:3]))
    assert [hits.distances[0] for hits in index.search(extract(as_dataset(images[:3]), backbone), k=1)] == [0, 0, 0]
    with pytest.raises(DataError, match="1 of 3 images cannot be read"):
        model.encode(found)
