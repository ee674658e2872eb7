"""Safe loading of models from the Hugging Face hub, with their preprocessing and licence."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError

from kinbits._util import one_line, require
from kinbits.backbones.allowed import allowed_config
from kinbits.backbones.preprocessing import Interpolation, Preprocessing
from kinbits.backbones.sealed import sealed
from kinbits.errors import ArtefactError, KinbitsError, PlatformError

# PIL's numbers of interpolations, as in the files of transformers
_RESAMPLE: dict[int, Interpolation] = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
_HALF = ((0.5,) * 3, (0.5,) * 3)
_CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# normalisation of the families' image processors, for models without a preprocessor file
_FAMILIES = {"vit": _HALF, "deit": _IMAGENET, "beit": _HALF, "siglip": _HALF, "clip": _CLIP}
# configuration fields that do not describe the architecture; fingerprints depend on this list, so do not change it
_NOISE = (
    "_name_or_path", "architectures", "auto_map", "dtype", "id2label", "label2id", "loss_type",
    "torch_dtype",
    "transformers_version",
)  # fmt: skip


def side_file(source: str, name: str) -> Path | None:
    """Return the local path of a file in the model's repository, downloaded if necessary; None without that file."""
    from transformers.utils import cached_file

    found = cached_file(
        source,
        name,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return Path(found) if found else None


def read_json(source: str, name: str) -> dict[str, Any]:
    """Return the contents of a JSON file in the model's repository; ``{}`` if it is missing or not an object.

    Raises:
        ArtefactError: If the file is not valid JSON.
    """
    path = side_file(source, name)
    if path is None:
        return {}
    try:
        value = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ArtefactError(f"{path} is not valid JSON ({error}); download the model again") from None
    return value if isinstance(value, dict) else {}


def licence(source: str) -> str:
    """Return the licence in the front matter of the model card."""
    path = side_file(source, "README.md")
    front = re.match(r"---\s*\n(.*?)\n---", path.read_text("utf-8", "replace"), re.DOTALL) if path else None
    try:
        fields = yaml.safe_load(front[1]) if front else None
    except yaml.YAMLError:
        fields = None
    stated = fields.get("license") if isinstance(fields, dict) else None
    stated = ", ".join(map(str, stated)) if isinstance(stated, list) else stated
    return str(stated) if stated else "unknown: see the model's card"


def preprocessing(source: str, family: str, image_size: int | None, size: int | None) -> Preprocessing:
    """Return the preprocessing that the file of a transformers image processor describes.

    Args:
        source: Hub name or folder.
        family: ``model_type`` of the configuration, for the defaults.
        image_size: Input side in the configuration, or None.
        size: Side that the user gave, or None.
    """
    fields = read_json(source, "preprocessor_config.json")
    fields = fields or read_json(source, "processor_config.json").get("image_processor", {})
    mean, std = _FAMILIES.get(family.removesuffix("_vision_model"), _IMAGENET)
    if not fields:
        warnings.warn(
            f"{source} has no preprocessor_config.json; using mean {mean} and std {std}",
            stacklevel=2,
        )
    side, rule, ratio = _geometry(fields, image_size or 224)
    mean, std = _normalisation(fields, mean, std)
    return Preprocessing(
        size=size or side,
        mean=mean,
        std=std,
        resize=rule,
        crop_ratio=ratio,
        interpolation=_RESAMPLE.get(fields.get("resample", 2), "bilinear"),
    )


def _geometry(fields: dict[str, Any], default: int) -> tuple[int, Any, float]:
    """Return (side, resize rule, crop ratio); the file can give the size in several forms."""
    size = fields.get("size", default)
    short = size.get("shortest_edge") if isinstance(size, dict) else None
    plain = size if isinstance(size, int) else (size.get("height") if isinstance(size, dict) else None)
    crop = fields.get("crop_size", default)
    crop = crop.get("height", default) if isinstance(crop, dict) else crop
    if fields.get("do_center_crop") and crop:
        return crop, "crop", min(1.0, crop / (short or plain or crop))
    if short:  # ConvNeXt: the short side is size / crop_pct; from 384 px, images are squashed
        ratio = fields.get("crop_pct") or 1.0
        return short, "squash" if short >= 384 and "crop_pct" in fields else "crop", ratio
    return plain or default, "squash", 1.0


def _normalisation(fields: dict[str, Any], mean: Any, std: Any) -> tuple[Any, Any]:
    """Return mean and std, converted to pixels in [0, 1]."""
    if fields.get("do_normalize") is False:
        mean, std = (0.0,) * 3, (1.0,) * 3
    else:
        mean, std = fields.get("image_mean") or mean, fields.get("image_std") or std
    scale = 255 * fields.get("rescale_factor", 1 / 255) if fields.get("do_rescale", True) else 255.0
    offset = 1.0 if fields.get("rescale_offset") else 0.0
    return tuple((m + offset) / scale for m in mean), tuple(s / scale for s in std)


def pretrained(model_class: Any, source: str, config: Any) -> tuple[Any, list[str]]:
    """Load a transformers model from safetensors, without running code from the repository.

    Args:
        model_class: A model class, or ``AutoModel``.
        source: Hub name or folder; a folder is read without the network.
        config: Checked configuration of the model, or of one of its towers.

    Returns:
        The float32 model in evaluation mode, and the names of the weights that the file lacks.

    Raises:
        ArtefactError: If the weights cannot be loaded, or belong to an adapter for another model.
        PlatformError: If the weights cannot be downloaded.
    """
    local = os.path.isdir(source)
    if side_file(source, "adapter_config.json") is not None:
        raise ArtefactError(f"'{source}' is an adapter for another model; merge it into that model")
    options: dict[str, Any] = {"config": config, "local_files_only": local}
    with explained(source), quiet(), sealed() if local else contextlib.nullcontext():
        model, info = model_class.from_pretrained(source, use_safetensors=True, output_loading_info=True, **options)
    return model.float().eval(), sorted(info["missing_keys"])


def incomplete(source: str, absent: list[str]) -> ArtefactError:
    """Return the error for a checkpoint that lacks weights."""
    return ArtefactError(
        f"'{source}' lacks {len(absent)} weights of its architecture (first: {absent[0]}); choose a complete checkpoint"
    )


def read_config(source: str, families: frozenset[str]) -> Any:
    """Return the transformers configuration of a hub name or folder.

    Raises:
        ArtefactError: If the folder is missing, or the configuration is damaged or not allowed.
        PlatformError: If it cannot be downloaded.
    """
    if source.startswith((".", "/", "~")) and not os.path.isdir(os.path.expanduser(source)):
        raise ArtefactError(f"there is no model folder '{source}'; give an existing folder or a hub name")
    transformers = require("transformers")
    with explained(source), quiet():
        fields, _ = transformers.PretrainedConfig.get_config_dict(source, local_files_only=os.path.isdir(source))
    if "auto_map" in fields and fields.get("model_type") not in families:
        raise ArtefactError(
            f"model '{source}' needs its own Python code, which kinbits never runs; choose a model whose architecture "
            "is part of transformers"
        )
    return config_object(fields, families)


def plain_config(config: Any) -> dict[str, Any]:
    """Return a configuration as JSON types, without paths, versions and label names."""
    fields: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    return {name: value for name, value in fields.items() if name not in _NOISE}


def config_object(fields: dict[str, Any], families: frozenset[str]) -> Any:
    """Return the transformers configuration object for the result of :func:`plain_config`.

    Raises:
        ArtefactError: If the fields are damaged or not allowed, or the family is unknown.
    """
    rest = allowed_config(fields, families)
    transformers = require("transformers")
    try:
        with quiet(), sealed():
            return transformers.AutoConfig.for_model(rest.pop("model_type"), **rest)
    except KinbitsError:
        raise
    except Exception as error:  # configuration classes raise many kinds of errors
        message = (
            f"the installed transformers cannot read the configuration of this backbone ({one_line(error)}); upgrade it"
        )
        raise ArtefactError(message) from error


def tower_config(config: Any, part: str) -> Any:
    """Return the configuration of one tower of a two-tower model.

    Args:
        config: Configuration of the model.
        part: ``"vision_config"`` or ``"text_config"``.
    """
    tower = getattr(config, part)
    if hasattr(config, "projection_dim"):
        tower.projection_dim = config.projection_dim  # the value in the tower can be wrong
    return tower


def build(model_class: Any, config: Any) -> Any:
    """Build the float32 network of a checked configuration, with untrained weights."""
    with quiet(), sealed():
        make = model_class.from_config if hasattr(model_class, "from_config") else model_class._from_config
        return make(config).float()


@contextlib.contextmanager
def explained(source: str) -> Iterator[None]:
    """Convert errors of model loading to an `ArtefactError` or a `PlatformError` with a remedy."""
    try:
        yield
    except KinbitsError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if os.path.isdir(source):
            raise ArtefactError(
                f"the model in '{source}' cannot be loaded: {first}; it needs config.json and "
                "model.safetensors (pickled weights are not read)"
            ) from error
        raise PlatformError(
            f"model '{source}' cannot be loaded: {first}; there is no such folder, and its safetensors cannot be "
            "downloaded. Check the name and the network; 'efficientnet_lite0' and 'minilm' work offline"
        ) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the log messages and progress bars of transformers; kinbits checks for missing weights itself."""
    if "transformers" not in sys.modules:  # not imported yet, and the import takes seconds
        yield
        return
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
