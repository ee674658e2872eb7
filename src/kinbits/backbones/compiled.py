"""Fast inference of a frozen backbone: a compiled OpenVINO graph on the CPU, torch on a GPU.

``benchmarks/bench_extraction.py`` compares OpenVINO, ONNX Runtime and torch; OpenVINO is the fastest on a CPU. The
graph takes bytes, and includes the conversion to float and the normalisation.
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
"""Batch size: larger batches do not fit the CPU cache and are slower."""
COMPILE_ROWS = 4 * BATCH
"""Smallest number of rows for which a graph is compiled: torch computes fewer rows in less time."""
_compiled: WeakKeyDictionary[Backbone, _CompiledBackbone] = WeakKeyDictionary()

# a forked child has only one thread; OpenMP would wait forever for the others
os.register_at_fork(after_in_child=functools.partial(torch.set_num_threads, 1))


def fast_forward(backbone: Backbone, *, threads: int | None = None, engine: Engine = "auto") -> Forward:
    """Compile a backbone for inference; later changes of its weights have no effect on the result.

    Args:
        backbone: A backbone for images, text or vectors.
        threads: CPU threads of the OpenVINO graph; None uses one per core. The torch engine follows
            ``torch.set_num_threads``.
        engine: ``"auto"`` uses torch for a backbone on a GPU, and OpenVINO otherwise. If OpenVINO cannot convert the
            architecture, torch is used, with a warning. A backbone without weights needs no compiled graph.

    Returns:
        A function that returns float32 ``(b, d)`` for any b from 0. It takes uint8 ``(b, 3, s, s)`` for images, a list
        of b texts for text, or float ``(b, d)`` for vectors. It is thread-safe, but a forked child needs a new one.

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
    plain = engine == "torch" or _on_gpu(backbone) or next(_tensors(backbone), None) is None
    run = _torch_runner(backbone) if plain else None
    if run is None:
        run = _openvino_or_torch(backbone, threads, strict=engine == "openvino")
    encode = _image_inputs if backbone.modality == "image" else _text_inputs(backbone)
    return _Batches(run, encode, backbone.feature_dim)


def cached_forward(backbone: Backbone, rows: int, *, threads: int | None, engine: Engine) -> Forward:
    """Return the result of `fast_forward`, cached while the backbone exists and its weights do not change.

    Compiling takes seconds. For fewer than 128 rows, ``"auto"`` uses torch unless a compiled graph is in the cache.

    Args:
        backbone: As for `fast_forward`.
        rows: Number of rows to compute.
        threads: As for `fast_forward`.
        engine: As for `fast_forward`.
    """
    cached = _compiled.get(backbone)
    if cached is None or not cached.is_current(backbone, check_hash=rows >= COMPILE_ROWS):
        cached = _compiled[backbone] = _CompiledBackbone(backbone)
    if engine == "auto" and rows < COMPILE_ROWS and (threads, engine) not in cached.forwards:
        engine = "torch"
    if (threads, engine) not in cached.forwards:
        cached.forwards[threads, engine] = fast_forward(backbone, threads=threads, engine=engine)
    return cached.forwards[threads, engine]


class _CompiledBackbone:
    """Compiled functions of a backbone, valid for one state of its weights and one process.

    Hashing all weights takes longer than one image. So before a few rows, only PyTorch's version counters are checked.
    Before many rows, the hash is checked too: it also detects writes through ``tensor.data``.

    Attributes:
        forwards: Compiled functions by number of threads and engine.
    """

    def __init__(self, backbone: Backbone) -> None:
        self.forwards: dict[tuple[int | None, Engine], Forward] = {}
        # references to the tensors, so that no new tensor gets the same address
        self._tensors = [tensor.detach() for tensor in _tensors(backbone)]
        self._state = _state(backbone)
        self._fingerprint = backbone.fingerprint
        self._process = os.getpid()

    def is_current(self, backbone: Backbone, *, check_hash: bool) -> bool:
        """Return whether the weights are unchanged and the process is the same; a forked child lacks the threads."""
        same = self._process == os.getpid() and self._state == _state(backbone)
        return same and not (check_hash and backbone.fingerprint != self._fingerprint)


def _tensors(backbone: Backbone) -> Iterator[Tensor]:
    return itertools.chain(backbone.parameters(), backbone.buffers())


def _state(backbone: Backbone) -> list[tuple[int, int]]:
    """Return address and version counter of each tensor; the counter is 0 for inference tensors, which have none."""
    return [(t.data_ptr(), 0 if t.is_inference() else t._version) for t in _tensors(backbone)]


class _Batches:
    """Runs a function batch by batch."""

    def __init__(self, run: Callable[..., np.ndarray], encode: Callable[[Any], Any], features: int) -> None:
        self._run, self._encode, self._features = run, encode, features

    def __call__(self, inputs: np.ndarray | Sequence[str]) -> np.ndarray:
        out = np.empty((len(inputs), self._features), np.float32)
        for start in range(0, len(inputs), BATCH):
            out[start : start + BATCH] = self._run(*self._encode(inputs[start : start + BATCH]))
        return out


class _FromBytes(nn.Module):
    """Graph for images: uint8 pixels to features."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, pixels: Tensor) -> Tensor:
        out: Tensor = self.backbone(pixels.float() / 255)
        return out


def exportable(backbone: Backbone) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return a frozen copy of the inference graph, and example inputs for tracing.

    Args:
        backbone: A backbone for images (the graph takes uint8 ``(n, 3, s, s)``) or text (token ids and mask).
    """
    frozen = copy.deepcopy(backbone).cpu().float().eval().requires_grad_(False)
    if backbone.preprocessing is not None:
        side = backbone.preprocessing.size
        return _FromBytes(frozen).eval(), (torch.zeros(2, 3, side, side, dtype=torch.uint8),)
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
    idle: SimpleQueue[Any] = SimpleQueue()  # inference requests; each one serves a single caller at a time

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
    """Convert a module to OpenVINO and compile it for the CPU in float32.

    Args:
        module: Module from :func:`exportable`.
        example: Example inputs. The batch axis of images is dynamic; for text, all axes are.
        threads: CPU threads; None uses one per core.
    """
    ov = _openvino()
    shapes = [[-1, *part.shape[1:]] if part.dtype == torch.uint8 else [-1, -1] for part in example]
    with warnings.catch_warnings(), quiet(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing warns about branches on shapes, which are fixed here
        inputs = [ov.PartialShape(shape) for shape in shapes]
        model = ov.convert_model(module, example_input=example if len(example) > 1 else example[0], input=inputs)
    # LATENCY: all threads work on one batch; parallel streams would need one batch each and exceed the cache
    options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    if threads is not None:
        options["INFERENCE_NUM_THREADS"] = threads
    return ov.Core().compile_model(model, "CPU", options)


def _openvino() -> Any:
    """Import OpenVINO with its telemetry switched off, which otherwise sends usage reports."""
    name = "openvino_telemetry"
    block = "openvino" not in sys.modules and name not in sys.modules
    if block:
        sys.modules[name] = None  # type: ignore[assignment]  # OpenVINO then uses its stub
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
