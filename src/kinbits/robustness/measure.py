"""Measure how well a model's codes hold when images change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kinbits._util import Bar, check_at_least, check_seed
from kinbits.attacks import EPSILON, Attack, TrainedAttack, Victim
from kinbits.data import EDITS, Dataset, Edit, FeatureCache, Splits, readable
from kinbits.errors import DataError
from kinbits.evaluation import leakage
from kinbits.model import HashModel
from kinbits.robustness.changes import Changes
from kinbits.robustness.clean_search import CleanSearch
from kinbits.robustness.finished_rows import FinishedRows, finished_rows
from kinbits.robustness.knowledge import Knowledge, known_images
from kinbits.robustness.models import require_images_to_bits, victim_of
from kinbits.robustness.named_attacks import NamedAttack, attacks_of, with_targeted
from kinbits.robustness.plan import Trial, seconds_of, trials_of
from kinbits.robustness.report import RobustnessReport

CURVE = (2 / 255, 4 / 255, 16 / 255)
ATTACKS = ("noise", "pgd")
FEW_QUERIES = 50
VERSION = 2  # of rows on disk: raise it when the same settings give other rows


def measure_robustness(
    model: HashModel,
    splits: Splits,
    *,
    edits: Sequence[Edit | str] = EDITS,
    attacks: Sequence[str | Path | Attack] = ATTACKS,
    params: Mapping[str, Any] | None = None,
    targeted: bool = False,
    target: str | None = None,
    epsilon: float = EPSILON,
    curve: Sequence[float] = CURVE,
    queries: int = 200,
    transfer_to: HashModel | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    seed: int = 0,
    device: str = "cpu",
    cache: FeatureCache | None = None,
    tell: Callable[[str], None] = lambda line: None,
    progress: bool = False,
) -> RobustnessReport:
    """Measure a model on clean queries, on edited ones, and on attacked ones, all by one evaluator.

    This is for measuring and hardening your own system. Changed queries are searched in the clean database, and scored
    by tie-aware mAP over all of it. Edits change the images as they are given; attacks change them at the input size of
    the model, know all of it, and their images are rounded to 8 bits. Attacks that follow labels know codes and labels
    of the training part, or of the database where there is none.

    Args:
        model: A model that turns images into bits.
        splits: What `kinbits.load_protocol` or `kinbits.data.split_folder` returned.
        edits: Edits, or their texts such as ``"jpeg 30"``.
        attacks: Names of `kinbits.attacks.list_attacks`, folders of trained attacks, or attacks. ``"pgd"`` moves codes
            away from the own code and, with labels, from the mainstay code too.
        params: Parameters of the attacks that are given by name: ``{"steps": 100}`` is of all that have it, and
            ``{"dhta.images": 15}`` of one.
        targeted: Whether to add attacks towards a target label, `p2p` and `dhta`.
        target: One target label for all queries; None draws for each a label that shares no class with its own.
        epsilon: Budget of the attacks that are given by name, unless ``params`` gives another: the largest change of a
            pixel, as a share of its range.
        curve: Further budgets of `noise` and of `pgd` from the own code.
        queries: Maximum number of queries, drawn by seed.
        transfer_to: A second model, which is given the same images; it searches its own codes of the database.
        folder: Folder where finished rows are kept, for `resume`; None keeps none. One process at a time measures into
            a folder.
        resume: Whether to go on from the rows in ``folder``. Attacks, their parameters and edits may be others than
            before: what is new is measured.
        force: Whether to begin again in a folder that holds rows.
        seed: Seed of everything random.
        device: Where attacks run, e.g. ``"cuda"``; the model is moved there.
        cache: Where features are kept between runs, or None for the default place.
        tell: Called with a line that says what is to be measured, and how long it may take.
        progress: Show progress on standard error.

    Returns:
        A `RobustnessReport`: prints as a table, and writes JSON and a page.

    Raises:
        UsageError: If the model reads no images, makes no bits, or, for attacks, has no path of gradients; if an edit,
            an attack, a parameter or a target label is unknown, or a number is out of range; if the rows in ``folder``
            are of another model, other data or other settings, or are there without ``resume`` or ``force``.
        DataError: If nothing says which images are relevant, or an attack follows labels, and there are none.
        ArtefactError: If the rows in ``folder`` are damaged.
        PlatformError: If ``folder`` cannot be written, another process measures into it, or this machine has no such
            device.
    """
    check_at_least(1, queries=queries)
    check_seed(seed)
    chosen_edits = [Edit.from_text(edit) if isinstance(edit, str) else edit for edit in edits]
    for one in filter(None, (model, transfer_to)):
        require_images_to_bits(one)
    victim = victim_of(model, device=device) if attacks or targeted or target is not None else None
    known, aimed = known_images(splits), targeted or target is not None
    given = with_targeted(attacks, aimed)
    named = attacks_of(given, labelled=known is not None, epsilon=epsilon, params=params or {})
    chosen = _drawn(splits.query, queries, seed)
    settings = {"seed": seed, "number of queries": queries, "target label": target, "version of the report": VERSION}
    identity = _identity(model, splits, transfer_to, settings)
    options: dict[str, Any] = {"cache": cache or FeatureCache(), "progress": progress}
    with finished_rows(folder, identity, resume=resume, force=force) as finished:
        changes = _changes(model, splits, chosen, known, named, transfer_to, victim, target, seed, options)
        trials = trials_of(changes, chosen_edits, named, curve)
        _run(changes, trials, finished, tell, progress)
    rows = [row for trial in trials for row in finished[trial.key]]
    facts = _facts(changes, splits, named, transfer_to, epsilon=epsilon, target=target)
    names = [str(name) for name in chosen.ids]
    return RobustnessReport(splits.protocol.name, facts, rows, _notes(changes, model, splits, named), names)


def _changes(
    model: HashModel,
    splits: Splits,
    chosen: Dataset,
    known: Dataset | None,
    named: Sequence[NamedAttack],
    transfer_to: HashModel | None,
    victim: Victim | None,
    target: str | None,
    seed: int,
    options: dict[str, Any],
) -> Changes:
    """Encode database, queries and what attacks know, and return what measures changed queries."""
    knowledge = None
    if known is not None:
        knowledge = Knowledge.from_images(model, known, chosen, splits.database, target=target, seed=seed, **options)
    for attack in (one.attack for one in named):
        if isinstance(attack, TrainedAttack) and victim is not None and knowledge is not None:
            attack.require_networks(victim, knowledge.labels, knowledge.reference)
    own = CleanSearch(model, splits, chosen, **options)
    other = None if transfer_to is None else CleanSearch(transfer_to, splits, chosen, **options)
    clean = own.pixels(chosen.image)
    codes = own.encode(clean)
    precisions = own.average_precisions(codes)
    if np.isnan(precisions).all():
        raise DataError(f"no query of {splits.protocol.name} has a relevant item; give other data")
    return Changes(chosen, own, other, victim, knowledge, clean, codes, precisions, seed)


def _run(
    changes: Changes,
    trials: Sequence[Trial],
    finished: FinishedRows,
    tell: Callable[[str], None],
    progress: bool,
) -> None:
    """Measure what is left, and say before how much that is."""
    left = [trial for trial in trials if trial.key not in finished]
    if left:
        done = len(trials) - len(left)
        before = f"{done} of {len(trials)} rows are done; " if done else ""
        tell(
            f"{before}{len(left)} to measure, {len(changes.queries):,} images each: {_about(seconds_of(changes, left))}"
        )
    with Bar("measuring", len(left), progress) as bar:
        for number, trial in enumerate(left):
            finished.add(trial.key, trial.run(_reporter(bar, number, " ".join(trial.key[:2]))))


def _reporter(bar: Bar, done: int, name: str) -> Callable[[float], None]:
    bar.update(done, text=name)
    return lambda share: bar.update(done + share, text=name)


def _drawn(queries: Dataset, most: int, seed: int) -> Dataset:
    """Return at most so many queries, drawn by seed, in their order; those that can be read."""
    rows = np.random.default_rng(seed).permutation(len(queries))[:most]
    return readable(queries.select(np.sort(rows)))


def _identity(
    model: HashModel, splits: Splits, transfer_to: HashModel | None, settings: dict[str, Any]
) -> dict[str, Any]:
    """Return what makes all rows, whichever they are, by the word that an error names it with."""
    digest = hashlib.sha256(splits.protocol.checksum.encode())
    for part in (splits.train, splits.query, splits.database):
        digest.update(f"{part.fingerprint} {part.labels is not None}".encode())
        digest.update(b"" if part.labels is None else np.ascontiguousarray(part.labels).tobytes())
    return {
        "model": model.fingerprint,
        "data set": digest.hexdigest(),
        "second model": None if transfer_to is None else transfer_to.fingerprint,
        **settings,
    }


def _facts(
    changes: Changes,
    splits: Splits,
    attacks: Sequence[NamedAttack],
    transfer_to: HashModel | None,
    *,
    epsilon: float,
    target: str | None,
) -> dict[str, Any]:
    model, protocol, knowledge = changes.own.model, splits.protocol, changes.knowledge
    return {
        "version": protocol.version,
        "checksum": protocol.checksum,
        "relevance": protocol.relevance,
        "queries": len(changes.queries),
        "database": len(changes.own.items),
        "bits": model.bits,
        "method": model.method.get("name", "?"),
        "backbone": model.tower("image").backbone.name,
        "size": changes.clean.shape[-1],
        "fingerprint": model.fingerprint,
        "ties": "expected",
        "epsilon": epsilon,
        "seed": changes.seed,
        "target": target,
        "targets": None if knowledge is None else int(knowledge.aimed.sum()),
        "attacks": {one.name: json.loads(one.spec) for one in attacks},
        "defence": model.training.get("defence"),
        "transfer": None if transfer_to is None else transfer_to.fingerprint,
    }


def _notes(changes: Changes, model: HashModel, splits: Splits, attacks: Sequence[NamedAttack]) -> list[str]:
    found, knowledge = list[str](), changes.knowledge
    excluded = int(np.isnan(changes.precisions).sum())
    if excluded:
        found.append(f"{excluded} queries have no relevant item and are left out")
    if knowledge is not None and not knowledge.aimed.all():
        alike = int((~knowledge.aimed).sum())
        found.append(f"{alike} queries share a class with every target and are left out of t-mAP")
    skipped = len(changes.queries.skipped) + len(splits.database) - len(changes.own.items)
    if skipped:
        found.append(f"{skipped} unreadable images skipped")
    found += [
        f"'{one.name}' was trained on another model"
        for one in attacks
        if isinstance(one.attack, TrainedAttack) and one.attack.facts["victim"] != model.fingerprint
    ]
    if len(changes.queries) < FEW_QUERIES:
        found.append(f"{len(changes.queries)} queries are few: differences of some hundredths mean nothing")
    trained_on = leakage(model, splits)
    if trained_on:
        found.append(f"the model was trained on {trained_on}, so its numbers are too good")
    return found


def _about(seconds: float) -> str:
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {round(seconds / 60)} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"
