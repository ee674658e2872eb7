"""Models from the hub's formats: the right feature of each family, safely loaded."""

from __future__ import annotations

import json
import os

import pytest
import torch
from backbone_helpers import PROCESSORS, save_random

from kinbits.backbones import build_backbone, load_backbone
from kinbits.errors import ArtefactError, PlatformError

FAMILIES = list(PROCESSORS)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("hub")
    return {kind: save_random(kind, root / kind) for kind in (*FAMILIES, "bert")}


@pytest.fixture
def own(request, tmp_path):
    """A folder that a test may damage."""
    return save_random("vit", tmp_path / "own")


@torch.no_grad()
def expected(kind: str, folder, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The feature and the map that each family's own class gives."""
    import transformers as t

    whole = t.AutoModel.from_pretrained(folder).eval()
    tower = whole.vision_model if kind in ("clip", "siglip") else whole
    out = tower(pixel_values=x)
    hidden = out.last_hidden_state
    pooled = {
        "vit": lambda: hidden[:, 0],
        "dinov2": lambda: hidden[:, 0],
        "clip": lambda: whole.visual_projection(out.pooler_output),
    }.get(kind, lambda: out.pooler_output.flatten(1))()
    if hidden.dim() == 4:
        return pooled, hidden
    tokens = hidden[:, 1:] if kind in ("vit", "dinov2", "clip") else hidden
    side = int(tokens.shape[1] ** 0.5)
    return pooled, torch.stack([image.T.reshape(-1, side, side) for image in tokens])


@pytest.mark.parametrize("kind", FAMILIES)
def test_feature_and_map_of_each_family(kind, folders):
    backbone = load_backbone(f"hf:{folders[kind]}")
    x = torch.rand(2, 3, backbone.preprocessing.size, backbone.preprocessing.size)
    pooled, spatial = expected(kind, folders[kind], backbone.normalise(x))
    with torch.no_grad():
        torch.testing.assert_close(backbone(x), pooled)
        torch.testing.assert_close(backbone.feature_map(x), spatial)
    assert (backbone.feature_dim, backbone.map_shape) == (pooled.shape[1], tuple(spatial.shape[1:]))
    assert backbone.licence == "mit"
    rebuilt = build_backbone(json.loads(json.dumps(backbone.config())))
    rebuilt.load_state_dict(backbone.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(rebuilt(x), pooled)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("vit", (32, "squash", "bicubic", 1.0, 0.5)),
        ("clip", (32, "crop", "bilinear", 1.0, 0.5)),
        ("dinov2", (32, "crop", "bilinear", 32 / 48, 0.485)),
        ("resnet", (64, "crop", "bicubic", 0.875, 0.485)),
        ("convnext", (64, "crop", "bilinear", 1.0, 0.485)),
    ],
)
def test_preprocessing_is_read_from_the_processor_file(kind, told, folders):
    p = load_backbone(f"hf:{folders[kind]}").preprocessing
    assert (p.size, p.resize, p.interpolation, p.crop_ratio, p.mean[0]) == told


@pytest.mark.parametrize(
    ("fields", "mean", "std"),
    [
        ({"do_normalize": False}, 0.0, 1.0),
        ({"rescale_factor": 1 / 127.5, "image_mean": [1] * 3, "image_std": [1] * 3}, 0.5, 0.5),
        ({"rescale_factor": 1 / 127.5, "rescale_offset": True, "do_normalize": False}, 0.5, 0.5),
    ],
)
def test_other_scales_become_mean_and_std_of_unit_pixels(own, fields, mean, std):
    (own / "preprocessor_config.json").write_text(json.dumps(fields))
    p = load_backbone(f"hf:{own}").preprocessing
    assert (p.mean[0], p.std[0]) == pytest.approx((mean, std))


def test_missing_processor_file_is_said(own):
    (own / "preprocessor_config.json").unlink()
    with pytest.warns(UserWarning, match=r"no preprocessor_config.json; using mean \(0.5"):
        assert load_backbone(f"hf:{own}").preprocessing.size == 32


def test_vit_at_another_size_interpolates_positions(folders):
    backbone = load_backbone(f"hf:{folders['vit']}", size=48)
    assert backbone.map_shape == (24, 6, 6)
    with torch.no_grad():
        assert backbone(torch.rand(2, 3, 48, 48)).shape == (2, 24)


def test_model_card_without_licence(own):
    (own / "README.md").write_text("# No front matter\n")
    assert load_backbone(f"hf:{own}").licence == "unknown: see the model's card"


def test_fingerprint_of_two_loads_agrees_though_the_pooler_is_random(folders):
    first, second = (load_backbone(f"hf:{folders['vit']}").fingerprint for _ in range(2))
    assert first == second


def test_pickled_weights_are_refused(own):
    (own / "model.safetensors").unlink()
    torch.save({}, own / "pytorch_model.bin")
    with pytest.raises(ArtefactError, match="pickled weights are not read"):
        load_backbone(f"hf:{own}")


def test_remote_code_is_refused(own):
    marker = own / "ran"
    (own / "evil.py").write_text(f"open({str(marker)!r}, 'w')")
    config = json.loads((own / "config.json").read_text())
    auto = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}
    (own / "config.json").write_text(json.dumps({**config, "model_type": "evil", "auto_map": auto}))
    with pytest.raises(ArtefactError, match="never runs"):
        load_backbone(f"hf:{own}")
    assert not marker.exists()


def test_incomplete_checkpoint_is_refused(own):
    from safetensors.torch import load_file, save_file

    weights = load_file(own / "model.safetensors")
    weights.pop(next(name for name in weights if "layernorm_before" in name))
    save_file(weights, own / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ArtefactError, match="lacks 1 weights"):
        load_backbone(f"hf:{own}")


def test_truncated_weights_are_an_artefact_error(own):
    os.truncate(own / "model.safetensors", 1000)
    with pytest.raises(ArtefactError, match="cannot be loaded"):
        load_backbone(f"hf:{own}")


def test_missing_folder():
    with pytest.raises(ArtefactError, match="no model folder"):
        load_backbone("hf:./not/here")


def test_offline_names_the_offline_backbones(monkeypatch):
    import transformers

    def offline(*_, **__):
        raise OSError("We couldn't connect to 'https://huggingface.co'")

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", offline)
    with pytest.raises(PlatformError, match="efficientnet_lite0"):
        load_backbone("hf:someone/some-model")


def test_text_is_the_mean_of_its_real_tokens(folders):
    import transformers

    backbone = load_backbone(f"hf-text:{folders['bert']}")
    model = transformers.AutoModel.from_pretrained(folders["bert"]).eval()
    texts = ["a red dress", "two cats on the mat on the mat"]
    with torch.no_grad():
        got = backbone(**backbone.tokenize(texts))
        for text, feature in zip(texts, got, strict=True):
            ids = backbone.tokenize([text])["input_ids"]  # alone, so there is no padding
            mean = model(input_ids=ids).last_hidden_state[0].mean(0)
            torch.testing.assert_close(feature, mean / mean.norm())
    assert backbone.tokenize(["a " * 99])["input_ids"].shape == (1, 16)
    assert backbone.licence == "mit"
