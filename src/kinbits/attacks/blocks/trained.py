"""Attacks that learn networks before they are used, and their folders."""

from __future__ import annotations

import json
from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from kinbits._util import CONFIG, folder_aside, parse_json
from kinbits.attacks.base import EPSILON, Attack
from kinbits.attacks.given import Numbers, as_tensor
from kinbits.attacks.label_rows import LabelRows
from kinbits.attacks.victim import Reference, Victim
from kinbits.errors import ArtefactError, DataError, UsageError, platform_error

FORMAT = 1
WEIGHTS = "weights.safetensors"
MOST = 1 << 20  # bits, pixels or classes
FACTS = ("bits", "size", "classes", "victim", "names", "images")


class TrainedAttack(Attack):
    """An attack that learns networks from a victim's codes before it is used.

    A subclass defines `build`, which makes the networks, and `learn`.

    Attributes:
        networks: What was learned, by name; empty before.
        facts: What it was learned for: bits, size, classes and their names, the victim's fingerprint, and how many
            images.
    """

    trained = True

    def __init__(self, *, epsilon: float | None = EPSILON) -> None:
        super().__init__(epsilon=epsilon)
        self.networks = nn.ModuleDict()
        self.facts: dict[str, Any] = {}

    @abstractmethod
    def build(self, *, bits: int, size: int, classes: int) -> dict[str, nn.Module]:
        """Return untrained networks by name."""

    @abstractmethod
    def learn(
        self, victim: Victim, images: np.ndarray, labels: Tensor, reference: Reference, *, seed: int, progress: bool
    ) -> None:
        """Train `networks` in place; arguments as in `train`."""

    def train(
        self,
        victim: Victim,
        images: Numbers,
        labels: Numbers | LabelRows,
        reference: Reference,
        *,
        seed: int = 0,
        progress: bool = False,
    ) -> None:
        """Learn the networks.

        Args:
            victim: The attacked model.
            images: uint8 ``(n, 3, s, s)``, such as the victim's training images.
            labels: Their labels, float multi-hot ``(n, C)``.
            reference: Codes and labels that the attacker knows.
            seed: Seed of everything random.
            progress: Show progress on standard error.

        Raises:
            DataError: If images or labels have another form, no known image has a label, or what was learned is not
                finite.
        """
        known = reference.to(victim.device)
        pixels, classes = _checked_data(victim, images, labels, known)
        shape = {"bits": victim.bits, "size": victim.size, "classes": known.classes}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.networks = nn.ModuleDict(self.build(**shape)).to(victim.device)
            self.facts = {**shape, "victim": victim.fingerprint, "names": list(known.names)}
            self.facts["images"] = len(pixels)
            try:
                self.learn(victim, pixels, classes, known, seed=seed, progress=progress)
                require_finite(self.networks, f"attack '{self.name}' learned numbers that are not finite; lower its lr")
            except BaseException:
                self.networks = nn.ModuleDict()  # what is half learned is no attack
                raise
        self.networks.eval().requires_grad_(False)

    def require_networks(self, victim: Victim, labels: Tensor, reference: Reference | None) -> nn.ModuleDict:
        """Return what was learned, on the victim's device.

        Args:
            victim: The attacked model.
            labels: Labels of its images or their targets, multi-hot ``(b, C)``.
            reference: Codes and labels that the attacker knows, or None.

        Raises:
            UsageError: If nothing was learned, or for codes, images or classes of another shape or order.
        """
        if not len(self.networks):
            raise UsageError(f"attack '{self.name}' learns a network first: call train, or load one that was saved")
        own = {name: self.facts[name] for name in ("bits", "size", "classes")}
        asked = {"bits": victim.bits, "size": victim.size, "classes": labels.shape[1]}
        if own != asked:
            raise UsageError(f"attack '{self.name}' was trained for {own}, and this model has {asked}; train it again")
        names = [] if reference is None else list(reference.names)
        if names and self.facts["names"] and names != self.facts["names"]:
            raise UsageError(f"attack '{self.name}' was trained for other classes, or in another order; train it again")
        return self.networks.to(victim.device)

    def save(self, folder: str | Path) -> None:
        """Write the attack as a folder, ``config.json`` and ``weights.safetensors``; an older attack is replaced.

        Raises:
            UsageError: If nothing was learned.
            ArtefactError: If something else is there.
            PlatformError: If the folder cannot be written.
        """
        if not len(self.networks):
            raise UsageError(f"attack '{self.name}' has learned nothing yet; call train first")
        config = {"format": FORMAT, "attack": self.name, "params": dict(self.params), **self.facts}
        target = Path(folder)
        check_attack_folder(target)
        try:
            with folder_aside(target, replace=True) as aside:
                (aside / CONFIG).write_text(json.dumps(config, indent=2) + "\n", "utf-8")
                tensors = {name: value.contiguous() for name, value in self.networks.state_dict().items()}
                save_file(tensors, aside / WEIGHTS)
        except (OSError, SafetensorError) as error:
            raise platform_error(f"the attack {target} cannot be written", error) from None

    def restore(self, folder: Path, config: dict[str, Any]) -> None:
        """Load networks from a folder with this configuration.

        Raises:
            ArtefactError: If the folder is damaged.
        """
        try:
            facts = {name: config[name] for name in FACTS}
            shape = {name: facts[name] for name in ("bits", "size", "classes")}
            if not all(type(value) is int and 0 < value <= MOST for value in shape.values()):
                raise ValueError(shape)
            with torch.device("meta"):
                networks = nn.ModuleDict(self.build(**shape))
            networks.load_state_dict(load_file(folder / WEIGHTS), assign=True)
            require_finite(networks, "weights are not finite")
            self.networks, self.facts = networks, facts
        except (KeyError, TypeError, ValueError, RuntimeError, OSError, SafetensorError, DataError) as error:
            raise ArtefactError(f"{folder} is no whole attack ({type(error).__name__}); train it again") from error
        self.networks.eval().requires_grad_(False)


def check_attack_folder(folder: Path) -> None:
    """Refuse a place for an attack where something else is.

    Raises:
        ArtefactError: If it is a file, or a folder that holds something else than an attack.
    """
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists():
        try:
            read_config(folder)
        except ArtefactError:
            raise ArtefactError(f"{folder} is something else than an attack; choose another folder") from None


def require_finite(networks: nn.Module, fault: str) -> None:
    """Refuse weights that are not finite.

    Raises:
        DataError: With the words of ``fault``.
    """
    if not all(bool(value.isfinite().all()) for value in networks.state_dict().values()):
        raise DataError(fault)


def _checked_data(
    victim: Victim, images: Numbers, labels: Numbers | LabelRows, reference: Reference
) -> tuple[np.ndarray, Tensor]:
    """Return images as bytes, uint8 ``(n, 3, s, s)``, and their labels, float multi-hot ``(n, C)``."""
    side, classes = victim.size, reference.classes
    pixels = images if isinstance(images, np.ndarray) else as_tensor(images, "images").cpu().numpy()
    if pixels.dtype != np.uint8 or pixels.shape[1:] != (3, side, side) or not len(pixels):
        raise DataError(f"images are {pixels.dtype} {pixels.shape}; give bytes (n, 3, {side}, {side})")
    own = labels.dense() if isinstance(labels, LabelRows) else as_tensor(labels, "labels")
    if own.shape != (len(pixels), classes):
        raise DataError(f"labels are {tuple(own.shape)}; give multi-hot rows ({len(pixels)}, {classes})")
    reference.distinct_labels()
    return pixels, own.float().to(victim.device)


def read_config(folder: Path) -> dict[str, Any]:
    """Return the configuration of a saved attack.

    Raises:
        ArtefactError: If the folder holds none.
    """
    try:
        found = parse_json((folder / CONFIG).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ArtefactError(
            f"{folder} holds no attack ({type(error).__name__}); `train` and `save` make one"
        ) from error
    if not isinstance(found, dict) or found.get("format") != FORMAT or not isinstance(found.get("attack"), str):
        raise ArtefactError(f"{folder} holds no attack of this version; train it again")
    return found
