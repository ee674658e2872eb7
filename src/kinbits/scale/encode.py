"""Encoding of a collection by many workers, on one machine or on a cluster, to a folder of files of codes."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from kinbits import hamming
from kinbits._util import Bar, Modality, check_at_least, require
from kinbits.data import Dataset, Skipped
from kinbits.encoding import BATCH
from kinbits.errors import DataError, UsageError
from kinbits.scale.cluster import connected, find_room
from kinbits.scale.output import Output, Shard
from kinbits.scale.planning import Plan, make_plan, require_outside
from kinbits.scale.pool import Pool
from kinbits.scale.worker import Setup, model_files

if TYPE_CHECKING:
    from kinbits.model import HashModel

_FORMAT = 1


@dataclass(frozen=True)
class EncodedShards:
    """What `encode` wrote.

    Attributes:
        path: The folder, or its URI.
        rows: Number of codes.
        bits: Code length.
        blocks: Number of blocks, each a file.
        skipped: What could not be read.
        resumed: Number of blocks that an earlier run had finished.
        retried: Number of attempts that failed, as workers or nodes died, and were repeated.
        low_quality: Number of codes with a quality below 50; None of a model that knows no quality.
    """

    path: str
    rows: int
    bits: int
    blocks: int
    skipped: tuple[Skipped, ...]
    resumed: int
    retried: int
    low_quality: int | None = None


def encode(
    model: HashModel,
    data: Any,
    output: str | os.PathLike[str],
    *,
    cluster: str = "local",
    modality: Modality = "image",
    block_rows: int = BATCH,
    workers: int | None = None,
    cpus_per_worker: float | None = None,
    gpus_per_worker: float = 0,
    image_column: str | None = None,
    vector_column: str | None = None,
    label_column: str | None = None,
    text_column: str | None = None,
    id_column: str | None = None,
    progress: bool = False,
) -> EncodedShards:
    """Encode a collection by workers of a Ray cluster, to a folder of Parquet files.

    The input is divided into blocks. The file of a block is named by its number, such as ``part-000012.parquet``, and
    is complete or not there. A block whose worker or node dies is encoded again. After the death of this process, the
    same call continues: finished blocks are checked, and kept. ``_manifest.json`` is written last.

    With blocks of 8192 rows, codes, ids, metadata and order are those of `kinbits.encoding.encode_to_file`.
    `kinbits.encoding.read_codes` reads the folder as if it was one file, and so does ``kinbits index create``.

    Args:
        model: Makes the codes; it is sent to the workers.
        data: A URI of a folder or file (``s3://bucket/photos``), a tar file, or a local folder of tar files: workers
            read tar shards of WebDataset, Parquet files, or images; a mixture is refused, but images may be beside
            Parquet files with their paths. Anything else is opened here, as by `kinbits.open_dataset`; the workers must
            then reach images that are files by the same paths.
        output: Folder or URI, not inside the input.
        cluster: ``"local"`` starts a private cluster on this machine for this call, ``"auto"`` uses the one that this
            machine belongs to, and an address such as ``"10.0.0.1:6379"`` another. If Ray is connected already, that
            connection is used.
        modality: ``"image"``, or ``"text"`` for the texts of the collection.
        block_rows: Number of items of a block; a tar shard is always one block.
        workers: Number of workers; None starts as many as fit.
        cpus_per_worker: CPUs of each, also a fraction; None takes those of the smallest node.
        gpus_per_worker: GPUs of each, also a fraction; above 0, models run on ``"cuda"``.
        image_column: Column of images or of their paths; None finds it.
        vector_column: Column of vectors; None finds it.
        label_column: Column of labels; None finds it. Workers keep labels of Parquet files as they are written.
        text_column: Column of texts; None finds it.
        id_column: Column of unique names; None finds it.
        progress: Show progress on standard error.

    Raises:
        DataError: If the input holds nothing that can be read, or is damaged, or files of several kinds, or if two
            items have one id; then all blocks are there, but no manifest.
        UsageError: If an option is out of range, a worker does not fit on a node, or the output holds something else,
            or is inside the input.
        PlatformError: If Ray is not installed, the cluster cannot be reached, the output cannot be written, or workers
            die again and again; finished blocks are kept.
    """
    require("ray")
    if cpus_per_worker is not None and not cpus_per_worker > 0:
        raise UsageError(f"cpus_per_worker is {cpus_per_worker}; give more than 0")
    check_at_least(0, gpus_per_worker=gpus_per_worker)
    check_at_least(1, block_rows=block_rows, **({} if workers is None else {"workers": workers}))
    tower = model.tower(modality)
    given = {
        "image_column": image_column,
        "vector_column": vector_column,
        "label_column": label_column,
        "text_column": text_column,
        "id_column": id_column,
    }
    named = {name: value for name, value in given.items() if value is not None}
    if named and isinstance(data, Dataset):
        raise UsageError(f"{', '.join(named)}: the columns of a Dataset are known; leave that out")
    device = "cuda" if gpus_per_worker else "cpu"
    require_outside(data, os.fspath(output))
    plan = make_plan(data, modality, int(block_rows), named)
    out = Output(os.fspath(output), _job(model, plan, modality, int(block_rows), device))
    with ExitStack() as held:
        held.enter_context(out.lock())
        shards = out.start()
        resumed, retried = len(shards), 0
        if resumed < plan.count:
            ray = held.enter_context(connected(cluster))
            room = find_room(ray.nodes(), workers, cpus_per_worker, gpus_per_worker)
            setup = _setup(model, plan, out.digest, modality, device)
            missing = [number for number in range(plan.count) if number not in shards]
            pool = Pool(ray, setup, room, len(missing))
            held.callback(pool.close)
            _encode_blocks(pool, missing, plan, out, shards, progress)
            retried = pool.retried
        ordered = [shards[number] for number in range(plan.count)]
        skipped = tuple(one for shard in ordered for one in shard.skipped)
        rows = sum(shard.rows for shard in ordered)
        if not rows:
            one = skipped[0] if skipped else Skipped(plan.name, "no items")
            raise DataError(f"{plan.name}: no item can be read ({one.id}: {one.reason}); no manifest was written")
        out.require_unique(lambda number: plan.block(number).name)
        out.finish(ordered, skipped)
    low = sum(shard.low_quality or 0 for shard in ordered) if tower.backbone.rates else None
    return EncodedShards(out.target, rows, model.bits, plan.count, skipped, resumed, retried, low)


def _job(model: HashModel, plan: Plan, modality: Modality, block_rows: int, device: str) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "bits": model.bits,
        **hamming.stated_kind(model.words),
        "fingerprint": model.fingerprint,
        "data": plan.identity,
        "modality": modality,
        "device": device,  # codes of a GPU may differ in a few bits
        "block_rows": block_rows,
        "blocks": plan.count,
    }


def _setup(model: HashModel, plan: Plan, job: str, modality: Modality, device: str) -> Setup:
    from kinbits.backbones import COMPILE_ROWS  # here, because it brings torch

    return Setup(
        version=version("kinbits"),
        model=model_files(model),
        folder=model.folder,
        root=plan.root,
        job=job,
        modality=modality,
        types=plan.types,
        compiled=plan.items is None or plan.items >= COMPILE_ROWS,
        device=device,
    )


def _encode_blocks(
    pool: Pool, missing: list[int], plan: Plan, out: Output, shards: dict[int, Shard], progress: bool
) -> None:
    """Encode the missing blocks, and write each as soon as it is finished."""
    skipped = sum(len(shard.skipped) for shard in shards.values())
    with Bar("encoding blocks", plan.count, shown=progress) as bar:

        def done(number: int, data: bytes, shard: Shard) -> None:
            nonlocal skipped
            out.write_shard(number, data)
            shards[number] = shard
            skipped += len(shard.skipped)
            bar.update(len(shards), text=f"{skipped:,} skipped" if skipped else "")

        pool.run(missing, plan.block, done)
