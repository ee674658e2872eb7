"""The registry of attacks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from kinbits._util import Registry
from kinbits.attacks.base import Attack
from kinbits.attacks.blocks.trained import TrainedAttack, read_config
from kinbits.errors import ArtefactError, KinbitsError

A = TypeVar("A", bound="type[Attack]")
_REGISTRY: Registry[Attack] = Registry("attack", "kinbits.attacks", "register_attack")


def register_attack(name: str) -> Callable[[A], A]:
    """Register an attack class under the name that Python, the command line and reports use.

    Raises:
        UsageError: If another attack has the name.
    """
    return _REGISTRY.register(name)


def list_attacks() -> list[str]:
    """List the names of all registered attacks."""
    return _REGISTRY.names()


def get_attack(name: str) -> type[Attack]:
    """Return the class of an attack.

    Raises:
        UsageError: If no attack has this name; the message offers the nearest ones.
    """
    return _REGISTRY.get(name)


def build_attack(name: str, **params: Any) -> Attack:
    """Make an attack.

    Args:
        name: A registered name.
        params: Its parameters; what is left out keeps its default.

    Raises:
        UsageError: If the name or a parameter is unknown, or a value is out of range.

    Example:
        >>> build_attack("pgd", epsilon=4 / 255, steps=10).aims
        'away'
    """
    return _REGISTRY.build(name, params)


def load_attack(folder: str | Path) -> TrainedAttack:
    """Load an attack that `TrainedAttack.save` wrote; no code in the folder is run.

    Raises:
        ArtefactError: If the folder holds no attack, or is damaged.
    """
    place = Path(folder)
    config = read_config(place)
    try:
        attack = build_attack(config["attack"], **config["params"])
    except (KinbitsError, KeyError, TypeError) as error:
        raise ArtefactError(f"{place} is an attack that cannot be rebuilt ({error}); train it again") from error
    if not isinstance(attack, TrainedAttack):
        raise ArtefactError(f"{place} is of attack '{attack.name}', which learns nothing; train it again")
    attack.restore(place, config)
    return attack
