"""The worker: holds the model, reads blocks and encodes them. One runs as a Ray actor, in a process of its own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from kinbits._util import Modality
from kinbits.encoding import BATCH, encode_part, join_codes
from kinbits.errors import PlatformError
from kinbits.scale.blocks import Block
from kinbits.scale.output import Shard, shard_bytes
from kinbits.scale.tars import TarBlock, uniform

if TYPE_CHECKING:
    from kinbits.encoding import CodesFile
    from kinbits.model import HashModel


@dataclass(frozen=True)
class Setup:
    """What every worker gets once.

    Attributes:
        version: Version of kinbits that sends it.
        model: Files of the model folder by name.
        folder: Where the model folder is on the sending machine; files of codes name it.
        root: Folder that paths in the input start from; None if there is none.
        job: Digest of the job.
        modality: What is encoded.
        types: Types of the metadata of all blocks; None if they are not known.
        compiled: Whether the backbone is compiled also for a small block. Small collections are encoded without, and
            the last digits of features may differ, so that a block must not choose for itself.
        device: Device of the model, such as ``"cuda"``.
    """

    version: str
    model: Mapping[str, bytes]
    folder: Path | None
    root: Path | None
    job: str
    modality: Modality
    types: Mapping[str, Any] | None
    compiled: bool
    device: str


def model_files(model: HashModel) -> dict[str, bytes]:
    """Return the files of a model folder, complete, so that a worker needs neither the folder nor other packages."""
    folder = model.folder
    with tempfile.TemporaryDirectory() as place:
        try:
            written = model.save_pretrained(Path(place, "model"))
        finally:
            model.folder = folder
        return {file.name: file.read_bytes() for file in sorted(written.iterdir())}


class Worker:
    """Encodes blocks, several at a time: while one is computed, the next is fetched."""

    def __init__(self) -> None:
        self._setup: Setup | None = None
        self._model: HashModel | None = None
        self._computing = Lock()

    def node(self) -> str:
        """Return the id of the node that it runs on."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def start(self, setup: Setup, slot: int, cpus: float | None) -> int:
        """Load the model, and return the number of the process.

        Args:
            setup: What the driver sends.
            slot: Number of this worker among those of its node.
            cpus: CPUs that it may use; None for all, where it is the only one of its node.

        Raises:
            PlatformError: If another version of kinbits is installed here.
        """
        from kinbits.model import HashModel

        own = version("kinbits")
        if own != setup.version:
            raise PlatformError(
                f"a node has kinbits {own}, and the start was on one with {setup.version}; install one version"
            )
        limit_cpus(slot, cpus)
        with tempfile.TemporaryDirectory() as place:
            for name, data in setup.model.items():
                Path(place, name).write_bytes(data)
            model = HashModel.from_pretrained(place)
        model.folder = setup.folder
        model.to(setup.device)
        self._setup, self._model = setup, model
        if setup.compiled:
            compile_backbone(model, setup.modality)
        return os.getpid()

    def encode(self, number: int, block: Block) -> tuple[bytes, Shard]:
        """Encode a block, and return its file and what the file holds."""
        assert self._setup is not None
        parts = [self._encode_part(dataset) for dataset in block.parts()]
        joined = join_codes(parts, block.name)
        columns = joined.columns
        if isinstance(block, TarBlock):  # its parts may differ in the types of a value
            columns = {name: uniform(list(values)) for name, values in columns.items()}
        codes = replace(joined, columns=columns, root=self._setup.root)
        return shard_bytes(codes, self._setup.job, number, self._setup.types)

    def _encode_part(self, dataset: Any) -> CodesFile:
        assert self._setup is not None
        assert self._model is not None
        with self._computing:
            codes = encode_part(self._model, dataset, modality=self._setup.modality, on_error="skip", batch_size=BATCH)
        return replace(codes, skipped=(*dataset.skipped, *codes.skipped))


def compile_backbone(model: HashModel, modality: Modality) -> None:
    """Compile a backbone as a large collection does, so that a small block is computed by the same graph."""
    from kinbits.backbones import COMPILE_ROWS, features_of_pixels

    backbone = model.tower(modality).backbone
    if modality == "text":
        model.encode(["a text"] * COMPILE_ROWS, modality="text")
    elif backbone.preprocessing is not None:
        side = backbone.preprocessing.size
        features_of_pixels(np.zeros((1, 3, side, side), np.uint8), backbone)


def limit_cpus(slot: int, cpus: float | None) -> None:
    """Keep all threads of this process on some of the CPUs, so that the workers of a node share them evenly."""
    if cpus is None or not hasattr(os, "sched_setaffinity"):
        return
    known = sorted(os.sched_getaffinity(0))
    number = max(1, int(cpus))
    if number >= len(known):
        return
    chosen = {known[(slot * number + one) % len(known)] for one in range(number)}
    for task in os.listdir("/proc/self/task"):
        with suppress(OSError):  # the thread has ended
            os.sched_setaffinity(int(task), chosen)
