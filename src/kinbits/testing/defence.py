"""The conformance check of defences."""

from __future__ import annotations

import hashlib
import inspect
import random
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kinbits.attacks import Reference, Victim
from kinbits.backbones import load_backbone
from kinbits.data import LabelSpace
from kinbits.defences import Defence, DefendedBatch, build_defence, get_defence, list_defences
from kinbits.errors import DataError, KinbitsError, UsageError
from kinbits.heads import build_head
from kinbits.methods import Method, Spec, build_method, signs
from kinbits.testing.assertions import require
from kinbits.training import PixelSet, TrainingSettings, train

SIZE, BITS, CLASSES, IMAGES, BATCH, SEED = 16, 12, 3, 36, 12, 3
SLACK = 1e-6
UNFIT = "nmlayer"  # a method whose codes are no signs of its logits in training


def check_defence(defence: str | type[Defence], **params: Any) -> None:
    """Check that a defence meets the contract of `kinbits.defences.Defence`, on a small network of images.

    It checks: named terms, each one finite number with a gradient to the network; crafting that leaves the network as
    it was (weights, gradients, modes, batch statistics), keeps images in [0, 1] and at most epsilon from the clean
    ones; nothing drawn but from the generator of the batch; with ``weight`` 0 no adversarial term; epochs before
    ``start`` that are, to the bit, those of a run without a defence; equal runs with one seed; a run that is
    interrupted and resumed and ends as one that is not; one-line errors for a method whose codes it cannot keep, for
    data without labels, and for parameters that cannot be.

    Args:
        defence: A registered defence, or its class.
        params: Its parameters, e.g. few steps.

    Raises:
        AssertionError: If the defence breaks a rule; the message names it.
        UsageError: If no defence has the name.
    """
    name = defence if isinstance(defence, str) else defence.name
    known = isinstance(defence, str) or (name in list_defences() and get_defence(name) is defence)
    require(known, "a class is registered by @register_defence")
    get_defence(name)
    _Terms(name, params).check()
    _Runs(name, params).check()


class _Watched(nn.Module):
    """A network that notes what goes through it, and whether crafting changes it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.given, self.changed = network, list[Tensor](), False

    def forward(self, images: Tensor) -> Tensor:
        self.given.append(images.detach())
        before = _state(self.network) if images.requires_grad else ""
        logits: Tensor = self.network(images)
        self.changed |= bool(before) and _state(self.network) != before
        return logits


class _Terms:
    """One step of a defence, outside of a run."""

    def __init__(self, name: str, params: Mapping[str, Any]) -> None:
        self.name, self.params = name, dict(params)
        images, labels = _pictures()
        self.images = torch.from_numpy(images[:BATCH]).float() / 255
        self.all, self.labels = torch.from_numpy(images).float() / 255, torch.eye(CLASSES)[torch.from_numpy(labels)]

    def check(self) -> None:
        """Check the rules of one step."""
        defence, network = self._defence(), self._network()
        state, draws = _state(network.network, statistics=False), _global_state()
        terms = self._terms(defence, network)
        self._check_terms(terms, network)
        require(
            _state(network.network, statistics=False) == state, "the network keeps its weights, gradients and modes"
        )
        require(not network.changed, "crafting leaves batch statistics alone: it runs in evaluation mode")
        require(_global_state() == draws, "everything random comes from the generator of the batch")
        self._check_images(network, defence.attack.epsilon)
        again = self._terms(self._defence(), self._network())
        same = terms.keys() == again.keys() and all(torch.equal(terms[one], again[one]) for one in terms)
        require(same, "one seed gives one result")
        self._check_weight()
        self._check_parameters()

    def _check_terms(self, terms: Any, network: _Watched) -> None:
        good = isinstance(terms, Mapping) and len(terms) > 0
        require(good and all(isinstance(one, str) for one in terms), "terms are a mapping from names, of one at least")
        for name, value in terms.items():
            require(isinstance(value, Tensor) and value.ndim == 0, f"term '{name}' is a tensor of one number")
            require(bool(value.isfinite()), f"term '{name}' is finite")
        total = torch.stack(list(terms.values())).sum()
        require(total.requires_grad, "gradients of the terms reach the network")
        for part, weights in (("backbone", network.network.backbone), ("head", network.network.head)):
            found = torch.autograd.grad(total, list(weights.parameters()), retain_graph=True, allow_unused=True)  # type: ignore[union-attr]
            some = [one for one in found if one is not None]
            require(any(bool(one.ne(0).any()) for one in some), f"gradients of the terms reach the {part}")
            require(all(bool(one.isfinite().all()) for one in some), f"gradients of the terms in the {part} are finite")

    def _check_images(self, network: _Watched, epsilon: float) -> None:
        given = [one for one in network.given if one.shape == self.images.shape]
        require(all(bool(((one >= 0) & (one <= 1)).all()) for one in network.given), "images stay in [0, 1]")
        moved = max(float((one - self.images).abs().max()) for one in given) if given else 0.0
        require(moved <= epsilon + SLACK, f"no pixel moves by more than epsilon ({moved:.6f})")
        require(moved > 0, "images are attacked")

    def _check_weight(self) -> None:
        if "weight" not in inspect.signature(get_defence(self.name).__init__).parameters:
            return
        off, one, two = (self._values(weight=weight) for weight in (0.0, 1.0, 2.0))
        weighed = [name for name in one if one[name] != two[name]]
        require(bool(weighed), "weight scales a term")
        require(all(off[name] == 0 for name in weighed), "weight 0 switches the adversarial term off")

    def _check_parameters(self) -> None:
        for name, value in (("epsilon", -0.1), ("steps", 0), ("weight", -1.0), ("start", 1.0)):
            if name in inspect.signature(get_defence(self.name).__init__).parameters:
                _require_refused(UsageError, lambda: self._defence(**{name: value}), f"{name}={value}")  # noqa: B023

    def _values(self, **more: Any) -> dict[str, float]:
        return {
            name: float(value.detach()) for name, value in self._terms(self._defence(**more), self._network()).items()
        }

    def _defence(self, **more: Any) -> Defence:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            made = build_defence(self.name, **{**self.params, **more})
            made.setup(bits=BITS, classes=CLASSES)
        return made

    def _network(self) -> _Watched:
        return _Watched(_new_network()).train()

    def _terms(self, defence: Defence, network: _Watched) -> Mapping[str, Tensor]:
        network.eval()
        victim = Victim(network, bits=BITS, size=SIZE)
        reference = Reference(signs(victim.logits(self.all).detach()), self.labels)
        network.given.clear()
        network.train()
        draws = torch.Generator().manual_seed(SEED)
        return defence.terms(DefendedBatch(victim, self.images, self.labels[:BATCH], reference, draws))


class _Runs:
    """Whole training runs with a defence."""

    def __init__(self, name: str, params: Mapping[str, Any]) -> None:
        self.name, self.params = name, dict(params)

    def check(self) -> None:
        """Check the rules of a run."""
        plain, _ = self._run(epochs=2, defence=None)
        half, _ = self._run(epochs=2, start=0.5)
        require(half[0] == plain[0], "epochs before start are those of a run without a defence")
        require(half[1] != plain[1], "epochs from start on are defended")
        whole, weights = self._run(epochs=2, start=0.0)
        again, same = self._run(epochs=2, start=0.0)
        require((again, same) == (whole, weights), "two runs with one seed are equal")
        self._check_resumed(weights)
        self._check_refusals()

    def _check_resumed(self, weights: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            with suppress(_StoppedError):
                self._run(epochs=2, start=0.0, interrupted=True, checkpoints=folder)
            _, resumed = self._run(epochs=2, start=0.0, checkpoints=folder, resume=True)
        require(resumed == weights, "a resumed run ends where an uninterrupted one does: state is in state_dict")

    def _check_refusals(self) -> None:
        _require_refused(UsageError, lambda: self._run(UNFIT), f"method '{UNFIT}', whose codes it cannot keep")
        _require_refused(DataError, lambda: self._run("cibhash", labelled=False), "data without labels")

    def _run(
        self,
        method: str = "hashnet",
        *,
        epochs: int = 1,
        start: float | None = None,
        labelled: bool = True,
        interrupted: bool = False,
        **settings: Any,
    ) -> tuple[list[Mapping[str, float]], str]:
        """Train, and return the records of the epochs and a digest of all weights."""
        torch.manual_seed(SEED)
        images, labels = _pictures()
        backbone = load_backbone("convnet-small", size=SIZE)
        spec = Spec(BITS, backbone.feature_dim, IMAGES, LabelSpace(("a", "b", "c")))
        built = build_method(method, spec)
        if interrupted:
            _interrupt(built)
        params = self.params if start is None else {**self.params, "start": start}
        given = {"defence": self.name, "defence_params": params, **settings}
        given = {name: value for name, value in given.items() if given["defence"] or name != "defence_params"}
        known = {"epochs": epochs, "batch_size": BATCH, "backbone_lr": 1e-3, "accelerator": "cpu", "progress": False}
        data = PixelSet(_Pixels(images), backbone, labels=labels if labelled else None)
        history = train(built, data, TrainingSettings(**{**known, **given}))
        return list(history.epochs), _state(nn.ModuleList([built, backbone]))


class _Pixels:
    """Images in memory, read by their rows."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return images, uint8 ``(b, 3, s, s)``."""
        return np.asarray(self.images[rows])


class _Small(nn.Module):
    """Backbone and head with batch statistics between them."""

    def __init__(self) -> None:
        super().__init__()
        backbone = load_backbone("convnet-small", size=SIZE)
        self.backbone, self.norm = backbone, nn.BatchNorm1d(backbone.feature_dim)
        self.head = build_head({"name": "linear", "features": backbone.feature_dim, "bits": BITS})

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.norm(self.backbone(images)))
        return logits


class _StoppedError(Exception):
    """Ends a run in its second epoch."""


def _interrupt(method: Method) -> None:
    start = method.start_epoch

    def stop(epoch: int, view: Any) -> None:
        start(epoch, view)
        if epoch == 1:
            raise _StoppedError

    method.start_epoch = stop  # type: ignore[method-assign,assignment]


def _new_network() -> _Small:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return _Small()


def _pictures() -> tuple[np.ndarray, np.ndarray]:
    """Return noisy squares of three colours, uint8 ``(n, 3, s, s)``, and their labels, int64 ``(n,)``."""
    rng = np.random.default_rng(SEED)
    labels = np.arange(IMAGES) % CLASSES
    images = rng.integers(0, 120, (IMAGES, 3, SIZE, SIZE))
    images[np.arange(IMAGES), labels] += 100
    return images.astype(np.uint8), labels.astype(np.int64)


def _state(network: nn.Module, statistics: bool = True) -> str:
    """Return a digest of weights, gradients and modes, and of batch statistics."""
    digest = hashlib.sha256()
    kept = dict(network.named_parameters()) | (dict(network.named_buffers()) if statistics else {})
    for name, value in sorted(kept.items()):
        digest.update(name.encode() + value.detach().contiguous().numpy().tobytes())
    digest.update(repr([module.training for module in network.modules()]).encode())
    digest.update(repr([(one.requires_grad, one.grad is None) for one in network.parameters()]).encode())
    return digest.hexdigest()


def _global_state() -> tuple[bytes, str, Any]:
    """Return the state of the generators that everybody shares."""
    return torch.get_rng_state().numpy().tobytes(), repr(np.random.get_state()), random.getstate()  # noqa: NPY002


def _require_refused(error: type[KinbitsError], action: Any, what: str) -> None:
    try:
        action()
    except error as told:
        require("\n" not in str(told), f"an error of one line for {what}")
        return
    except Exception as other:
        raise AssertionError(f"broken promise: a {error.__name__} for {what}, not {other!r}") from other
    raise AssertionError(f"broken promise: an error for {what}")
