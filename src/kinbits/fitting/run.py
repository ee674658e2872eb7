"""fit: from a dataset to a HashModel."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

import torch

from kinbits import hamming
from kinbits._util import checked, started_by_torchrun
from kinbits.encoding import CodesFile
from kinbits.fitting.job import Job, choose_method, without_unused_validation
from kinbits.fitting.settings import FitSettings
from kinbits.fitting.sources import as_training_data
from kinbits.fitting.text_tower import text_tower
from kinbits.methods import Method
from kinbits.model import HashModel, Tower
from kinbits.training import History, check_same, defence_record, join_processes, pretrain, train

if TYPE_CHECKING:
    import pyarrow as pa

    from kinbits.fitting.options import FitOptions


def fit(data: Any, settings: FitSettings | None = None, **options: Unpack[FitOptions]) -> HashModel:
    """Learn a model that turns images into binary codes.

    Args:
        data: A Dataset, or anything `kinbits.open_dataset` takes: a folder, a table, arrays.
        settings: All options at once; None takes their defaults.
        options: Options by name, which replace those in ``settings``: ``method``, ``bits``, ``backbone``, ``epochs``,
            ``seed``, ... `FitSettings` and its parts list them.

    Processes that torchrun started train one model together: each calls this function with the same data and settings,
    and each gets the model. Each should then end by `kinbits.training.end_process`, since an interpreter may wait for
    ever for connections that are still open.

    Returns:
        The model, with its training record.

    Raises:
        UsageError: If an option is unknown or out of range.
        DataError: If the data lack what the method needs.
        PlatformError: If this machine lacks the hardware.

    Example:
        >>> import numpy as np
        >>> vectors = np.random.default_rng(0).normal(size=(200, 32)).astype("float32")
        >>> fit(vectors, method="itq", bits=16, progress=False).bits
        16
    """
    settings = (checked(settings, FitSettings | None, "settings") or FitSettings()).with_options(**options)
    dataset, started = as_training_data(data), time.perf_counter()
    settings = without_unused_validation(choose_method(settings, dataset))
    join_processes()
    job = Job.from_dataset(dataset, settings)
    if started_by_torchrun():
        check_same(_given(job))
    method, training = job.build_method(), settings.training
    pretraining = None if training.pretrain is None else pretrain(method, job.pretraining_set, training, together=True)
    history = train(method, job.train, training, job.validation_set, together=True)
    towers = {m: Tower(job.backbones[m], head.cpu()) for m, head in method.towers().items()}
    towers |= text_tower(job, towers["image"])
    record = {
        "data": dataset.name,
        "data_fingerprint": dataset.fingerprint,
        "images_fingerprint": dataset.items.fingerprint,
        **_record(job, method, history, pretraining),
        "seconds": round(time.perf_counter() - started, 2),
        "torch": torch.__version__,
    }
    named = {"name": method.name, "params": dict(method.params)}
    decoder = None if method.decoder is None else method.decoder.cpu()
    model = HashModel(towers, named, record, decoder=decoder, labels=job.rows.table(job.dataset))
    model.train_codes = _train_codes(method, job, model.fingerprint)
    return model


def _given(job: Job) -> dict[str, bytes]:
    """Return what all processes of a run must have been given alike; paths may differ between machines."""
    training = replace(job.settings.training, checkpoints=None, resume=False, progress=False)
    settings = replace(job.settings, training=training, features=replace(job.settings.features, cache=None))
    settings = replace(settings, supervision=replace(settings.supervision, pairs=None))
    ids, pairs, labels = job.dataset.ids[job.rows.train], job.train.pairs, job.train.labels
    return {
        "items": ids.tobytes() if ids.dtype.kind in "iu" else "\0".join(map(str, ids)).encode(),
        "labels": b"" if labels is None else labels.numpy().tobytes(),
        "pairs": b"" if pairs is None else pairs.fingerprint.encode(),
        "settings": repr((settings, job.settings.training.resume)).encode(),
    }


def _record(job: Job, method: Method, history: History, pretraining: dict[str, Any] | None) -> dict[str, Any]:
    training = job.settings.training
    return {
        "rows": len(job.train),
        "skipped": [vars(s) for s in job.dataset.skipped],
        **job.rows.record(),
        **({} if job.train.pairs is None else {"pairs": job.train.pairs.counts()}),
        **({} if pretraining is None else {"pretraining": pretraining}),
        "seed": training.seed,
        **history.record(),
        **({} if training.defence is None else {"defence": defence_record(training)}),
        "recipe": vars(training.recipe(method.recipe, len(job.train))),
        "backbone_trained": not job.train.frozen,
    }


def _train_codes(method: Method, job: Job, fingerprint: str) -> pa.Table | None:
    """Return the codes that a method learned for the training images themselves, if it did."""
    codes = method.train_codes()
    if codes is None:
        return None
    dataset = job.dataset.select(job.rows.train)
    labels = (
        {}
        if dataset.label_space is None or dataset.labels is None
        else {dataset.label_column: dataset.label_space.texts(dataset.labels)}
    )
    packed = hamming.pack(codes.cpu().numpy())
    several = tuple(labels) if dataset.label_space is not None and dataset.label_space.multi else ()
    learned = CodesFile(packed, dataset.ids, method.spec.bits, labels, fingerprint, root=dataset.root, multiple=several)
    return learned.to_table(data=dataset.fingerprint)
