"""Conversion of published weights to model folders for the backbone ``hf:``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from kinbits.errors import ArtefactError

# timm's names inside a block -> transformers' (the hub's) names inside a layer
_LAYER = {
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
_OUTER = {
    "cls_token": "embeddings.cls_token",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
    "patch_embed.proj.bias": "embeddings.patch_embeddings.projection.bias",
    "norm.weight": "layernorm.weight",
    "norm.bias": "layernorm.bias",
}


def vit_from_timm(
    weights: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    head_width: int = 64,
    mean: float = 0.5,
    std: float = 0.5,
    licence: str | None = None,
) -> Path:
    """Write a plain ViT with timm's parameter names as a transformers folder, for ``hf:FOLDER``.

    The classifier is dropped. Depth, width, patch size and image size follow from the shapes of the tensors.

    Args:
        weights: A safetensors file: ``cls_token``, ``pos_embed``, ``patch_embed.proj.*``,
            ``blocks.N.{norm1,attn.qkv,attn.proj,norm2,mlp.fc1,mlp.fc2}.*``, ``norm.*``.
        folder: Output folder; created if it does not exist.
        head_width: Width of an attention head, 64 in all standard ViTs. The shapes do not determine it.
        mean: Mean of the normalisation, for pixels in [0, 1].
        std: Standard deviation of the normalisation.
        licence: Licence for the model card; None writes no card.

    Returns:
        The folder.

    Raises:
        ArtefactError: If the tensors do not form a plain ViT.
    """
    from safetensors.torch import load_file, save_file

    tensors = {name: tensor.float() for name, tensor in load_file(weights).items()}
    try:
        config = _config(tensors, head_width)
        renamed = _renamed(tensors, config["num_hidden_layers"])
    except (KeyError, IndexError, ValueError) as error:
        raise ArtefactError(
            f"{weights} is not a plain ViT in timm's layout ({error!r}); nothing was written"
        ) from error
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})
    _write_json(folder / "config.json", config)
    _write_json(folder / "preprocessor_config.json", _processor(config["image_size"], mean, std))
    if licence:
        (folder / "README.md").write_text(f"---\nlicense: {licence}\n---\nA ViT converted from timm's layout.\n")
    return folder


def _config(tensors: Mapping[str, Tensor], head_width: int) -> dict[str, Any]:
    width, _, patch, _ = tensors["patch_embed.proj.weight"].shape
    grid = round((tensors["pos_embed"].shape[1] - 1) ** 0.5)
    layers = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("blocks."))
    return {
        "model_type": "vit",
        "architectures": ["ViTModel"],
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // head_width,
        "intermediate_size": tensors["blocks.0.mlp.fc1.weight"].shape[0],
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "image_size": grid * patch,
        "patch_size": patch,
        "num_channels": 3,
        "qkv_bias": True,
    }


def _renamed(tensors: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    out = {new: tensors[old].contiguous() for old, new in _OUTER.items()}
    for number in range(layers):
        block, layer = f"blocks.{number}.", f"encoder.layer.{number}."
        for part in ("weight", "bias"):
            for old, new in _LAYER.items():
                out[f"{layer}{new}.{part}"] = tensors[f"{block}{old}.{part}"].contiguous()
            # timm stacks query, key and value in one matrix
            fused = tensors[f"{block}attn.qkv.{part}"].chunk(3)
            for new, tensor in zip(("query", "key", "value"), fused, strict=True):
                out[f"{layer}attention.attention.{new}.{part}"] = tensor.clone()
    return out


def _processor(size: int, mean: float, std: float) -> dict[str, Any]:
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": size, "width": size},
        "resample": 3,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [mean] * 3,
        "image_std": [std] * 3,
    }


def _write_json(path: Path, fields: dict[str, Any]) -> None:
    path.write_text(json.dumps(fields, indent=2) + "\n")
