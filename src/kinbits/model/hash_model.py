"""HashModel: a trained backbone and head as one thing that encodes, saves, loads and is recognised again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from kinbits import hamming
from kinbits._util import Modality, full_path, one_line, reporter
from kinbits.backbones import Backbone, Features, extract
from kinbits.data import Dataset, FeatureCache, as_dataset, as_texts, is_single, require_finite
from kinbits.errors import ArtefactError, DataError, KinbitsError, PlatformError, UsageError
from kinbits.heads import Decoder, Head
from kinbits.model.card import model_card
from kinbits.model.folder import METRICS, TRAINING, read_folder, read_labels, read_train_codes, write_folder
from kinbits.model.operating_points import stored_radius
from kinbits.model.restore import add_weights, described, named, restore

FORMAT = 1
CONVENTIONS = {
    "bit": "1 where the logit is not negative",
    "packing": "numpy.packbits: most significant bit first, pad bits 0",
    "features": "rounded to float16 before the head, so that cached and fresh features give the same codes",
}
VECTORS_AS_GIVEN = "vectors reach the head as float32, not rounded"
CHUNK = 4096


@dataclass
class Tower:
    """One modality's path: backbone, then head."""

    backbone: Backbone
    head: Head


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
            learn such codes beside the network (adsh, exchnet); else None. Queries find them as they find
            encoded images.
    """

    towers: dict[Modality, Tower]
    method: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    decoder: Decoder | None = None
    labels: Any = None
    train_codes: Any = None

    def __post_init__(self) -> None:
        if self.decoder is not None:
            self.decoder.eval().requires_grad_(False)
        for tower in self.towers.values():
            tower.backbone.eval().requires_grad_(False)
            tower.head.eval().requires_grad_(False)

    def __repr__(self) -> str:
        names = " + ".join(tower.backbone.name for tower in self.towers.values())
        return f"HashModel({self.method.get('name', '?')}, {self.bits} bits, {names}, {self.fingerprint[:12]})"

    @property
    def bits(self) -> int:
        """Code length K."""
        return self.towers["image"].head.bits

    @property
    def fingerprint(self) -> str:
        """SHA-256 over everything that decides the codes: architectures, preprocessing, all weights, thresholds.

        A decoder decides none: an index fits the model whether or not it has one.
        """
        digest = hashlib.sha256()
        for modality, tower in sorted(self.towers.items()):
            digest.update(f"{modality} {tower.backbone.fingerprint} {json.dumps(tower.head.config())}".encode())
            if tower.backbone.modality == "vector":
                digest.update(VECTORS_AS_GIVEN.encode())
            add_weights(digest, tower.head)
        return digest.hexdigest()

    def to(self, device: str | torch.device) -> HashModel:
        """Move all weights to a device, e.g. ``"cuda"``, and return self."""
        for tower in self.towers.values():
            tower.backbone.to(device)
            tower.head.to(device)
        if self.decoder is not None:
            self.decoder.to(device)
        return self

    def features(
        self,
        items: Any,
        modality: Modality = "image",
        cache: FeatureCache | None = None,
        progress: bool = False,
    ) -> Features:
        """Return backbone features, float16 ``(n, d)``, float32 for vectors, and which rows could be read.

        Args:
            items: As for `encode`.
            modality: Which tower.
            cache: Where features are kept between runs, or None.
            progress: Show progress on standard error.
        """
        tower = self._tower(modality)
        with reporter(f"reading {modality}s", progress) as report:
            return extract(as_dataset(items), tower.backbone, cache=cache, progress=report)

    @torch.no_grad()
    def logits(self, features: np.ndarray, modality: Modality = "image") -> np.ndarray:
        """Return the head's real-valued output, float32 ``(n, bits)``, for features ``(n, d)``.

        Raises:
            DataError: A row is not finite in float32, or, for features of images and texts, in float16.
        """
        head = self._tower(modality).head
        parts = [head(part).float().cpu().numpy() for part in self._head_inputs(features, modality)]
        return np.concatenate(parts) if parts else np.zeros((0, self.bits), np.float32)

    @torch.no_grad()
    def codes(self, features: np.ndarray, modality: Modality = "image") -> np.ndarray:
        """Return packed codes, uint8 ``(n, ceil(bits / 8))``, for features ``(n, d)``; errors as in `logits`."""
        head = self._tower(modality).head
        parts = [head.encode(part).cpu().numpy() for part in self._head_inputs(features, modality)]
        return hamming.pack(np.concatenate(parts) if parts else np.zeros((0, self.bits), bool))

    def _head_inputs(self, features: np.ndarray, modality: Modality) -> Iterator[Tensor]:
        """Yield features as the head reads them, float32 ``(c, d)`` on its device, a chunk at a time."""
        tower = self._tower(modality)
        for start in range(0, len(features), CHUNK):
            rows = as_read(features[start : start + CHUNK], tower.backbone)
            require_finite(rows, start)
            yield torch.from_numpy(rows).to(tower.head.threshold.device)

    def encode(self, images: Any = None, *, text: Sequence[str] | str | None = None) -> np.ndarray:
        """Return the packed codes of images or of texts, in the given order.

        Args:
            images: A path, encoded bytes, a binary file, a PIL image, an array uint8 ``(h, w)``, ``(h, w, 3)``,
                ``(n, h, w)`` or ``(n, h, w, 3)``, a list of these, a folder, or a Dataset. Float vectors ``(d,)``
                or ``(n, d)``, or a list of vectors, where the backbone is ``features``.
            text: Texts instead, for a model with a text tower.

        Returns:
            uint8 ``(n, ceil(bits / 8))``.

        Raises:
            DataError: An image cannot be read; `encode_readable` skips such images instead. A vector is not finite in
                float32. A text is empty or none.
            UsageError: The model has no text tower, or neither or both arguments were given.
        """
        if (images is None) == (text is None):
            raise UsageError("give either images or text to encode")
        if text is not None:
            tower = self._tower("text")
            return self.codes(extract(as_texts(text), tower.backbone).array, "text")
        if "text" in self.towers and isinstance(images, str) and ":" not in images and not os.path.exists(images):
            raise DataError(f"no such file or folder: {images}; if it is a text, give encode(text=...), as a query too")
        return self.codes(self.vectors(images))

    def is_single(self, images: Any) -> bool:
        """Tell whether `encode` takes this as one item, not as several: `Index.search` then answers with one `Hits`.

        A list, an array of items, a Dataset, a folder and a table hold several, also if it is only one.
        """
        return is_single(images)

    def vectors(self, images: Any) -> np.ndarray:
        """Return the features of images that can all be read, as the head sees them, float32 ``(n, d)``.

        Raises:
            DataError: An image cannot be read; `features` tells which, and goes on without it.
        """
        found = self.features(images)
        if not found.valid.all():
            bad = "; ".join(f"{s.id}: {s.reason}" for s in found.skipped[:3])
            kind = self._tower("image").backbone.modality
            raise DataError(
                f"{int((~found.valid).sum())} of {len(found.valid)} {kind}s cannot be read ({bad}); leave them out, or "
                f"use encode_readable, which skips them"
            )
        return as_read(found.array, self._tower("image").backbone)

    @torch.no_grad()
    def reconstruct(self, codes: np.ndarray) -> np.ndarray:
        """Guess the image features behind codes; `Index.search` re-ranks with them (``rerank=``).

        They are guessed for the collection that the model was trained on: `calibrate` moves the codes, not the decoder.

        Args:
            codes: Packed codes of this model, uint8 ``(n, ceil(bits / 8))``.

        Returns:
            float32 ``(n, d)``, to be compared with `vectors`.

        Raises:
            UsageError: The model has no decoder.
            DataError: The codes have another length.
        """
        if self.decoder is None:
            name = self.method.get("name", "its method")
            raise UsageError(
                f"this model has no decoder: '{name}' learned none; train one that has, e.g. with method 'rankhash'"
            )
        head = self._tower("image").head
        signs = torch.from_numpy(hamming.unpack(codes, self.bits)).to(head.threshold.device).float() * 2 - 1
        parts = [head.restore(self.decoder(part)).cpu().numpy() for part in torch.split(signs, CHUNK)]
        return np.concatenate(parts)

    def encode_readable(
        self, dataset: Dataset, cache: FeatureCache | None = None, progress: bool = False
    ) -> tuple[np.ndarray, Dataset]:
        """Encode what can be read; return the codes and the dataset without the rest, which it lists as skipped."""
        found = self.features(dataset, cache=cache, progress=progress)
        return self.codes(found.array[found.valid]), found.readable_part(dataset)

    def calibrate(self, images: Any, *, statistic: Literal["mean", "median"] = "mean") -> HashModel:
        """Re-centre every bit's threshold on a target collection, and return self with a new fingerprint.

        Codes of a collection unlike the training set lose balance; moving each bit's threshold to the mean logit
        on that collection restores it (Hoe et al. 2021, supplement D.5, there as new batch-norm statistics).
        Queries and database must both be encoded with the calibrated model.

        Args:
            images: The collection, as for `encode`; a few thousand are enough.
            statistic: ``"mean"`` as published, or ``"median"``, which balances every bit exactly.

        Raises:
            DataError: No image can be read.
        """
        found = self.features(images)
        if not found.valid.any():
            raise DataError("no image of the collection can be read; nothing to calibrate on")
        logits = self.logits(found.array[found.valid])
        shift = logits.mean(0) if statistic == "mean" else np.median(logits, axis=0)
        head = self._tower("image").head
        head.threshold += torch.from_numpy(np.asarray(shift, np.float32)).to(head.threshold.device)
        self.train_codes = None  # they fit the codes of before
        self.metrics.clear()  # and so do the numbers and radii that were measured
        return self

    def radius(self, target: str, protocol: str | None = None) -> int:
        """Return the Hamming radius that an evaluation found for a target, for `Index.search`.

        ``kinbits.evaluate(model, splits, at=["precision=0.95"]).record(model)`` finds it; the metrics hold what it
        reached on queries that had no part in choosing it.

        Args:
            target: E.g. ``"precision=0.95"`` or ``"recall=0.9"``.
            protocol: The one that was measured; None where there is only one, or all agree.

        Raises:
            UsageError: There is none, no radius reaches the target, or those of several protocols differ.
        """
        return stored_radius(self.metrics, target, protocol)

    def save(self, folder: str | Path) -> Path:
        """Write the model folder: tensors, configuration, training record, metrics, model card; no pickle.

        Raises:
            ArtefactError: The folder exists and is no model.
            PlatformError: It cannot be written; nothing is left half-written.
        """
        tensors: dict[str, Tensor] = {}
        for modality, tower in self.towers.items():
            for part, module in (("backbone", tower.backbone), ("head", tower.head)):
                tensors |= named(f"{modality}.{part}.", module)
        if self.decoder is not None:
            tensors |= named("decoder.", self.decoder)
        records = {TRAINING: dict(self.training), METRICS: self.metrics}
        backbones = {modality: tower.backbone for modality, tower in self.towers.items()}
        has_decoder = self.decoder is not None
        card = model_card(self.bits, backbones, self.method, self.training, self.metrics, self.fingerprint, has_decoder)
        return write_folder(full_path(folder), tensors, self._config(), records, card, self.labels, self.train_codes)

    @classmethod
    def load(cls, folder: str | Path) -> HashModel:
        """Read a model folder.

        Raises:
            ArtefactError: It is missing, damaged, or of a newer format.
        """
        folder = full_path(folder)
        config, tensors, records = read_folder(folder, FORMAT)
        tables = read_labels(folder), read_train_codes(folder)
        try:
            parts, decoder = restore(config, tensors)
            towers = {m: Tower(*both) for m, both in parts.items()}
            model = cls(towers, config["method"], records[TRAINING], records[METRICS], decoder, *tables)
        except PlatformError:
            raise
        except KinbitsError as error:
            raise ArtefactError(f"the model {folder} cannot be loaded: {one_line(error)}") from None
        except Exception as error:  # of nearly any kind: a damaged description reaches every builder there is
            reason = one_line(error)
            raise ArtefactError(f"the model {folder} is damaged ({reason}); copy or train it again") from None
        if config.get("conventions") != model._conventions:
            raise ArtefactError(
                f"the model {folder} was made by an earlier version of kinbits, which rounded vectors to float16; its "
                f"codes would differ. Fit it again, and encode its collection again"
            )
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
            PlatformError: The extra ``kinbits[onnx]`` is not installed, or the file cannot be written.
            ArtefactError: The exported graph does not agree with the model.
        """
        from kinbits.model.onnx import export_onnx

        tower = self._tower("image")
        return export_onnx(tower.backbone, tower.head, full_path(path))

    @property
    def _conventions(self) -> dict[str, str]:
        vectors = any(tower.backbone.modality == "vector" for tower in self.towers.values())
        return {**CONVENTIONS, "vectors": VECTORS_AS_GIVEN} if vectors else CONVENTIONS

    def _config(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "bits": self.bits,
            "towers": {m: {"backbone": t.backbone.config(), "head": t.head.config()} for m, t in self.towers.items()},
            "method": dict(self.method),
            "conventions": self._conventions,
            "fingerprint": self.fingerprint,
            **({} if self.decoder is None else {"decoder": described(self.decoder)}),
        }

    def _tower(self, modality: Modality) -> Tower:
        if modality not in self.towers:
            raise UsageError(f"this model encodes {', '.join(self.towers)}; it has no {modality} tower")
        return self.towers[modality]


def as_read(features: np.ndarray, backbone: Backbone) -> np.ndarray:
    """Return features ``(n, d)`` as the head reads them, float32.

    Those of images and texts are rounded to float16, as the cache keeps them; vectors are not.
    """
    with np.errstate(over="ignore"):  # infinity is refused later, with its row
        if backbone.modality == "vector":
            return np.array(features, np.float32, order="C")  # a copy: PyTorch takes no mapped file
        return np.asarray(features).astype(np.float16).astype(np.float32)
