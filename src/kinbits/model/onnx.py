"""ONNX export of the image path, checked against PyTorch before it counts as done."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import torch

from kinbits._util import file_aside, require
from kinbits.errors import ArtefactError, UsageError, platform_error
from kinbits.hamming import BITS, kind_name
from kinbits.model.tower import Tower

AGREEMENT = 0.999
SAMPLES = 8


def export_onnx(tower: Tower, path: Path) -> float:
    """Write the graph, complete or not at all, and return the share of bits that agree with PyTorch on random images.

    Raises:
        UsageError: If the backbone takes no pixels, or the codes are no bits.
        PlatformError: If the extra ``kinbits[onnx]`` is not installed, or the file cannot be written.
        ArtefactError: If the graph does not agree with the model; it is not kept.
    """
    if tower.head.words != BITS:
        raise UsageError(f"an exported graph gives logits of bits; {kind_name(tower.head.words)} cannot be exported")
    preprocessing = tower.backbone.require_pixels("an exported graph")
    for needed in ("onnxruntime", "onnxscript"):  # torch.onnx imports the second
        require(needed)
    try:
        with file_aside(path) as aside:
            return _export(deepcopy(tower).cpu(), preprocessing.size, aside)
    except OSError as error:
        raise platform_error(f"{path} cannot be written", error) from None


def _export(tower: Tower, size: int, path: Path) -> float:
    import onnxruntime

    pixels = torch.randint(0, 256, (SAMPLES, 3, size, size), dtype=torch.uint8, generator=torch.manual_seed(0))
    with torch.no_grad():
        expected = tower(pixels).numpy()
        torch.onnx.export(
            tower,
            (pixels,),
            str(path),
            input_names=["pixels"],
            output_names=["logits"],
            dynamic_shapes={"inputs": {0: torch.export.Dim("n", min=1)}},
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    got = session.run(None, {"pixels": pixels.numpy()})[0]
    agreement = float(np.mean((got >= 0) == (expected >= 0)))
    if agreement < AGREEMENT:
        raise ArtefactError(f"the exported graph agrees in only {agreement:.2%} of the bits; it is not kept")
    return agreement
