"""The parts of a model from its configuration: built without memory first, within the bounds of its tensors.

A configuration of a few bytes can ask for a head of 10^9 bits, or for 10^6 layers. So everything is first built on
torch's meta device, where tensors have shapes and no numbers, and the building stops as soon as there is more of it
than the file of tensors holds. Only what fits that file exactly is built for good.
"""

from __future__ import annotations

import hashlib
import json
import math
import threading
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks

from kinbits._util import Modality
from kinbits.backbones import Backbone, build_backbone, load_backbone
from kinbits.errors import ArtefactError
from kinbits.heads import Decoder, Head, MapHead, Signs, build_head
from kinbits.perceptual import PerceptualHash

CONVENTIONS = {
    "bit": "1 where the logit is not negative",
    "packing": "numpy.packbits: most significant bit first, pad bits 0",
    "features": "rounded to float16 before the head, so that cached and fresh features give the same codes",
}
VECTORS_AS_GIVEN = "vectors reach the head as float32, not rounded"

Towers = dict[Modality, tuple[Backbone, Head]]
Shapes = Mapping[str, tuple[int, ...]]
Tensors = dict[str, Tensor]
READS = {"image": ("image", "vector"), "text": ("text", "vector")}
# Architectures have a few parts that are not saved, e.g. an unused pooler, and layers without weights.
_PER_TENSOR, _FREE_PARTS, _FREE_NUMBERS = 16, 1000, 2**24


def restore(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> tuple[Towers, Decoder | None]:
    """Build the backbones, heads and decoder that a configuration describes, with the weights of a file.

    Args:
        config: A model's ``config.json``; nothing in it is trusted.
        tensors: All weights by name.

    Returns:
        Backbone and head by modality, and the decoder if there is one.

    Raises:
        ArtefactError: If the description is not allowed, or does not fit the tensors.
        PlatformError: If an optional package is missing.
        Exception: Of nearly any kind, where the description is damaged.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    with within(shapes), torch.device("meta"), torch.no_grad():
        towers, decoder = _built(config, {name: torch.empty(shape) for name, shape in shapes.items()})
        _check_widths(config["bits"], towers, decoder)
        _check_outputs(config["bits"], towers, maps=True)
    towers, decoder = _built(config, tensors)
    _check_outputs(config["bits"], towers, maps=False)
    if decoder is not None and described(decoder) != config["decoder"]:
        raise ArtefactError("its decoder differs from its checksum")
    return towers, decoder


def hash_towers(found: PerceptualHash) -> Towers:
    """Build the backbone and head that make the codes of a perceptual hash.

    Raises:
        PlatformError: If a package that computes it is not installed.
    """
    return {"image": (load_backbone(found.name), Signs(found.bits, found.bits))}


def _built(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> tuple[Towers, Decoder | None]:
    towers: Towers = {}
    for modality, parts in config["towers"].items():
        backbone, head = build_backbone(parts["backbone"]), build_head(parts["head"])
        if backbone.modality not in READS[modality]:
            raise ArtefactError(f"its {modality} tower has a backbone that reads {backbone.modality}s")
        _fill(backbone, f"{modality}.backbone.", tensors)
        _fill(head, f"{modality}.head.", tensors)
        towers[modality] = backbone, head
    if "image" not in towers:
        raise ArtefactError("it has no image tower")
    layers = config.get("decoder")
    if layers is None:
        return towers, None
    decoder = Decoder(**layers["layers"])
    _fill(decoder, "decoder.", tensors)
    return towers, decoder


def _check_widths(bits: int, towers: Towers, decoder: Decoder | None) -> None:
    for backbone, head in towers.values():
        if head.features != backbone.feature_dim or head.bits != bits:
            raise _misfit(backbone, bits)
    if decoder is not None and (decoder.bits, decoder.features) != (bits, towers["image"][0].feature_dim):
        raise ArtefactError(f"its decoder does not turn {bits} bits into features of its images")


@torch.no_grad()
def _check_outputs(bits: int, towers: Towers, *, maps: bool) -> None:
    """Run the heads that read feature maps, or the others, on zeros.

    Between the layers of a head on maps there may be far more numbers than weights, so these heads run on the meta
    device. The others need no more numbers than weights. They run on the CPU: meta tensors would import torch's
    compiler, which takes as long as torch itself.
    """
    for backbone, head in towers.values():
        on_maps = any(isinstance(part, MapHead) for part in head.modules())
        if on_maps == maps and head.eval()(torch.zeros(2, head.features)).shape != (2, head.outputs):
            raise _misfit(backbone, bits)


def _misfit(backbone: Backbone, bits: int) -> ArtefactError:
    return ArtefactError(f"its head does not turn {backbone.feature_dim} features into {bits} bits")


def _fill(module: nn.Module, prefix: str, tensors: Mapping[str, Tensor]) -> None:
    module.load_state_dict({k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)})


@contextmanager
def within(shapes: Shapes) -> Iterator[None]:
    """Stop this thread as soon as it builds modules that hold much more than these tensors.

    Raises:
        ArtefactError: If it holds more.
    """
    budget = _Budget(shapes)
    with ExitStack() as hooked:
        hooked.callback(hooks.register_module_parameter_registration_hook(budget.tensor).remove)
        hooked.callback(hooks.register_module_buffer_registration_hook(budget.tensor).remove)
        hooked.callback(hooks.register_module_module_registration_hook(budget.part).remove)
        yield


class _Budget:
    """What may still be built; torch's hooks see the modules of all threads, so it looks at its own thread alone."""

    def __init__(self, shapes: Shapes) -> None:
        self._thread = threading.get_ident()
        self._parts = _FREE_PARTS + _PER_TENSOR * len(shapes)
        self._numbers = _FREE_NUMBERS + 2 * sum(map(math.prod, shapes.values()))

    def tensor(self, module: nn.Module, name: str, tensor: Tensor | None) -> None:
        self._spend(0 if tensor is None else tensor.numel())

    def part(self, module: nn.Module, name: str, child: nn.Module | None) -> None:
        self._spend(0)

    def _spend(self, numbers: int) -> None:
        if threading.get_ident() != self._thread:
            return
        self._parts, self._numbers = self._parts - 1, self._numbers - numbers
        if self._parts < 0 or self._numbers < 0:
            raise ArtefactError("its configuration asks for far more than its file of tensors holds")


def described(decoder: Decoder) -> dict[str, Any]:
    """Describe a decoder for the configuration; its checksum is its own, since the fingerprint is that of the codes."""
    digest = hashlib.sha256()
    _add_weights(digest, decoder)
    return {"layers": decoder.config(), "sha256": digest.hexdigest()}


def named(prefix: str, module: nn.Module) -> dict[str, Tensor]:
    """Return the weights of a module on the CPU, by name behind a prefix, as they are saved."""
    return {prefix + name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}


def tensors_of(towers: Mapping[Modality, nn.Module], decoder: Decoder | None, without: Container[str]) -> Tensors:
    """Return all weights of a model by name, but for the backbones of some modalities."""
    found: Tensors = {} if decoder is None else named("decoder.", decoder)
    for modality, tower in towers.items():
        parts = ("head",) if modality in without else ("backbone", "head")
        for part in parts:
            found |= named(f"{modality}.{part}.", getattr(tower, part))
    return found


def fingerprint_of(towers: Towers) -> str:
    """Return the SHA-256 over everything that decides the codes of these backbones and heads."""
    digest = hashlib.sha256()
    for modality, (backbone, head) in sorted(towers.items()):
        digest.update(f"{modality} {backbone.fingerprint} {json.dumps(head.config())}".encode())
        if backbone.modality == "vector":
            digest.update(VECTORS_AS_GIVEN.encode())
        _add_weights(digest, head)
    return digest.hexdigest()


def _add_weights(digest: Any, module: nn.Module) -> None:
    """Add all weights of a module to a checksum."""
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().numpy().tobytes())


def conventions(backbones: Iterable[Backbone]) -> dict[str, str]:
    """Return the rules by which codes are made of the features of these backbones."""
    vectors = any(backbone.modality == "vector" for backbone in backbones)
    return {**CONVENTIONS, "vectors": VECTORS_AS_GIVEN} if vectors else CONVENTIONS


def require_conventions(config: Mapping[str, Any], wanted: Mapping[str, str], folder: Any) -> None:
    """Refuse a model whose codes were made by other rules than ours.

    Raises:
        ArtefactError: If its configuration states other conventions.
    """
    if config.get("conventions") != wanted:
        raise ArtefactError(
            f"the model {folder} was made by an earlier version of kinbits, which rounded vectors to float16; its "
            f"codes would differ. Fit it again, and encode its collection again"
        )
