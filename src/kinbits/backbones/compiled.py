"""Fast features of a frozen backbone: a compiled OpenVINO graph on the CPU, torch on a GPU.

OpenVINO and ONNX Runtime were measured against torch by ``benchmarks/bench_extraction.py``; the faster,
OpenVINO, is used here. Bytes go in: conversion to float and normalisation are part of the graph.
"""

from __future__ import annotations

import copy
import functools
import itertools
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from kinbits.backbones.base import Backbone
from kinbits.backbones.hub import quiet
from kinbits.errors import UsageError

Engine = Literal["auto", "openvino", "torch"]
Forward = Callable[[Any], np.ndarray]

BATCH = 32
"""Images or texts that pass the graph together: larger batches leave the cache and are slower on a CPU."""
FEW = 4 * BATCH
"""Rows that torch has computed before a graph would be compiled."""
_kept: WeakKeyDictionary[Backbone, _Kept] = WeakKeyDictionary()

# only the forking thread lives on in a child: OpenMP would wait there for its other threads, for ever
os.register_at_fork(after_in_child=functools.partial(torch.set_num_threads, 1))


def fast_forward(backbone: Backbone, *, threads: int | None = None, engine: Engine = "auto") -> Forward:
    """Compile a backbone for inference; later changes of its weights have no effect on the result.

    Args:
        backbone: For images, text or vectors.
        threads: CPU threads of the OpenVINO graph; None takes one for each core. The torch engine goes
            by ``torch.set_num_threads``.
        engine: ``"auto"`` is torch for a backbone on a GPU, OpenVINO otherwise, and torch with a warning
            where OpenVINO cannot convert the architecture.

    Returns:
        A function to float32 ``(b, d)`` from uint8 ``(b, 3, s, s)`` for images, from a list of b texts for
        text, from float ``(b, d)`` for vectors. Any b, also 0. Several threads may call it at once; a forked
        child may not, and makes its own.

    Raises:
        UsageError: If the engine is unknown, or threads are below 1.

    Example:
        >>> from kinbits.backbones import load_backbone
        >>> run = fast_forward(load_backbone("convnet-small"), engine="torch")
        >>> run(np.zeros((2, 3, 32, 32), np.uint8)).shape
        (2, 384)
    """
    if engine not in ("auto", "openvino", "torch"):
        raise UsageError(f"unknown engine '{engine}'; use auto, openvino or torch")
    if threads is not None and threads < 1:
        raise UsageError(f"{threads} threads cannot compute anything; use 1 or more, or None for all cores")
    if backbone.modality == "vector":
        return _vectors
    run = _torch_runner(backbone) if engine == "torch" or _on_gpu(backbone) else None
    if run is None:
        run = _openvino_or_torch(backbone, threads, strict=engine == "openvino")
    encode = _image_inputs if backbone.modality == "image" else _text_inputs(backbone)
    return _Batches(run, encode, backbone.feature_dim)


def kept_forward(backbone: Backbone, rows: int, *, threads: int | None, engine: Engine) -> Forward:
    """Return what `fast_forward` does, and keep it for the next call while the backbone lives and keeps its weights.

    Compiling takes seconds: for fewer than 128 rows, ``"auto"`` takes torch unless a compiled graph is already there.

    Args:
        backbone: As for `fast_forward`.
        rows: How many rows are to be computed.
        threads: As for `fast_forward`.
        engine: As for `fast_forward`.
    """
    kept = _kept.get(backbone)
    if kept is None or not kept.fits(backbone, thorough=rows >= FEW):
        kept = _kept[backbone] = _Kept(backbone)
    if engine == "auto" and rows < FEW and (threads, engine) not in kept.forwards:
        engine = "torch"
    if (threads, engine) not in kept.forwards:
        kept.forwards[threads, engine] = fast_forward(backbone, threads=threads, engine=engine)
    return kept.forwards[threads, engine]


class _Kept:
    """What was compiled from a backbone, and for which weights and process.

    To hash all weights takes longer than one image does. So a few rows only ask PyTorch whether a tensor was replaced
    or written to, and many rows ask the hash as well, which also sees what was written through ``tensor.data``.

    Attributes:
        forwards: By number of threads and engine.
    """

    def __init__(self, backbone: Backbone) -> None:
        self.forwards: dict[tuple[int | None, Engine], Forward] = {}
        self._held = [tensor.detach() for tensor in _tensors(backbone)]  # so that no other one gets their address
        self._state = _state(backbone)
        self._fingerprint = backbone.fingerprint
        self._process = os.getpid()

    def fits(self, backbone: Backbone, *, thorough: bool) -> bool:
        """Tell whether the weights are the same, and the process too: a forked child has no threads of a graph."""
        same = self._process == os.getpid() and self._state == _state(backbone)
        return same and not (thorough and backbone.fingerprint != self._fingerprint)


def _tensors(backbone: Backbone) -> Iterator[Tensor]:
    return itertools.chain(backbone.parameters(), backbone.buffers())


def _state(backbone: Backbone) -> list[tuple[int, int]]:
    """Return where each tensor is, and how often PyTorch wrote to it; it does not count this for inference tensors."""
    return [(t.data_ptr(), 0 if t.is_inference() else t._version) for t in _tensors(backbone)]


class _Batches:
    """Cut the input into batches of the best size."""

    def __init__(self, run: Callable[..., np.ndarray], encode: Callable[[Any], Any], features: int) -> None:
        self._run, self._encode, self._features = run, encode, features

    def __call__(self, inputs: np.ndarray | Sequence[str]) -> np.ndarray:
        out = np.empty((len(inputs), self._features), np.float32)
        for start in range(0, len(inputs), BATCH):
            out[start : start + BATCH] = self._run(*self._encode(inputs[start : start + BATCH]))
        return out


class _Pixels(nn.Module):
    """Bytes to features: what is exported for images."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, pixels: Tensor) -> Tensor:
        out: Tensor = self.backbone(pixels.float() / 255)
        return out


def exportable(backbone: Backbone) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return a detached copy of the inference graph, and example inputs to trace it with.

    Args:
        backbone: For images (the graph takes uint8 ``(n, 3, s, s)``) or text (token numbers and mask).
    """
    frozen = copy.deepcopy(backbone).cpu().float().eval().requires_grad_(False)
    if backbone.preprocessing is not None:
        side = backbone.preprocessing.size
        return _Pixels(frozen).eval(), (torch.zeros(2, 3, side, side, dtype=torch.uint8),)
    tokens = backbone.tokenize(["two of", "these texts, of unequal length"])
    return frozen, tuple(tokens.values())


def _openvino_or_torch(backbone: Backbone, threads: int | None, *, strict: bool) -> Callable[..., np.ndarray]:
    try:
        return _openvino_runner(backbone, threads)
    except Exception as error:  # the converter's errors have no common base
        if strict:
            raise
        reason = (str(error).strip().splitlines() or [""])[0]
        warnings.warn(
            f"OpenVINO cannot run '{backbone.name}' ({type(error).__name__}: {reason}); torch is used, which is slower",
            stacklevel=3,
        )
        return _torch_runner(backbone)


def _openvino_runner(backbone: Backbone, threads: int | None) -> Callable[..., np.ndarray]:
    compiled = compile_openvino(*exportable(backbone), threads=threads)
    idle: SimpleQueue[Any] = SimpleQueue()  # requests, each of which answers one caller at a time

    def run(*inputs: np.ndarray) -> np.ndarray:
        try:
            request = idle.get_nowait()
        except Empty:
            request = compiled.create_infer_request()
        result: np.ndarray = request.infer(inputs, share_inputs=True)[0]
        idle.put(request)
        return result

    return run


def compile_openvino(module: nn.Module, example: tuple[Tensor, ...], *, threads: int | None) -> Any:
    """Convert a module and compile it for the CPU, in float32, with every dynamic axis left open.

    Args:
        module: From :func:`exportable`.
        example: Its inputs; images keep their size, the axes of text inputs are all dynamic.
        threads: CPU threads, None for one a core.
    """
    ov = _openvino()
    shapes = [[-1, *part.shape[1:]] if part.dtype == torch.uint8 else [-1, -1] for part in example]
    with warnings.catch_warnings(), quiet(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing warns about branches on shapes, which are fixed here
        inputs = [ov.PartialShape(shape) for shape in shapes]
        model = ov.convert_model(module, example_input=example if len(example) > 1 else example[0], input=inputs)
    # latency: all threads work on one batch; streams would each hold a batch and fall out of the cache
    options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    if threads is not None:
        options["INFERENCE_NUM_THREADS"] = threads
    return ov.Core().compile_model(model, "CPU", options)


def _openvino() -> Any:
    """Import OpenVINO without the usage reports that it would send over the network by default."""
    name = "openvino_telemetry"
    block = "openvino" not in sys.modules and name not in sys.modules
    if block:
        sys.modules[name] = None  # type: ignore[assignment]  # OpenVINO then takes its own stand-in
    try:
        import openvino
    finally:
        if block:
            del sys.modules[name]
    return openvino


def _torch_runner(backbone: Backbone) -> Callable[..., np.ndarray]:
    module, _ = exportable(backbone)
    device = _device(backbone)
    module.to(device)

    @torch.inference_mode()
    def run(*inputs: np.ndarray) -> np.ndarray:
        result: np.ndarray = module(*(torch.from_numpy(part).to(device) for part in inputs)).float().cpu().numpy()
        return result

    return run


def _device(backbone: Backbone) -> torch.device:
    first = next(backbone.parameters(), None)
    return first.device if first is not None else torch.device("cpu")


def _on_gpu(backbone: Backbone) -> bool:
    return _device(backbone).type != "cpu"


def _image_inputs(images: np.ndarray) -> tuple[np.ndarray]:
    return (np.ascontiguousarray(images, np.uint8),)


def _text_inputs(backbone: Backbone) -> Callable[[Sequence[str]], tuple[np.ndarray, ...]]:
    return lambda texts: tuple(part.numpy() for part in backbone.tokenize(texts).values())


def _vectors(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors, np.float32)
