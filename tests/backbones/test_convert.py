"""The conversion of timm's ViT layout, against a forward pass written out from the tensors."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from kinbits.backbones import load_backbone, vit_from_timm
from kinbits.errors import ArtefactError

WIDTH, HEADS, PATCH, SIDE, DEPTH = 128, 2, 4, 16, 2


def random_vit() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    shapes = {
        "cls_token": (1, 1, WIDTH),
        "pos_embed": (1, (SIDE // PATCH) ** 2 + 1, WIDTH),
        "patch_embed.proj.weight": (WIDTH, 3, PATCH, PATCH),
        "patch_embed.proj.bias": (WIDTH,),
        "head.weight": (10, WIDTH),
    }
    layers = {"attn.qkv": (3 * WIDTH, WIDTH), "attn.proj": (WIDTH, WIDTH)}
    layers |= {"mlp.fc1": (200, WIDTH), "mlp.fc2": (WIDTH, 200)}
    for block in (f"blocks.{n}." for n in range(DEPTH)):
        for name, shape in layers.items():
            shapes |= {f"{block}{name}.weight": shape, f"{block}{name}.bias": shape[:1]}
        for norm in ("norm1", "norm2"):
            shapes |= {f"{block}{norm}.weight": (WIDTH,), f"{block}{norm}.bias": (WIDTH,)}
    shapes |= {"norm.weight": (WIDTH,), "norm.bias": (WIDTH,)}
    return {name: torch.randn(shape) * 0.1 for name, shape in shapes.items()}


def forward(w: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Return all tokens after the last norm, computed with plain operations."""

    def norm(name: str, t: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(t, (WIDTH,), w[f"{name}.weight"], w[f"{name}.bias"], 1e-6)

    def linear(name: str, t: torch.Tensor) -> torch.Tensor:
        return t @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    patches = F.conv2d(x, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=PATCH)
    tokens = torch.cat([w["cls_token"].expand(len(x), -1, -1), patches.flatten(2).transpose(1, 2)], 1)
    tokens = tokens + w["pos_embed"]
    for block in (f"blocks.{n}." for n in range(DEPTH)):
        fused = linear(f"{block}attn.qkv", norm(f"{block}norm1", tokens))
        q, k, v = fused.unflatten(2, (3, HEADS, 64)).permute(2, 0, 3, 1, 4)
        mixed = torch.softmax(q @ k.transpose(2, 3) / 8, -1) @ v
        tokens = tokens + linear(f"{block}attn.proj", mixed.transpose(1, 2).flatten(2))
        hidden = F.gelu(linear(f"{block}mlp.fc1", norm(f"{block}norm2", tokens)))
        tokens = tokens + linear(f"{block}mlp.fc2", hidden)
    return norm("norm", tokens)


def test_converted_model_computes_the_same(tmp_path):
    weights = random_vit()
    save_file(weights, tmp_path / "timm.safetensors")
    folder = vit_from_timm(tmp_path / "timm.safetensors", tmp_path / "vit", licence="apache-2.0")
    backbone = load_backbone(f"hf:{folder}")
    x = torch.rand(3, 3, SIDE, SIDE)
    tokens = forward(weights, (x - 0.5) / 0.5)
    with torch.no_grad():
        torch.testing.assert_close(backbone(x), tokens[:, 0], atol=1e-5, rtol=1e-4)
        maps = backbone.feature_map(x)
    torch.testing.assert_close(maps.flatten(2).transpose(1, 2), tokens[:, 1:], atol=1e-5, rtol=1e-4)
    assert (backbone.preprocessing.size, backbone.preprocessing.interpolation) == (SIDE, "bicubic")
    assert backbone.licence == "apache-2.0"


def test_other_tensors_are_refused_and_nothing_is_written(tmp_path):
    weights = random_vit()
    weights.pop("blocks.1.attn.qkv.weight")
    save_file(weights, tmp_path / "timm.safetensors")
    with pytest.raises(ArtefactError, match="not a plain ViT"):
        vit_from_timm(tmp_path / "timm.safetensors", tmp_path / "vit")
    assert not (tmp_path / "vit").exists()


def test_files_are_those_of_the_hub(tmp_path):
    save_file(random_vit(), tmp_path / "timm.safetensors")
    folder = vit_from_timm(tmp_path / "timm.safetensors", tmp_path / "vit", mean=0.4, std=0.3)
    processor = json.loads((folder / "preprocessor_config.json").read_text())
    assert (processor["image_mean"], processor["image_std"]) == ([0.4] * 3, [0.3] * 3)
    assert not (folder / "README.md").exists()
