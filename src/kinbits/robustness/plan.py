"""What a report measures, in order: the clean queries, edits, attacks, attacks at other budgets, bounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from kinbits.attacks import build_attack
from kinbits.data import Edit
from kinbits.robustness.changes import Changes, Progress
from kinbits.robustness.named_attacks import NamedAttack
from kinbits.robustness.row import Group, RobustnessRow

CURVED = ("noise", "pgd")  # attacks that are measured at several budgets
FEW = 16  # images that are timed


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
    found.append(Trial(("bound", "", ""), 0, lambda progress: list(changes.bounds())))
    if attacks and changes.knowledge is not None and len(changes.knowledge.reference.label_rows.columns):
        found.append(Trial(("bound", "prototype code", ""), 0, lambda progress: [changes.prototypes()]))
    return found


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
