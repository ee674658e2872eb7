"""The attacks of a report: what names, folders, objects and parameters mean."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kinbits.attacks import Attack, TrainedAttack, build_attack, get_attack, list_attacks, load_attack
from kinbits.errors import DataError, UsageError, unknown_name
from kinbits.methods import parameters

TARGETED = ("p2p", "dhta")
Given = str | Path | Attack


@dataclass(frozen=True)
class NamedAttack:
    """An attack, and the name of its row."""

    name: str
    attack: Attack

    @property
    def spec(self) -> str:
        """What makes its images, as text."""
        spec = {"attack": self.attack.name, "params": dict(self.attack.params), "epsilon": self.attack.epsilon}
        if isinstance(self.attack, TrainedAttack):
            digest = hashlib.sha256()
            for value in self.attack.networks.state_dict().values():
                digest.update(value.detach().cpu().numpy().tobytes())
            spec["weights"] = digest.hexdigest()
        return json.dumps(spec, sort_keys=True, default=str)


def with_targeted(given: Sequence[Given], targeted: bool) -> list[Given]:
    """Return attacks, and those towards a label that are not among them if they are asked for."""
    return [*given, *(name for name in TARGETED if targeted and name not in given)]


def attacks_of(
    given: Sequence[Given], *, labelled: bool, epsilon: float, params: Mapping[str, Any]
) -> list[NamedAttack]:
    """Return the attacks that names, folders and objects mean.

    Args:
        given: Names of `kinbits.attacks.list_attacks`, folders of trained attacks, or attacks.
        labelled: Whether attacks know labels.
        epsilon: Budget of those that are given by name.
        params: Parameters of those that are given by name, see `params_of_attacks`.

    Raises:
        UsageError: If a name or a parameter is unknown, or an attack that learns has learned nothing.
        DataError: If an attack follows labels, and there are none.
    """
    own = params_of_attacks(params, given)
    found = _distinct([attack for one in given for attack in _named(one, epsilon, own, labelled=labelled)])
    for one in found:
        if one.attack.aims == "target" and not labelled:
            raise DataError(
                f"'{one.attack.name}' follows target labels, and the data have no labels; give labelled data, or leave "
                f"targeted out"
            )
    return found


def params_of_attacks(params: Mapping[str, Any], given: Sequence[Given]) -> dict[str, dict[str, Any]]:
    """Return the parameters of each attack that is given by name.

    Args:
        params: Values by name: ``steps`` is of every attack that has such a parameter, ``dhta.steps`` of `dhta` alone,
            and wins over the other.
        given: Names of attacks; folders and attacks that are made already take no parameters.

    Raises:
        UsageError: If an attack is not among those given, or none of them has the parameter.

    Example:
        >>> params_of_attacks({"steps": 9, "dhta.steps": 20}, ["noise", "pgd", "dhta"])
        {'noise': {}, 'pgd': {'steps': 9}, 'dhta': {'steps': 20}}
    """
    known = set(list_attacks())
    names = [str(one) for one in given if not isinstance(one, Attack) and str(one) in known]
    found: dict[str, dict[str, Any]] = {name: {} for name in names}
    for key in sorted(params, key=lambda key: "." in key):
        for name in attacks_with(key, names):
            found[name][key.rpartition(".")[2]] = params[key]
    return found


def attacks_with(key: str, names: Sequence[str]) -> list[str]:
    """Return those of some attacks that a parameter is of: ``steps`` of all that have it, ``dhta.steps`` of `dhta`.

    Raises:
        UsageError: If it is of none.
    """
    name, dot, parameter = key.rpartition(".")
    if dot and name not in names:
        raise unknown_name("attack", name, names or ["(none)"], place=f"of parameter '{key}'")
    some = [name] if dot else list(names)
    if key == "epsilon":
        raise UsageError("epsilon is the budget of all attacks, and no parameter; name an attack: pgd.epsilon")
    each = {one: [known.name for known in parameters(get_attack(one))] for one in some}
    found = [one for one, known in each.items() if parameter in known]
    if not found:
        known = {one for several in each.values() for one in several} - (set() if dot else {"epsilon"})
        raise unknown_name("parameter", parameter, known or ["(none)"], place=f"of {', '.join(some) or 'no attack'}")
    return found


def _distinct(attacks: Sequence[NamedAttack]) -> list[NamedAttack]:
    """Return each attack once, with its budget in names that several have."""
    once = list({(one.name, one.spec): one for one in attacks}.values())
    count = Counter(one.name for one in once)
    return [
        replace(one, name=f"{one.name}, epsilon {one.attack.epsilon:g}") if count[one.name] > 1 else one for one in once
    ]


def _named(
    given: Given, epsilon: float, params: Mapping[str, Mapping[str, Any]], *, labelled: bool
) -> Iterator[NamedAttack]:
    if isinstance(given, Attack):
        shown = {name: value for name, value in given.params.items() if name != "epsilon"}
        yield NamedAttack(f"{given.name}{_in_brackets(shown)}", given)
    elif str(given) in list_attacks():
        name = str(given)
        if get_attack(name).trained:
            raise UsageError(f"attack '{given}' learns a network first; train it, save it, and give its folder")
        yield from _by_name(name, {"epsilon": epsilon, **params[name]}, params[name], labelled=labelled)
    elif Path(given).is_dir():
        attack = load_attack(given)
        yield NamedAttack(f"{attack.name} ({Path(given).name})", attack)
    else:
        raise unknown_name("attack", str(given), list_attacks(), place="and no folder of a trained one")


def _by_name(name: str, made: dict[str, Any], own: Mapping[str, Any], *, labelled: bool) -> Iterator[NamedAttack]:
    """Yield an attack; `pgd` away from both codes, unless a parameter says which."""
    if name != "pgd" or "code" in own:
        yield NamedAttack(f"{name}{_in_brackets(own)}", build_attack(name, **made))
        return
    yield NamedAttack(f"pgd, own code{_in_brackets(own)}", build_attack(name, **made))
    if labelled:
        yield NamedAttack(f"pgd, mainstay code{_in_brackets(own)}", build_attack(name, **made, code="mainstay"))


def _in_brackets(params: Mapping[str, Any]) -> str:
    """Return parameters as a name shows them, e.g. `` (steps=9)``; nothing for none."""
    shown = [f"{name}={f'{value:.4g}' if isinstance(value, float) else value}" for name, value in params.items()]
    return f" ({', '.join(shown)})" if shown else ""
