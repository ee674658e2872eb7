"""What every backbone promises, tested over the registry, and what each one promises for itself."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from backbone_helpers import save_random
from PIL import Image

from kinbits.backbones import (
    Backbone,
    Preprocessing,
    build_backbone,
    fast_forward,
    list_backbones,
    load_backbone,
    register_backbone,
)
from kinbits.errors import ArtefactError, PlatformError, UsageError

# what to load for each registered name; a new backbone without an entry fails the first test
EXAMPLES = {
    "convnet-small": ("convnet-small", {}),
    "efficientnet_lite0": ("efficientnet_lite0", {"size": 64}),
    "efficientnet_lite2": ("efficientnet_lite2", {"size": 64}),
    "features": ("features", {"dim": 5}),
    "hf:": ("hf:{vit}", {}),
    "hf-text:": ("hf-text:{bert}", {}),
    "hf-joint-text:": ("hf-joint-text:{clip}", {}),
    "map:": ("map:convnet-small", {}),
    "minilm": ("minilm", {}),
    "pdq": ("pdq", {}),
    "phash": ("phash", {}),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {name: save_random(name, root / name) for name in ("vit", "resnet", "bert", "clip", "siglip")}


@pytest.fixture(scope="module", params=[*EXAMPLES, "resnet", "siglip"])
def backbone(request, folders) -> Backbone:
    torch.manual_seed(0)
    more = {"resnet": ("hf:{resnet}", {}), "siglip": ("hf-joint-text:{siglip}", {})}
    name, options = (EXAMPLES | more)[request.param]
    return load_backbone(name.format(**folders), **options)


def inputs(backbone: Backbone, n: int = 3):
    """Return n inputs for fast_forward."""
    rng = np.random.default_rng(0)
    if backbone.modality == "text":
        return ["a red dress", "two cats on a mat by the river", ""][:n]
    if backbone.modality == "vector":
        return rng.normal(size=(n, backbone.feature_dim)).astype(np.float32)
    side = backbone.preprocessing.size
    coarse = rng.integers(0, 256, (n, 3, side // 8, side // 8)).astype(np.uint8)
    return coarse.repeat(8, axis=2).repeat(8, axis=3)


@torch.no_grad()
def reference(backbone: Backbone, given) -> np.ndarray:
    """Return features by the plain forward."""
    if backbone.modality == "text":
        return backbone(**backbone.tokenize(given)).numpy()
    scale = 255 if backbone.modality == "image" else 1
    return backbone(torch.from_numpy(given).float() / scale).numpy()


def test_every_registered_backbone_is_tested():
    assert sorted([*EXAMPLES, "timm:"]) == list_backbones()


class TestEvery:
    def test_describes_itself(self, backbone):
        assert backbone.feature_dim > 0
        assert backbone.licence
        assert not backbone.training
        assert (backbone.preprocessing is not None) == (backbone.modality == "image")

    def test_round_trip_without_original_weights(self, backbone, tmp_path):
        from safetensors.torch import load_file, save_file

        config = json.loads(json.dumps(backbone.config()))
        save_file({k: v.contiguous() for k, v in backbone.state_dict().items()}, tmp_path / "w.safetensors")
        torch.manual_seed(9)
        rebuilt = build_backbone(config)
        rebuilt.load_state_dict(load_file(tmp_path / "w.safetensors"))
        assert rebuilt.fingerprint == backbone.fingerprint
        assert rebuilt.config() == backbone.config()
        np.testing.assert_array_equal(reference(rebuilt, inputs(rebuilt)), reference(backbone, inputs(backbone)))

    def test_config_tells_no_path_or_version_of_the_library(self, backbone):
        assert {"_name_or_path", "transformers_version"}.isdisjoint(backbone.config().get("config", {}))

    def test_rows_do_not_depend_on_their_batch(self, backbone):
        given = inputs(backbone)
        alone = np.concatenate([reference(backbone, given[row : row + 1]) for row in range(3)])
        np.testing.assert_allclose(reference(backbone, given), alone, atol=2e-5 * np.abs(alone).max() + 1e-6)

    def test_map_has_the_stated_shape(self, backbone):
        if backbone.map_shape is None:
            with pytest.raises(UsageError, match="no feature map"):
                backbone.feature_map(torch.zeros(1, 3, 32, 32))
        else:
            with torch.no_grad():
                maps = backbone.feature_map(torch.from_numpy(inputs(backbone)).float() / 255)
            assert maps.shape == (3, *backbone.map_shape)

    @pytest.mark.parametrize("engine", ["openvino", "torch"])
    def test_fast_path_agrees_with_torch(self, backbone, engine):
        given = inputs(backbone)
        slow, fast = reference(backbone, given), fast_forward(backbone, threads=1, engine=engine)(given)
        assert fast.dtype == np.float32
        np.testing.assert_allclose(fast, slow, atol=1e-4 * np.abs(slow).max())
        cosine = (fast * slow).sum(1) / np.linalg.norm(fast, axis=1) / np.linalg.norm(slow, axis=1)
        assert cosine.min() > 0.9999
        planes = np.random.default_rng(0).normal(size=(backbone.feature_dim, 64))
        assert ((fast @ planes >= 0) == (slow @ planes >= 0)).mean() >= 0.999
        assert fast_forward(backbone, engine="torch")(given[:0]).shape == (0, backbone.feature_dim)

    def test_fingerprint_follows_the_weights_not_the_name(self, backbone):
        before, name = backbone.fingerprint, backbone.name
        backbone.name = "another"
        assert backbone.fingerprint == before
        backbone.name = name
        if backbone.modality == "vector" or backbone.name in ("pdq", "phash"):  # which have no weights
            return
        weight = next(backbone.parameters())
        with torch.no_grad():
            weight.view(-1)[0] += 1
        assert backbone.fingerprint != before
        with torch.no_grad():
            weight.view(-1)[0] -= 1


@pytest.mark.parametrize(("size", "side"), [(128, 4), (100, 4), (224, 7)])
def test_efficientnet_works_at_other_sizes(size, side):
    backbone = load_backbone("efficientnet_lite0", size=size)
    with torch.no_grad():
        maps = backbone.feature_map(torch.rand(1, 3, size, size))
    assert maps.shape == (1, *backbone.map_shape) == (1, 1280, side, side)
    assert maps.min() >= 0


def test_efficientnet_normalises_as_it_was_trained():
    backbone = load_backbone("efficientnet_lite0", size=32)
    pixels = torch.arange(256.0).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    torch.testing.assert_close(backbone.normalise(pixels / 255), (pixels - 127) / 128)


def test_minilm_knows_meaning():
    run = fast_forward(load_backbone("minilm"), threads=1)
    a, b, c = run(["a kitten sleeps", "the young cat is napping", "quarterly tax report"])
    assert a @ b > 0.6 > 0.2 > a @ c
    np.testing.assert_allclose([a @ a, b @ b, c @ c], 1, atol=1e-5)


def test_long_text_is_cut_at_the_models_limit():
    tokens = load_backbone("minilm").tokenize(["word " * 1000, "short"])
    assert tokens["input_ids"].shape == (2, 256)
    assert tokens["attention_mask"].sum(1).tolist() == [256, 3]


def test_fast_path_keeps_the_weights_it_was_compiled_with():
    torch.manual_seed(0)
    backbone = load_backbone("convnet-small")
    run, given = fast_forward(backbone, threads=1), inputs(backbone)
    before = run(given)
    with torch.no_grad():
        for weight in backbone.parameters():
            weight.zero_()
    np.testing.assert_array_equal(run(given), before)


def test_convnet_is_trainable_to_its_first_layer():
    torch.manual_seed(0)
    backbone = load_backbone("convnet-small", size=28).train()
    assert not backbone.pretrained
    assert 1e6 < sum(weight.numel() for weight in backbone.parameters()) < 2e6
    backbone(torch.rand(4, 3, 28, 28)).pow(2).sum().backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in backbone.parameters())


def test_architecture_that_openvino_cannot_convert_falls_back_with_a_warning(monkeypatch):
    from kinbits.backbones import compiled

    def refuse(*_, **__):
        raise RuntimeError("unknown operation")

    monkeypatch.setattr(compiled, "compile_openvino", refuse)
    backbone = load_backbone("convnet-small")
    with pytest.warns(UserWarning, match="torch is used"):
        run = fast_forward(backbone)
    np.testing.assert_allclose(run(inputs(backbone)), reference(backbone, inputs(backbone)), rtol=1e-5)
    with pytest.raises(RuntimeError, match="unknown operation"):
        fast_forward(backbone, engine="openvino")


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("efficientnet_lite", {}, "did you mean efficientnet_lite"),
        ("hf:", {}, "after the colon"),
        ("features", {}, "needs dim"),
        ("features", {"dim": 0}, "width must be 1"),
        ("convnet-small", {"dim": 3}, "takes no dim"),
        ("minilm", {"size": 224}, "takes no size"),
        ("convnet-small", {"size": 2}, "too small"),
    ],
)
def test_wrong_request_is_explained(name, options, told):
    with pytest.raises(UsageError, match=told):
        load_backbone(name, **options)


@pytest.mark.parametrize("damage", [{"backbone": "vgg"}, {"preprocessing": {"size": 32}}, {"preprocessing": None}])
def test_damaged_config_is_an_artefact_error(damage):
    with pytest.raises(ArtefactError):
        build_backbone({**load_backbone("convnet-small").config(), **damage})


def test_config_cannot_name_a_model_that_transformers_does_not_have(folders):
    config = load_backbone(f"hf:{folders['vit']}").config()
    config["config"]["model_type"] = "os.system"
    with pytest.raises(ArtefactError, match=r"type .os\.system. is not built"):
        build_backbone(config)


def test_missing_timm_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(PlatformError, match=r"timm is not installed; run: pip install 'kinbits\[timm\]'"):
        load_backbone("timm:resnet18")


def test_taken_name_is_refused():
    with pytest.raises(UsageError, match="taken"):
        register_backbone("minilm")(type("Other", (Backbone,), {}))


def test_engine_and_threads_are_checked():
    backbone = load_backbone("convnet-small")
    with pytest.raises(UsageError, match="unknown engine"):
        fast_forward(backbone, engine="cuda")
    with pytest.raises(UsageError, match="0 threads"):
        fast_forward(backbone, threads=0)


def test_nothing_imports_torchvision_or_reports_usage():
    code = (
        "import sys; from kinbits.backbones import load_backbone, fast_forward\n"
        "load_backbone('minilm'); load_backbone('efficientnet_lite0')\n"
        "fast_forward(load_backbone('convnet-small'), threads=1)\n"
        "found = {'torchvision', 'sentence_transformers', 'openvino_telemetry.main'} & set(sys.modules)\n"
        "sys.exit(f'imported: {found}' if found else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


class TestPreprocessing:
    IMAGE = Image.fromarray(np.arange(40 * 60 * 3, dtype=np.uint32).reshape(40, 60, 3).astype(np.uint8))

    @pytest.mark.parametrize("rule", ["squash", "crop", "pad"])
    @pytest.mark.parametrize("box", [(40, 60), (60, 40), (1, 300), (300, 1), (32, 32)])
    def test_any_shape_of_image(self, rule, box):
        out = Preprocessing(32, resize=rule, crop_ratio=0.875)(Image.new("RGB", box, (10, 20, 30)))
        assert (out.shape, out.dtype) == ((3, 32, 32), np.uint8)
        assert [10, 20, 30] in out.reshape(3, -1).T.tolist()

    def test_crop_keeps_the_centre_and_pad_keeps_all(self):
        image = Image.new("RGB", (64, 32), (0, 0, 0))
        image.paste((255, 255, 255), (0, 0, 8, 32))  # a white bar at the left edge
        assert Preprocessing(32, resize="crop")(image).max() == 0
        padded = Preprocessing(32, (0.5,) * 3, resize="pad")(image)
        assert padded[0, 16, 0] == 255
        assert set(padded[0, 0].tolist()) == {128}

    def test_right_size_passes_unchanged(self):
        image = self.IMAGE.crop((0, 0, 32, 32))
        np.testing.assert_array_equal(Preprocessing(32)(image).transpose(1, 2, 0), np.asarray(image))

    def test_dict_round_trip(self):
        given = Preprocessing(99, (0.1, 0.2, 0.3), (1.0, 2.0, 3.0), "pad", "bicubic", crop_ratio=0.5)
        assert Preprocessing.from_dict(json.loads(json.dumps(given.to_dict()))) == given

    @pytest.mark.parametrize("wrong", [{"size": 0}, {"resize": "fit"}, {"interpolation": "area"}, {"std": (0,) * 3}])
    def test_impossible_values(self, wrong):
        with pytest.raises(UsageError):
            Preprocessing(**{"size": 32, **wrong})
