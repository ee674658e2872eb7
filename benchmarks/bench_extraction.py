"""Measure feature extraction on the CPU: torch eager, ONNX Runtime and OpenVINO, images per second.

    python benchmarks/bench_extraction.py [--threads 2] [--rounds 5] [--vit FOLDER]

The engines take turns, batch by batch, so that a busy machine slows all of them alike; medians are
printed, with the ratio to torch eager, and how well the features agree with torch's. ``--vit`` takes a
folder written by ``experiments/convert_vit_tiny.py``; without it the ViT-Tiny architecture is run with
random weights, which is as fast.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Run = Callable[[np.ndarray], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--vit", help="folder of converted ViT-Tiny weights")
    given = parser.parse_args()
    # spinning OpenMP threads of an idle engine would take the cores from the engine at work
    os.environ.update(OMP_NUM_THREADS=str(given.threads), OMP_WAIT_POLICY="PASSIVE")
    import logging

    import torch

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it names optional packages it does not need
    torch.set_num_threads(given.threads)
    print(f"{given.threads} threads, batches of {given.batch}, median of {given.rounds} rounds")
    print(f"{'backbone':<28}{'engine':<14}{'images/s':>9}{'ratio':>7}{'min cos':>10}{'rel err':>9}{'bits':>9}")
    for name, backbone in _subjects(given.vit):
        _compare(name, backbone, given)


def _subjects(vit: str | None) -> list[tuple[str, Any]]:
    from kinbits.backbones import load_backbone

    source = vit or _random_vit(tempfile.mkdtemp())
    return [
        ("efficientnet_lite0 128 px", load_backbone("efficientnet_lite0", size=128)),
        ("efficientnet_lite0 224 px", load_backbone("efficientnet_lite0", size=224)),
        (f"ViT-Tiny 224 px{'' if vit else ' (random)'}", load_backbone(f"hf:{source}")),
    ]


def _random_vit(folder: str) -> str:
    import json

    from transformers import ViTConfig, ViTModel

    shape = {"hidden_size": 192, "num_attention_heads": 3, "intermediate_size": 768}
    ViTModel(ViTConfig(**shape), add_pooling_layer=False).save_pretrained(folder)
    processor = {"size": {"height": 224, "width": 224}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    Path(folder, "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


def _compare(name: str, backbone: Any, given: argparse.Namespace) -> None:
    from kinbits.backbones import fast_forward

    engines: dict[str, Run] = {
        "torch": fast_forward(backbone, engine="torch"),
        "onnxruntime": _onnxruntime(backbone, given.threads),
        "openvino": fast_forward(backbone, engine="openvino", threads=given.threads),
    }
    side = backbone.preprocessing.size
    pixels = _pictures(given.batch, side)
    seconds: dict[str, list[float]] = {engine: [] for engine in engines}
    results = {engine: run(pixels) for engine, run in engines.items()}  # also warms up
    for _ in range(given.rounds):
        for engine, run in engines.items():
            start = time.perf_counter()
            run(pixels)
            seconds[engine].append(time.perf_counter() - start)
    for engine in engines:
        median, base = (float(np.median(seconds[e])) for e in (engine, "torch"))
        cosine, error, bits = _agreement(results["torch"], results[engine])
        print(
            f"{name:<28}{engine:<14}{given.batch / median:>9.1f}{base / median:>7.2f}"
            f"{cosine:>10.6f}{error:>9.1e}{bits:>9.3%}",
            flush=True,
        )


def _pictures(n: int, side: int) -> np.ndarray:
    """Return smooth colour fields with some noise: pictures in their statistics, not white noise."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (n, 3, side // 16, side // 16)).repeat(16, axis=2).repeat(16, axis=3)
    return np.clip(coarse + rng.normal(0, 12, coarse.shape), 0, 255).astype(np.uint8)


def _agreement(reference: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
    """Return least cosine, greatest error relative to the greatest value, equal bits of 64 planes."""
    lengths = np.linalg.norm(reference, axis=1) * np.linalg.norm(other, axis=1)
    cosine = float(((reference * other).sum(1) / lengths).min())
    planes = np.random.default_rng(1).normal(size=(reference.shape[1], 64))
    centre = reference.mean(0)
    same = ((reference - centre) @ planes >= 0) == ((other - centre) @ planes >= 0)
    return cosine, float(np.abs(reference - other).max() / np.abs(reference).max()), float(same.mean())


def _onnxruntime(backbone: Any, threads: int) -> Run:
    import onnxruntime
    import torch

    from kinbits.backbones.compiled import exportable

    module, example = exportable(backbone)
    path = os.path.join(tempfile.mkdtemp(), "model.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        batch = {0: torch.export.Dim("batch", min=1, max=4096)}
        torch.onnx.export(
            module, example, path, dynamo=True, dynamic_shapes=[batch], external_data=False, verbose=False
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda pixels: session.run(None, {name: pixels})[0]


if __name__ == "__main__":
    main()
