"""What `kinbits fit` prints about the model that it made."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinbits.cli.output import facts, note, seconds_text, shell, skipped_json, skipped_text

if TYPE_CHECKING:
    from kinbits.cli.source import Source
    from kinbits.data import Dataset, Skipped
    from kinbits.evaluation import NeighboursKept
    from kinbits.model import HashModel


_FEWEST = 20  # vectors; fewer have no neighbours to speak of


def show(model: HashModel, output: Path, dataset: Dataset, source: Source) -> None:
    """Print what was trained on what, and the command that comes next."""
    from kinbits.model import TRAIN_CODES
    from kinbits.training import epochs_text, validation_text

    made, kept = model.training, _neighbours(model, dataset)
    facts(
        {
            "model": output,
            "codes": f"{model.bits} bits, {model.method['name']} on {_backbones(model)}",
            "trained on": f"{made['rows']:,} {dataset.kind}s{_classes(dataset)}",
            "pre-trained": _pretraining_text(made.get("pretraining")),
            "labels": _labels_text(made.get("labels")),
            "pairs": _pairs_text(made.get("pairs")),
            "learned codes": None if model.train_codes is None else output / TRAIN_CODES,
            "epochs": epochs_text(made),
            "validation": validation_text(made, f"{dataset.kind}s"),
            "neighbours": kept and str(kept),
            "skipped": skipped_text(_all_skipped(dataset, model)),
            "time": seconds_text(made["seconds"]),
            "next": _next(output, source),
        }
    )
    if kept is not None and kept.advice:
        note(kept.advice)


def record(model: HashModel, output: Path, dataset: Dataset) -> dict[str, Any]:
    """Return the same for ``--json``."""
    made, kept = model.training, _neighbours(model, dataset)
    names = ("rows", "seed", "epochs", "best_epoch", "stopped_early", "loss", "validation", "seconds")
    return {
        "model": output,
        "method": model.method["name"],
        "bits": model.bits,
        "backbone": model.towers["image"].backbone.name,
        "classes": dataset.label_space.classes if dataset.label_space is not None else None,
        **{name: made[name] for name in names},
        "pretrain": made.get("pretraining", {}).get("method"),
        **{name: made[name] for name in ("labels", "pairs") if name in made},
        **({} if kept is None else {"neighbours_kept": asdict(kept)}),
        "skipped": skipped_json(_all_skipped(dataset, model)),
        "left_out": dataset.left_out.to_dict(),
        "fingerprint": model.fingerprint,
    }


def _neighbours(model: HashModel, dataset: Dataset) -> NeighboursKept | None:
    """Measure the neighbours that codes of vectors keep: those of images were hardly ever what is looked for."""
    from kinbits.evaluation import neighbours_kept

    return neighbours_kept(model, dataset) if dataset.kind == "vector" and len(dataset) > _FEWEST else None


def _next(output: Path, source: Source) -> str:
    index = output.with_name(f"{output.name}.index")
    whole = source.name.removeprefix("folder:")  # what is searched is not the training part alone
    return shell("kinbits", "index", "create", index, output, whole, *source.column_flags)


def _all_skipped(dataset: Dataset, model: HashModel) -> list[Skipped]:
    """Join what opening the data left out with what training did; the latter may repeat the former."""
    from kinbits.data import Skipped

    later = (Skipped(one["id"], one["reason"]) for one in model.training["skipped"])
    return list(dict.fromkeys([*dataset.skipped, *later]))


def _backbones(model: HashModel) -> str:
    return " + ".join(tower.backbone.name for tower in model.towers.values())


def _pretraining_text(pretraining: dict[str, Any] | None) -> str | None:
    if pretraining is None:
        return None
    made = pretraining["epochs"]
    return f"{pretraining['trained']}, {pretraining['method']}, {made} {'epoch' if made == 1 else 'epochs'}"


def _labels_text(labels: dict[str, Any] | None) -> str | None:
    if labels is None:
        return None
    guessed = f", {labels['pseudo']:,} guessed by {labels['expansion']}" if "expansion" in labels else ""
    held = f", {labels['held']:,} held out" if labels["held"] else ""
    return f"{labels['true']:,} given{guessed}{held}, see labels.csv"


def _pairs_text(counts: dict[str, int] | None) -> str | None:
    if counts is None:
        return None
    dissimilar = f", {counts['dissimilar']:,} dissimilar" if counts["dissimilar"] else ""
    clusters = f", {counts['clusters']:,} clusters" if counts["clusters"] else ""
    return f"{counts['similar']:,} similar{dissimilar}{clusters}"


def _classes(dataset: Dataset) -> str:
    if dataset.label_space is None or not dataset.has_label.any():
        return ", without labels"
    return f", {dataset.label_space.classes:,} {'labels' if dataset.label_space.multi else 'classes'}"
