"""Text halves of CLIP and SigLIP: the embeddings of transformers, at unit length, or moved to image features."""

import json

import numpy as np
import pytest
import torch
from backbone_helpers import END, START, save_random
from safetensors.torch import load_file, save_file

from kinbits.backbones import build_backbone, load_backbone, require_modality
from kinbits.errors import ArtefactError, UsageError

TEXTS = ["a red dress", "two cats on the mat", ""]
LIMIT = 16


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("joint")
    found = {kind: save_random(kind, root / kind) for kind in ("clip", "siglip")}
    found["clip-old"] = save_random("clip", root / "old")
    change(found["clip-old"], eos_token_id=2)  # as in the first published folders
    return found


def change(folder, **fields):
    config = json.loads((folder / "config.json").read_text())
    config["text_config"] |= fields
    (folder / "config.json").write_text(json.dumps(config))


def ids_of(kind, text):
    """Return the tokens of a text as the family was trained."""
    if kind == "siglip":
        words = {"a": 5, "red": 6, "dress": 7, "two": 8, "cats": 9, "on": 10, "mat": 11, "the": 12}
        ids = [2, *(words[word] for word in text.split()), 3]
        return ids + [0] * (LIMIT - len(ids))
    ids = [START]
    for word in text.split():
        ids += [ord(letter) - ord("a") for letter in word]
        ids[-1] += 26  # the last letter of a word is a token of its own
    return [*ids[: LIMIT - 1], END]


@torch.no_grad()
def published(kind, folder):
    """Return the embeddings of `TEXTS` by the whole model of transformers."""
    from transformers import AutoModel

    whole = AutoModel.from_pretrained(folder).eval()
    found = [whole.get_text_features(input_ids=torch.tensor([ids_of(kind, text)])).pooler_output for text in TEXTS]
    return torch.cat(found).numpy()


@torch.no_grad()
def features(backbone, texts=TEXTS):
    return backbone(**backbone.tokenize(texts)).numpy()


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", ["clip", "clip-old", "siglip"])
def test_features_are_the_unit_embeddings_of_the_whole_model(kind, folders):
    backbone = load_backbone(f"hf-joint-text:{folders[kind]}")
    wanted = unit(published(kind.removesuffix("-old"), folders[kind]))
    np.testing.assert_allclose(features(backbone), wanted, atol=1e-6)
    assert (backbone.modality, backbone.feature_dim, backbone.licence) == ("text", wanted.shape[1], "mit")


@pytest.mark.parametrize("kind", ["clip", "siglip"])
@torch.no_grad()
def test_images_have_the_features_of_the_whole_model(kind, folders):
    from transformers import AutoModel

    image = load_backbone(f"hf:{folders[kind]}")
    pixels = torch.rand(2, 3, 32, 32)
    whole = AutoModel.from_pretrained(folders[kind]).eval()
    wanted = whole.get_image_features(pixel_values=image.normalise(pixels)).pooler_output
    torch.testing.assert_close(image(pixels), wanted)
    text = image.text_half()
    assert text.name == f"hf-joint-text:{folders[kind]}"
    assert text.feature_dim == image.feature_dim
    assert not text.aligned


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_aligned_features_follow_the_formula_and_are_saved(kind, folders, tmp_path):
    backbone, rng = load_backbone(f"hf-joint-text:{folders[kind]}"), np.random.default_rng(0)
    before = backbone.fingerprint
    text_mean, image_mean = rng.normal(size=(2, backbone.feature_dim)).astype(np.float32)
    backbone.align(torch.from_numpy(text_mean), torch.from_numpy(image_mean), 2.5)
    wanted = 2.5 * (unit(published(kind, folders[kind])) - text_mean) + image_mean
    np.testing.assert_allclose(features(backbone), wanted, atol=1e-5)
    assert backbone.fingerprint != before
    save_file(backbone.state_dict(), tmp_path / "weights.safetensors")
    rebuilt = build_backbone(json.loads(json.dumps(backbone.config())))
    rebuilt.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert rebuilt.aligned
    assert rebuilt.fingerprint == backbone.fingerprint
    np.testing.assert_array_equal(features(rebuilt), features(backbone))


def test_texts_are_padded_as_each_family_was_trained(folders):
    clip, siglip = (load_backbone(f"hf-joint-text:{folders[kind]}") for kind in ("clip", "siglip"))
    assert clip.tokenize(["a", "a red"])["input_ids"].tolist() == [[START, 26, END, 0, 0, 0], ids_of("clip", "a red")]
    assert siglip.tokenize(["a"])["input_ids"].tolist() == [ids_of("siglip", "a")]
    assert clip.tokenize(["red " * 99])["input_ids"].shape == siglip.tokenize(["red " * 99])["input_ids"].shape


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_a_folder_with_the_image_half_alone_has_no_text_half(kind, tmp_path, folders):
    from transformers import CLIPVisionModelWithProjection, SiglipVisionModel

    half = {"clip": CLIPVisionModelWithProjection, "siglip": SiglipVisionModel}[kind]
    whole = load_backbone(f"hf:{folders[kind]}")
    half.from_pretrained(folders[kind], config=whole.network.config).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text((folders[kind] / "preprocessor_config.json").read_text())
    assert load_backbone(f"hf:{tmp_path}").text_half() is None
    with pytest.raises(ArtefactError, match=f"type '{kind}_vision_model' is not built"):
        load_backbone(f"hf-joint-text:{tmp_path}")


def test_other_models_have_no_text_half(folders, tmp_path):
    assert load_backbone("convnet-small").text_half() is None
    assert load_backbone(f"map:hf:{folders['clip']}").text_half() is None
    assert load_backbone(f"hf:{save_random('vit', tmp_path / 'vit')}").text_half() is None
    restored = build_backbone(load_backbone(f"hf:{folders['clip']}").config())
    assert restored.text_half() is None  # its folder may be gone
    with pytest.raises(UsageError, match="reads texts, but images are needed here"):
        require_modality("hf-joint-text:x", "image")


def test_what_is_missing_is_named(tmp_path):
    folder = save_random("clip", tmp_path / "clip")
    (folder / "tokenizer.json").rename(tmp_path / "tokenizer.json")
    with pytest.raises(ArtefactError, match=r"has no tokenizer\.json, which its texts need"):
        load_backbone(f"hf-joint-text:{folder}")
    (tmp_path / "tokenizer.json").rename(folder / "tokenizer.json")
    weights = load_file(folder / "model.safetensors")
    weights.pop("text_projection.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert load_backbone(f"hf:{folder}").feature_dim == 10
    with pytest.raises(ArtefactError, match=r"lacks 1 weights.*text_projection\.weight"):
        load_backbone(f"hf-joint-text:{folder}")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"model_type": "clip"}, "type 'clip' is not built"),
        ({"model_type": "bert"}, "type 'bert' is not built"),
        ({"model_type": "clip_text_model", "vocab_size": 10**9}, "says 1000000000 in 'vocab_size'"),
        ({"model_type": "siglip_text_model", "attn_implementation": "a/b"}, "sets 'attn_implementation'"),
    ],
)
def test_forged_configurations_are_refused(fields, told):
    rest = {"name": "x", "licence": "mit", "pretrained": True, "tokenizer_bytes": 3, "aligned": True}
    with pytest.raises(ArtefactError, match=told):
        build_backbone({"backbone": "hf-joint-text:", "config": fields, **rest})
