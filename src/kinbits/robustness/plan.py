"""What a report measures, in order: the clean queries, edits, attacks, attacks at other budgets, bounds."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from kinbits.attacks import Attack, TrainedAttack, build_attack, get_attack, list_attacks, load_attack
from kinbits.data import Edit
from kinbits.errors import DataError, UsageError, unknown_name
from kinbits.robustness.changes import Changes, Progress
from kinbits.robustness.row import Group, RobustnessRow

TARGETED = ("p2p", "dhta")
CURVED = ("noise", "pgd")  # attacks that are measured at several budgets
FEW = 16  # images that are timed


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


@dataclass(frozen=True)
class Trial:
    """Rows to be measured.

    Attributes:
        key: What makes the rows: group, name, and all else.
        steps: Gradient steps an image; 0 for an edit.
        run: Measures the rows, and tells the share that is done.
    """

    key: tuple[str, str, str]
    steps: int
    run: Callable[[Progress], list[RobustnessRow]]


def attacks_of(
    given: Sequence[str | Path | Attack], *, labelled: bool, targeted: bool, epsilon: float
) -> list[NamedAttack]:
    """Return the attacks that names, folders and objects mean.

    Args:
        given: Names of `kinbits.attacks.list_attacks`, folders of trained attacks, or attacks.
        labelled: Whether attacks know labels.
        targeted: Whether to add targeted attacks.
        epsilon: Budget of those that are given by name.

    Raises:
        UsageError: If a name is unknown, or an attack that learns has learned nothing.
        DataError: If an attack follows labels, and there are none.
    """
    names = [*given, *(name for name in TARGETED if targeted and name not in given)]
    found = _distinct([attack for one in names for attack in _named(one, epsilon, labelled=labelled)])
    for one in found:
        if one.attack.aims == "target" and not labelled:
            raise DataError(
                f"'{one.attack.name}' follows target labels, and the data have no labels; give labelled data, or leave "
                f"targeted out"
            )
    return found


def _distinct(attacks: Sequence[NamedAttack]) -> list[NamedAttack]:
    """Return each attack once, with its budget in names that several have."""
    once = list({(one.name, one.spec): one for one in attacks}.values())
    count = Counter(one.name for one in once)
    return [
        replace(one, name=f"{one.name}, epsilon {one.attack.epsilon:g}") if count[one.name] > 1 else one for one in once
    ]


def _named(given: str | Path | Attack, epsilon: float, *, labelled: bool) -> Iterator[NamedAttack]:
    if isinstance(given, Attack):
        params = ", ".join(f"{name}={value}" for name, value in given.params.items() if name != "epsilon")
        yield NamedAttack(f"{given.name} ({params})" if params else given.name, given)
    elif str(given) == "pgd":
        yield NamedAttack("pgd, own code", build_attack("pgd", epsilon=epsilon))
        if labelled:
            yield NamedAttack("pgd, mainstay code", build_attack("pgd", epsilon=epsilon, code="mainstay"))
    elif str(given) in list_attacks():
        if get_attack(str(given)).trained:
            raise UsageError(f"attack '{given}' learns a network first; train it, save it, and give its folder")
        yield NamedAttack(str(given), build_attack(str(given), epsilon=epsilon))
    elif Path(given).is_dir():
        attack = load_attack(given)
        yield NamedAttack(f"{attack.name} ({Path(given).name})", attack)
    else:
        raise unknown_name("attack", str(given), list_attacks(), place="and no folder of a trained one")


def trials_of(
    changes: Changes, edits: Sequence[Edit], attacks: Sequence[NamedAttack], curve: Sequence[float]
) -> list[Trial]:
    """Return everything that is measured, in order."""
    found = [Trial(("clean", "clean", ""), 0, lambda progress: [changes.unchanged()])]
    found += [_edit(changes, edit) for edit in edits]
    found += [_attack(changes, "attack", one) for one in attacks]
    for one in attacks:
        if one.attack.name in CURVED and one.attack.params.get("code", "own") == "own":
            others = [budget for budget in curve if budget != one.attack.epsilon]
            scaled = [build_attack(one.attack.name, **{**one.attack.params, "epsilon": budget}) for budget in others]
            found += [_attack(changes, "curve", NamedAttack(one.name, attack)) for attack in scaled]
    return [*found, Trial(("bound", "", ""), 0, lambda progress: list(changes.bounds()))]


def _edit(changes: Changes, edit: Edit) -> Trial:
    return Trial(("edit", str(edit), ""), 0, lambda progress: [changes.edit(edit)])


def _attack(changes: Changes, group: Group, one: NamedAttack) -> Trial:
    steps = int(getattr(one.attack, "steps", 1))
    return Trial(
        (group, one.name, one.spec), steps, lambda progress: [changes.attack(group, one.name, one.attack, progress)]
    )


def seconds_of(changes: Changes, trials: Sequence[Trial]) -> float:
    """Estimate how long trials take, in seconds: by some edits of a few images, and by a gradient step."""
    count, few = len(changes.queries), min(FEW, len(changes.queries))
    edits = [Edit.from_text(trial.key[1]) for trial in trials if trial.key[0] == "edit"]
    some = edits[:: max(1, len(edits) // FEW)]
    started = time.perf_counter()
    for edit in some:
        changes.own.encode(changes.own.pixels(changes.edited(edit), few))
    total = (time.perf_counter() - started) / few * count * len(edits) / max(1, len(some))
    steps = sum(trial.steps for trial in trials)
    if steps and changes.victim is not None:
        victim, images = changes.victim, torch.from_numpy(changes.clean[:few]).float() / 255
        images = images.to(victim.device).requires_grad_()
        for _ in range(2):  # the first is slower
            started = time.perf_counter()
            torch.autograd.grad(victim.logits(images).sum(), images)
        total += (time.perf_counter() - started) / few * count * steps
    return total
