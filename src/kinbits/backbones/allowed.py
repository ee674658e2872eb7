"""Allow-lists for the configuration of a network: model families, fields and sizes that are safe to build.

A configuration can make transformers or timm unpickle a file, download another network, or run a compiled kernel.
Model folders come from other people, so every configuration is checked here first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kinbits.errors import ArtefactError

# fmt: off
IMAGE_FAMILIES = frozenset((
    "beit", "bit", "clip", "clip_vision_model", "convnext", "convnextv2", "cvt", "data2vec-vision", "deit", "dinov2",
    "dinov2_with_registers", "dinov3_convnext", "dinov3_vit", "donut-swin", "efficientnet", "focalnet",
    "hiera", "ijepa", "levit", "mobilenet_v1", "mobilenet_v2", "mobilevit", "mobilevitv2", "poolformer", "pvt",
    "pvt_v2", "regnet", "resnet", "segformer", "siglip", "siglip_vision_model", "swiftformer", "swin", "swinv2", "vit",
    "vit_msn",
))
TEXT_FAMILIES = frozenset((
    "albert", "bert", "camembert", "convbert", "deberta", "deberta-v2", "distilbert", "electra", "ernie", "eurobert",
    "jina_embeddings_v3", "megatron-bert", "mobilebert", "modernbert", "mpnet", "nomic_bert", "nystromformer",
    "rembert", "roberta", "roberta-prelayernorm", "roformer", "squeezebert", "xlm-roberta", "xlm-roberta-xl",
))
"""Transformers families with a single plain encoder: their code builds no other model and downloads nothing."""
JOINT_FAMILIES = frozenset(("clip", "siglip"))
"""Families with an image and a text encoder, which embed into one space."""
JOINT_TEXT_FAMILIES = frozenset(("clip_text_model", "siglip_text_model"))
"""The text encoders of these families."""

# the encoders inside a two-tower model
_PARTS = frozenset(("clip_text_model", "clip_vision_model", "siglip_text_model", "siglip_vision_model"))
# fields that do not describe the architecture; they are removed
NOISE = frozenset((
    "_attn_implementation_autoset", "_name_or_path", "architectures", "auto_map", "dtype", "id2label", "label2id",
    "loss_type", "name_or_path", "task_specific_params", "torch_dtype", "transformers_version",
))
# fields that make transformers build another network, compile code, or download files
_REFUSED = frozenset((
    "_attn_implementation", "_attn_implementation_internal", "_experts_implementation", "attn_implementation",
    "backbone", "backbone_config", "backbone_kwargs", "experts_implementation", "kernel_config", "model_args",
    "quantization_config", "reference_compile", "use_kernels", "use_pretrained_backbone", "use_timm_backbone",
))
# fmt: on
_LARGEST = 2**20  # largest integer in a configuration: the largest vocabularies have 250,000 words
_TIMM_NAME = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)?")


def allowed_config(fields: Any, families: frozenset[str]) -> dict[str, Any]:
    """Check a transformers configuration at every level, and return the fields of the architecture.

    Args:
        fields: The configuration as JSON types.
        families: Allowed values of ``model_type``.

    Returns:
        A copy without the fields that do not describe the architecture.

    Raises:
        ArtefactError: If the family, a field, or the size of a number is not allowed.
    """
    given = fields.get("model_type") if isinstance(fields, dict) else fields
    if not isinstance(fields, dict) or not isinstance(given, str) or given not in families:
        raise ArtefactError(
            f"a network of type {given!r:.80} is not built from a model's files; allowed: {', '.join(sorted(families))}"
        )
    return _checked(fields, families)


def _checked(fields: Mapping[str, Any], families: frozenset[str]) -> dict[str, Any]:
    clean = {name: value for name, value in fields.items() if name not in NOISE}
    for name in [name for name in clean if name in _REFUSED]:
        if clean.pop(name):  # None, False and "" have no effect
            raise ArtefactError(
                f"the configuration of the network sets {name!r}, which can download files or run code; "
                "remove it, or choose another model"
            )
    if "model_type" in clean and str(clean["model_type"]) not in families | _PARTS:
        raise ArtefactError(f"a network of type {clean['model_type']!r:.80} inside another is not built")
    return {name: _value(name, value, families) for name, value in clean.items()}


def _value(name: str, value: Any, families: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return _checked(value, families)
    if isinstance(value, list):
        _limit(name, sum(abs(part) for part in value if isinstance(part, int)))  # e.g. layers per stage
        return [_value(name, part, families) for part in value]
    if isinstance(value, str) and ("/" in value or "\\" in value):  # kernels are named OWNER/NAME
        raise ArtefactError(f"the configuration of the network has a path or address in {name!r}: {value!r:.80}")
    if isinstance(value, int):
        _limit(name, abs(value))
    return value


def _limit(name: str, size: int) -> None:
    if size > _LARGEST:
        raise ArtefactError(f"the configuration of the network says {size} in {name!r}; at most {_LARGEST} is built")


def allowed_timm(arch: Any, options: Any) -> tuple[str, dict[str, int]]:
    """Check the name and the options of a timm architecture, and return them.

    Raises:
        ArtefactError: If the name is a path or an address, or an option is not ``img_size``.
    """
    if not isinstance(arch, str) or not _TIMM_NAME.fullmatch(arch):
        raise ArtefactError(
            f"{arch!r:.80} is not a name of a timm architecture; names are like 'resnet18' or 'resnet18.a1_in1k', "
            "without a path or an address"
        )
    if not isinstance(options, dict) or not set(options) <= {"img_size"}:
        raise ArtefactError(f"timm's '{arch}' is made with the option img_size alone, not with {options!r:.80}")
    size = options.get("img_size", 1)
    if not isinstance(size, int) or not 1 <= size <= _LARGEST:
        raise ArtefactError(f"timm's '{arch}' has img_size {size!r:.80}; give a side in pixels")
    return arch, dict(options)
