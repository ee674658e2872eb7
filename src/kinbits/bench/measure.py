"""One run: fit a model, measure it, say what it took."""

from __future__ import annotations

import resource
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from kinbits import metrics
from kinbits._util import Modality
from kinbits.backbones import extract
from kinbits.bench.experiment import FEATURES, Run
from kinbits.bench.provenance import provenance
from kinbits.data import Dataset, FeatureCache, Splits, load_protocol
from kinbits.errors import DataError
from kinbits.evaluation import cosine_block, judged
from kinbits.fitting import Task, fit, image_backbone
from kinbits.metrics import RankingResult
from kinbits.model import HashModel


def measure(run: Run) -> list[dict[str, Any]]:
    """Fit and measure; one row per direction of search.

    The model is fitted on the training part alone, and the numbers are taken once, when it is finished: nothing that
    is chosen during training sees a query.
    """
    splits = splits_of(run.protocol)
    _forget_peak()
    config = run.config  # before the run: a file that is edited meanwhile is another method
    started = time.perf_counter()
    found = _features(run, splits) if run.entry.method == FEATURES else _model(run, splits)
    record = {
        "protocol": run.protocol,
        "method": run.entry.label,
        "bits": "float" if run.bits is None else run.bits,
        "seed": run.seed,
        "seconds": f"{time.perf_counter() - started:.1f}",
        "peak_mb": round(_peak() / 1e6),
        "config": config,
        "split_checksum": splits.protocol.checksum,
        **provenance(),
    }
    return [{**record, **row} for row in found]


@lru_cache(maxsize=2)
def splits_of(protocol: str) -> Splits:
    """Load a protocol; runs on the same one share it."""
    return load_protocol(protocol)


def _model(run: Run, splits: Splits) -> list[dict[str, Any]]:
    cache = FeatureCache()
    model = fit(
        splits.train,
        method=run.entry.method,
        bits=run.bits,
        backbone=run.backbone,
        image_size=run.image_size,
        finetune=run.finetune,
        params=dict(run.entry.params),
        cache=cache,
        seed=run.seed,
        progress=False,
        **run.entry.about_labels,
        **run.training,
    )
    # features of a backbone that was trained along are good for this run alone
    kept = None if model.training["backbone_trained"] else cache
    ways: list[tuple[Modality, Modality]] = [] if splits.protocol.paired else [("image", "image")]
    if "text" in model.towers and splits.query.captioned.any() and splits.database.captioned.any():
        ways += [("image", "text"), ("text", "image")]
    if not ways:
        raise _unpaired(run)
    codes = _Codes(model, splits, kept)
    backbone = model.towers["image"].backbone.pooled.name
    rows = []
    for a, b in ways:
        relevance = judged(splits, codes.part("query", a), codes.part("database", b))
        result = metrics.evaluate(codes("query", a), codes("database", b), relevance, run.metrics)
        rows.append(_row(backbone, f"{a} to {b}", result))
    return rows


class _Codes:
    """The codes of both parts, in either modality; each is computed once."""

    def __init__(self, model: HashModel, splits: Splits, cache: FeatureCache | None) -> None:
        self.model, self.splits, self.cache = model, splits, cache
        self.known: dict[tuple[str, str], np.ndarray] = {}

    def __call__(self, part: str, modality: Modality) -> np.ndarray:
        if (part, modality) not in self.known:
            dataset = self.part(part, modality)
            found = extract(dataset, self.model.tower(modality).backbone, cache=self.cache)
            _require_all(found.valid, part)
            self.known[part, modality] = self.model.tower(modality).compute(found.array)
        return self.known[part, modality]

    def part(self, name: str, modality: Modality) -> Dataset:
        """Return the rows that take part: for texts, those that have one."""
        dataset: Dataset = getattr(self.splits, name)
        every = modality == "image" or dataset.captioned.all()
        return dataset if every else dataset.select(dataset.captioned)


def _features(run: Run, splits: Splits) -> list[dict[str, Any]]:
    """Rank by the cosine of the frozen features themselves."""
    if splits.protocol.paired:
        raise _unpaired(run)
    backbone = image_backbone(splits.train, Task(backbone=run.backbone, image_size=run.image_size))
    parts = []
    for part in ("query", "database"):
        found = extract(getattr(splits, part), backbone, cache=FeatureCache())
        _require_all(found.valid, part)
        parts.append(np.asarray(found.array))
    result = metrics.evaluate_scores(cosine_block(*parts), judged(splits), run.metrics)
    return [_row(backbone.name, "image to image", result)]


def _unpaired(run: Run) -> DataError:
    return DataError(
        f"{run.protocol} has no labels, so a text is to find its image and an image its text, and '{run.entry.label}' "
        f"reads no text; take methods that do, or data with labels"
    )


def _require_all(valid: np.ndarray, part: str) -> None:
    if not valid.all():  # numbers over fewer images would look like the others
        raise DataError(f"{int((~valid).sum())} images of the {part} part cannot be read; repair the data first")


def _row(backbone: str, direction: str, result: RankingResult) -> dict[str, Any]:
    return {"backbone": backbone, "direction": direction, **{name: f"{value:.6f}" for name, value in result.items()}}


def _forget_peak() -> None:
    """Let the system measure this process's peak memory anew, where it can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    """Return the peak resident memory in bytes."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return 1024 * int(line.split()[1])
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
