"""HashModel: trained backbones and heads, which encode, are saved, and are known by their fingerprint."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import torch

from kinbits import hamming
from kinbits._util import Modality, full_path, one_line, reporter
from kinbits.data import Dataset, FeatureCache, as_dataset, as_texts, is_single
from kinbits.errors import ArtefactError, DataError, KinbitsError, PlatformError, UsageError
from kinbits.heads import Decoder
from kinbits.model.card import model_card
from kinbits.model.description import named_hash
from kinbits.model.encode import READY, Encoded, check_encode_options, encode_dataset
from kinbits.model.folder import METRICS, TRAINING, read_folder, read_labels, read_train_codes, write_folder
from kinbits.model.hub import find_model, upload
from kinbits.model.operating_points import stored_radius
from kinbits.model.package_weights import tower_config, with_package_weights
from kinbits.model.restore import (
    conventions,
    described,
    fingerprint_of,
    hash_towers,
    require_conventions,
    restore,
    tensors_of,
)
from kinbits.model.shown import as_html, as_text
from kinbits.model.tower import Output, Tower, check_device

FORMAT = 1
BATCH = 8192
CHUNK = 4096


@dataclass
class HashModel:
    """A model that turns images, and text if it has a text tower, into packed codes.

    Attributes:
        towers: Backbone and head for ``"image"`` and, where there is one, ``"text"``.
        method: Name and hyper-parameters of the method that trained it.
        training: How it was trained: settings, loss history, sizes, seed.
        metrics: Numbers measured on it, by protocol.
        decoder: Guesses image features from codes, if the method learned that; else None.
        labels: What it learned from where labels were hidden or guessed, as a `pyarrow.Table`: id, label, source
            (true or pseudo), confidence, round. None otherwise.
        train_codes: Codes that training gave its own images, as a `pyarrow.Table` (id, code, label), by methods that
            learn codes in addition to the network (adsh, exchnet); else None. They are comparable with encoded images.
        folder: Where the model was saved or loaded; None for one that was not, or has changed since.

    Example:
        >>> from kinbits.backbones import load_backbone
        >>> from kinbits.heads import build_head
        >>> head = build_head({"name": "linear", "features": 2, "bits": 8})
        >>> model = HashModel({"image": Tower(load_backbone("features", dim=2), head)})
        >>> model.encode([[0.5, 1.0], [0.25, 3.0]]).shape
        (2, 1)
    """

    towers: dict[Modality, Tower]
    method: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    decoder: Decoder | None = None
    labels: Any = None
    train_codes: Any = None
    folder: Path | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.decoder is not None:
            self.decoder.eval().requires_grad_(False)

    def __repr__(self) -> str:
        return as_text(self.method, self.towers, self.fingerprint, self.folder)

    def _repr_html_(self) -> str:
        return as_html(self.method, self.towers, self.training, self.fingerprint, self.folder)

    @property
    def bits(self) -> int:
        """Code length K."""
        return self.towers["image"].head.bits

    @property
    def words(self) -> int:
        """Words of a part of a code: 2 for bits, 16 or 256 for product codes, 0 for scaled codes."""
        return self.towers["image"].head.words

    @property
    def fingerprint(self) -> str:
        """SHA-256 over everything that decides the codes: architectures, preprocessing, all weights, thresholds.

        A decoder changes no code, so an index fits the model with or without it.
        """
        return fingerprint_of({modality: (tower.backbone, tower.head) for modality, tower in self.towers.items()})

    def to(self, device: str | torch.device) -> HashModel:
        """Move all weights to a device, e.g. ``"cuda"``, and return self.

        Raises:
            UsageError: If PyTorch knows no such device.
            PlatformError: If this machine does not have it.
        """
        check_device(device)
        for tower in self.towers.values():
            tower.to(device)
        if self.decoder is not None:
            self.decoder.to(device)
        return self

    def tower(self, modality: Modality = "image") -> Tower:
        """Return the network of one modality, a `torch.nn.Module` from pixels to logits.

        Raises:
            UsageError: If the model has no tower for it.
        """
        if modality not in self.towers:
            raise UsageError(f"this model encodes {', '.join(self.towers)}; it has no {modality} tower")
        return self.towers[modality]

    @overload
    def encode(
        self,
        inputs: Any,
        *,
        modality: Modality = "image",
        output: Output = "codes",
        on_error: Literal["raise"] = "raise",
        batch_size: int = BATCH,
        cache: FeatureCache | None = None,
        progress: bool = False,
    ) -> np.ndarray: ...
    @overload
    def encode(
        self,
        inputs: Any,
        *,
        modality: Modality = "image",
        output: Output = "codes",
        on_error: Literal["skip"],
        batch_size: int = BATCH,
        cache: FeatureCache | None = None,
        progress: bool = False,
    ) -> Encoded: ...
    def encode(
        self,
        inputs: Any,
        *,
        modality: Modality = "image",
        output: Output = "codes",
        on_error: Literal["raise", "skip"] = "raise",
        batch_size: int = BATCH,
        cache: FeatureCache | None = None,
        progress: bool = False,
    ) -> np.ndarray | Encoded:
        """Encode images, vectors or texts, in the given order.

        Args:
            inputs: A path, encoded bytes, a binary file, a PIL image, an array uint8 ``(h, w)``, ``(h, w, 3)``,
                ``(n, h, w)`` or ``(n, h, w, 3)``, a list of these, a folder, a Dataset, or `kinbits.backbones.Features`
                of its backbone. Float vectors ``(d,)`` or ``(n, d)``, or a list of vectors, where the backbone is
                ``features``. With ``modality="text"`` a text, a list of texts, or a Dataset with texts.
            modality: Which tower encodes: ``"image"``, which vectors belong to as well, or ``"text"``.
            output: ``"codes"`` uint8 ``(n, ceil(bits / 8))``, ``"bits"`` bool ``(n, bits)``, ``"logits"`` float32
                ``(n, bits)``, ``"tables"`` float32 ``(n, 2 ceil(bits / 8), 16)``, which are the logits for an
                asymmetric search (`kinbits.hamming.sign_tables`), ``"features"`` float32 ``(n, d)``, as the head reads
                them, ``"quality"`` int64 ``(n,)`` from 0 to 100, which `pdq` knows, or ``"concepts"`` uint8 ``(n, 39)``
                (`kinbits.backbones.Concepts`), which a published EfficientNet-Lite knows.
            on_error: ``"raise"``, or ``"skip"`` to leave out what cannot be read.
            batch_size: Maximum number of rows whose features are in memory at once.
            cache: Where features are kept between runs, or None.
            progress: Show progress on standard error.

        Returns:
            The array; with ``on_error="skip"`` an `Encoded`, which holds it with the rows that it belongs to and
            what was skipped.

        Raises:
            DataError: If an input cannot be read, and is not to be skipped. A vector is not finite in float32. A text
                is empty.
            UsageError: If the model has no such tower, or an option is unknown.
        """
        check_encode_options(output, on_error, batch_size)
        tower = self.tower(modality)
        dataset = inputs if isinstance(inputs, READY) else self._dataset(inputs, modality)
        strict = on_error == "raise"
        with reporter(f"encoding {modality}s", progress) as report:
            found = encode_dataset(
                tower, dataset, output, batch_size=batch_size, cache=cache, strict=strict, progress=report
            )
        return found.array if strict else found

    def _dataset(self, inputs: Any, modality: Modality) -> Dataset:
        if modality == "text":
            return as_texts(inputs)
        if "text" in self.towers and isinstance(inputs, str) and ":" not in inputs and not os.path.exists(inputs):
            raise DataError(f"no such file or folder: {inputs}; a text needs modality='text', or text= in a search")
        return as_dataset(inputs)

    def is_single(self, inputs: Any) -> bool:
        """Tell whether `encode` takes this as one item, not as several: `Index.search` then answers with one `Hits`.

        A list, an array of items, a Dataset, a folder and a table hold several, also if it is only one.
        """
        return is_single(inputs)

    @torch.no_grad()
    def reconstruct(self, codes: np.ndarray) -> np.ndarray:
        """Guess the image features behind codes; `Index.search` re-ranks with them (``rerank=``).

        The decoder knows the collection that the model was trained on: `calibrate` changes the codes, not the decoder.

        Args:
            codes: Packed codes of this model, uint8 ``(n, ceil(bits / 8))``.

        Returns:
            float32 ``(n, d)``, to be compared with ``encode(..., output="features")``.

        Raises:
            UsageError: If the model has no decoder.
            DataError: If the codes have another length.
        """
        if self.decoder is None:
            name = self.method.get("name", "its method")
            raise UsageError(
                f"this model has no decoder: '{name}' learned none; train one that has, e.g. with method 'rankhash'"
            )
        head = self.tower().head
        signs = torch.from_numpy(hamming.unpack(codes, self.bits)).to(head.threshold.device).float() * 2 - 1
        parts = [head.restore(self.decoder(part)).cpu().numpy() for part in torch.split(signs, CHUNK)]
        return np.concatenate(parts)

    def calibrate(self, images: Any, *, statistic: Literal["mean", "median"] = "mean") -> HashModel:
        """Re-centre every bit's threshold on a target collection, and return self with a new fingerprint.

        Bits are unbalanced on a collection that differs from the training set. Moving each bit's threshold to the mean
        logit on that collection balances them (Hoe et al. 2021, supplement D.5, there as new batch-norm statistics).
        Queries and database must both be encoded with the calibrated model.

        Args:
            images: The collection, as for `encode`; a few thousand are enough.
            statistic: ``"mean"`` as published, or ``"median"``, which balances every bit exactly.

        Raises:
            DataError: If no image can be read.
            UsageError: If the codes are no bits.
        """
        logits = self.encode(images, output="logits", on_error="skip").array
        if not len(logits):
            raise DataError("no image of the collection can be read; nothing to calibrate on")
        shift = logits.mean(0) if statistic == "mean" else np.median(logits, axis=0)
        self.tower().head.move_thresholds(torch.from_numpy(np.asarray(shift, np.float32)))
        self.train_codes = None  # they fit the codes of before
        self.metrics.clear()  # and so do the numbers and radii that were measured
        self.folder = None
        return self

    def radius(self, target: str, protocol: str | None = None) -> int:
        """Return the Hamming radius that an evaluation found for a target, for `Index.search`.

        ``kinbits.evaluate(model, splits, at=["precision=0.95"]).record(model)`` finds it; the metrics hold what it
        reached on queries that had no part in choosing it.

        Args:
            target: E.g. ``"precision=0.95"`` or ``"recall=0.9"``.
            protocol: The one that was measured; None where there is only one, or all agree.

        Raises:
            UsageError: If there is none, no radius reaches the target, or those of several protocols differ.
        """
        return stored_radius(self.metrics, target, protocol)

    def save_pretrained(self, folder: str | os.PathLike[str], *, package_weights: bool = True) -> Path:
        """Write the model folder: tensors, configuration, training record, metrics, model card; no pickle.

        Args:
            folder: Where to.
            package_weights: Write also the weights of backbones that an installed package holds. Without them the
                folder is small, and loads where the package is installed, such as that of ``"efficientnet_lite0"``.

        Returns:
            The folder, which is also kept as ``folder``: an index that is made with the model remembers it.

        Raises:
            ArtefactError: If the folder exists and is no model.
            PlatformError: If it cannot be written; nothing is left half-written.
        """
        self.folder = self._write(full_path(folder), package_weights)
        return self.folder

    def _write(self, folder: Path, package_weights: bool = True) -> Path:
        config = self._config(package_weights)
        tensors = tensors_of(self.towers, self.decoder, {m for m, t in config["towers"].items() if "weights" in t})
        records = {TRAINING: dict(self.training), METRICS: self.metrics}
        backbones = {modality: tower.backbone for modality, tower in self.towers.items()}
        about = self.method, self.training, self.metrics, self.fingerprint
        card = model_card(self.bits, backbones, *about, self.decoder is not None, self.words)
        return write_folder(folder, tensors, config, records, card, self.labels, self.train_codes)

    def push_to_hub(
        self,
        name: str,
        *,
        private: bool | None = None,
        revision: str | None = None,
        commit_message: str = "Upload model",
    ) -> str:
        """Upload the model folder to the Hugging Face hub; a repository that is not there yet is made.

        Args:
            name: ``"owner/model"``.
            private: Whether a new repository is private; None takes the owner's default.
            revision: Branch to write to.
            commit_message: Message of the commit.

        Returns:
            The address of the repository.

        Raises:
            PlatformError: If the hub refuses, or cannot be reached.
        """
        with tempfile.TemporaryDirectory() as place:
            folder = self._write(Path(place, "model"))
            return upload(folder, name, private=private, revision=revision, message=commit_message)

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str], *, revision: str | None = None) -> HashModel:
        """Read a model folder, or a model on the Hugging Face hub; nothing in it is run as code.

        Args:
            name: A folder; a model inside the package, such as ``"kinbits/general-128"`` (`shipped_models`); ``"pdq"``
                or ``"phash"``, the hashes of `kinbits.perceptual`, which need no training; or a str ``"owner/model"``
                that is no folder here, which is fetched from the hub.
            revision: Branch, tag or commit on the hub.

        Raises:
            ArtefactError: If it is missing, damaged, or of a newer format.
        """
        ready = named_hash(name)
        if ready is not None:
            towers = {m: Tower(*both) for m, both in hash_towers(ready).items()}
            return cls(towers, {"name": ready.name}, {"data": "nothing", "rows": 0})
        folder = find_model(name, revision)
        config, tensors, records = read_folder(folder, FORMAT)
        tables = read_labels(folder), read_train_codes(folder)
        try:
            parts, decoder = restore(config, with_package_weights(config, tensors))
            towers = {m: Tower(*both) for m, both in parts.items()}
            model = cls(towers, config["method"], records[TRAINING], records[METRICS], decoder, *tables, folder)
        except PlatformError:
            raise
        except KinbitsError as error:
            raise ArtefactError(f"the model {folder} cannot be loaded: {one_line(error)}") from None
        except Exception as error:  # of nearly any kind: a damaged description reaches every builder there is
            reason = one_line(error)
            raise ArtefactError(f"the model {folder} is damaged ({reason}); copy or train it again") from None
        require_conventions(config, conventions(tower.backbone for tower in towers.values()), folder)
        if model.fingerprint != config.get("fingerprint"):
            raise ArtefactError(f"the model {folder} is damaged: its fingerprint differs; copy or train it again")
        return model

    def export(self, path: str | Path) -> float:
        """Write the image path (bytes in, logits out) as an ONNX graph, and check it against PyTorch.

        Args:
            path: The file to write; input ``pixels`` uint8 ``(n, 3, s, s)``, output ``logits`` ``(n, bits)``.

        Returns:
            The share of equal bits on random images, at least 0.999.

        Raises:
            PlatformError: If the extra ``kinbits[onnx]`` is not installed, or the file cannot be written.
            ArtefactError: If the exported graph does not agree with the model.
        """
        from kinbits.model.onnx import export_onnx

        return export_onnx(self.tower(), full_path(path))

    def _config(self, package_weights: bool) -> dict[str, Any]:
        towers = {modality: tower_config(tower, package_weights) for modality, tower in self.towers.items()}
        return {
            "format": FORMAT,
            "bits": self.bits,
            **hamming.stated_kind(self.words),
            "towers": towers,
            "method": dict(self.method),
            "conventions": conventions(tower.backbone for tower in self.towers.values()),
            "fingerprint": self.fingerprint,
            **({} if self.decoder is None else {"decoder": described(self.decoder)}),
        }
