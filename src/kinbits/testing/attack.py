"""The conformance check of attacks."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kinbits.attacks import Attack, Reference, TrainedAttack, build_attack, draw_targets, load_attack
from kinbits.backbones import load_backbone
from kinbits.errors import DataError, KinbitsError
from kinbits.heads import build_head
from kinbits.model import HashModel, Tower
from kinbits.robustness import victim_of
from kinbits.testing.assertions import require

SIZE, BITS, CLASSES, IMAGES, SEED = 16, 16, 3, 12, 3
BUDGET, SLACK = 0.05, 1e-6


def check_attack(name: str, **params: Any) -> None:
    """Check that an attack meets the contract of `kinbits.attacks.Attack`, on a small random network.

    It checks: images of the right shape in [0, 1]; at most epsilon from the clean ones (to 1e-6); a change at all; with
    epsilon 0 the codes of the clean images; equal images with one seed; no image for no image; a model whose weights,
    batch statistics and modes stay as they were; refusal of images of another size or range, and of missing targets;
    for attacks that are trained, equal images from a saved copy. Where there is a GPU, all of it runs there too.

    Args:
        name: A registered attack.
        params: Its parameters, e.g. few steps.

    Raises:
        AssertionError: If the attack breaks a rule; the message names it.
    """
    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        _Check(name, params, device).run()


class _Check:
    def __init__(self, name: str, params: dict[str, Any], device: str) -> None:
        torch.manual_seed(SEED)
        head = build_head({"name": "linear", "features": 384, "bits": BITS})
        model = HashModel({"image": Tower(load_backbone("convnet-small", size=SIZE), head)}, {"name": "toy"}, {})
        self.name, self.params, self.victim = name, params, victim_of(model, device=device)
        rng = np.random.default_rng(SEED)
        self.pixels = rng.integers(0, 256, (IMAGES, 3, SIZE, SIZE), dtype=np.uint8)
        self.images = torch.from_numpy(self.pixels).float() / 255
        self.labels = torch.eye(CLASSES)[torch.arange(IMAGES) % CLASSES]
        self.reference = Reference(self.victim.codes(self.images).cpu(), self.labels)
        self.targets, _ = draw_targets(self.labels, self.reference, torch.Generator().manual_seed(SEED))

    def run(self) -> None:
        """Check every rule."""
        before = self._state()
        attack = self._attack(epsilon=BUDGET)
        made = self._made(attack)
        require(made.shape == self.images.shape and made.is_floating_point(), "images keep their shape and are floats")
        require(bool(((made >= 0) & (made <= 1)).all()), "images stay in [0, 1]")
        moved = (made.cpu() - self.images).abs()
        require(float(moved.max()) <= BUDGET + SLACK, f"no pixel moves by more than epsilon ({moved.max():.6f})")
        require(bool(moved.amax(dim=(1, 2, 3)).gt(0).all()), "every image changes")
        require(torch.equal(made, self._made(attack)), "one seed gives one result")
        require(len(self._made(attack, rows=0)) == 0, "no image for no image")
        still = self._made(self._attack(epsilon=0.0))
        require(
            torch.equal(self.victim.codes(still), self.victim.codes(self.images)), "epsilon 0 gives the clean codes"
        )
        self._check_refusals(attack)
        if isinstance(attack, TrainedAttack):
            self._check_saved(attack, made)
        require(self._state() == before, "the model stays as it was: weights, batch statistics, modes, gradients")

    def _attack(self, *, epsilon: float) -> Attack:
        attack = build_attack(self.name, **{**self.params, "epsilon": epsilon})
        if isinstance(attack, TrainedAttack):
            attack.train(self.victim, self.pixels, self.labels, self.reference, seed=SEED)
        return attack

    def _made(self, attack: Attack, rows: int = IMAGES, images: Tensor | None = None, **more: Any) -> Tensor:
        given = {"labels": self.labels[:rows], "targets": self.targets[:rows], "reference": self.reference, **more}
        return attack(self.victim, self.images[:rows] if images is None else images, seed=SEED, **given)

    def _check_refusals(self, attack: Attack) -> None:
        larger = torch.zeros(IMAGES, 3, SIZE + 1, SIZE + 1)
        refused: dict[str, dict[str, Any]] = {
            "images of another size": {"images": larger},
            "pixels above 1": {"images": self.images * 255},
            "pixels that are not finite": {"images": self.images * torch.nan},
            "labels of other images": {"labels": self.labels[1:]},
        }
        if attack.aims == "target":
            refused["missing targets"] = {"targets": None}
        for what, given in refused.items():
            try:
                self._made(attack, **given)
            except DataError:
                continue
            except KinbitsError as error:
                raise AssertionError(f"broken promise: a DataError for {what}, not {error!r}") from error
            raise AssertionError(f"broken promise: an error for {what}")

    def _check_saved(self, attack: TrainedAttack, made: Tensor) -> None:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "attack"
            attack.save(place)
            require(torch.equal(self._made(load_attack(place)), made), "a saved attack gives the same images")

    def _state(self) -> str:
        tower = self.victim.network
        digest = hashlib.sha256()
        for key, tensor in sorted(tower.state_dict().items()):
            digest.update(key.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        modes = [module.training for module in tower.modules()]
        gradients = [(p.requires_grad, p.grad is None) for p in tower.parameters()]
        digest.update(repr((modes, gradients)).encode())
        return digest.hexdigest()
