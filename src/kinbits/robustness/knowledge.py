"""What attacks know of a protocol: codes of labelled images, the labels of the queries, and a target for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kinbits import hamming
from kinbits.attacks import LabelRows, Reference, blocks, draw_targets, multi_hot
from kinbits.data import Dataset, FeatureCache, Splits
from kinbits.errors import UsageError, unknown_name
from kinbits.metrics import LabelRelevance, evaluate
from kinbits.model import HashModel
from kinbits.robustness.clean_search import FIRST, METRIC, CleanSearch

MAINSTAY, ANCHOR, PROTOTYPE = "mainstay code", "anchor code", "prototype code"  # names of bounds
HIDDEN, STEPS, LR = 512, 200, 3e-3  # of the network of prototypes: smaller and faster than that of an attack
LEARNED_FROM = 5000  # images


def known_images(splits: Splits) -> Dataset | None:
    """Return the images whose codes and labels attacks know: the training part, or the database where there is none.

    Returns:
        The images; None where they or the queries have no labels.
    """
    if splits.query.labels is None:
        return None
    return next((part for part in (splits.train, splits.database) if part.has_label.any()), None)


@dataclass(frozen=True)
class Knowledge:
    """Codes and labels that attacks know.

    Attributes:
        reference: Codes and labels of the known images.
        labels: Labels of the queries, float multi-hot ``(q, C)``.
        targets: Their target labels, float multi-hot ``(q, C)``.
        aimed: Queries that have a target which shares no class with their own labels, bool ``(q,)``.
    """

    reference: Reference
    labels: Tensor
    targets: Tensor
    aimed: np.ndarray

    @classmethod
    def from_images(
        cls,
        model: HashModel,
        known: Dataset,
        queries: Dataset,
        database: Dataset,
        *,
        target: str | None,
        seed: int,
        cache: FeatureCache | None,
        progress: bool,
    ) -> Knowledge:
        """Encode what is known, and draw targets.

        Args:
            model: The attacked model.
            known: What `known_images` returned.
            queries: Some of the queries.
            database: The items that are searched; a target is a label that one of them shares.
            target: One target label for all queries; None draws one for each.
            seed: Seed of the targets.
            cache: Where features are kept between runs, or None.
            progress: Show progress on standard error.

        Raises:
            UsageError: If no known image, or no item, has the target label.
        """
        assert queries.labels is not None  # known_images looks
        found = model.encode(known, on_error="skip", cache=cache, progress=progress)
        known = known.select(found.rows)
        reference = Reference.from_codes(found.array, known, model.bits)
        labels = multi_hot(queries.labels, reference.classes)
        there = _findable(reference, database)
        if target is not None:
            row = _row(target, there)
            targets, aimed = row.expand(len(labels), -1), labels @ row == 0
        elif there is None:
            targets, aimed = labels, torch.zeros(len(labels), dtype=torch.bool)
        else:
            targets, aimed = draw_targets(labels, there, torch.Generator().manual_seed(seed))
        return cls(reference, labels, targets, aimed.numpy())

    def measure(self, codes: hamming.Codes, searched: CleanSearch) -> Mapping[str, float]:
        """Return mAP by target labels of the queries that have one, by the names of metrics; nothing where none has.

        Args:
            codes: Packed codes of all queries, uint8 ``(q, w)``.
            searched: The clean database.
        """
        labels = searched.items.labels
        if labels is None or not self.aimed.any():
            return {}
        targets = self.targets[torch.from_numpy(self.aimed)]
        wanted = targets.argmax(dim=1).numpy() if labels.ndim == 1 else targets.numpy().astype(np.uint8)
        return evaluate(codes[self.aimed], searched.codes, LabelRelevance(wanted, labels), [METRIC, FIRST])

    def bounds(self, seed: int) -> dict[str, tuple[hamming.Codes, hamming.Codes]]:
        """Return codes that no image need reach: away from the own label, and at the target, uint8 ``(q, w)`` each.

        Args:
            seed: Seed of the images whose anchor is taken.
        """
        random = torch.Generator().manual_seed(seed)
        sides = (self.labels, self.targets)
        own, target = (blocks.mainstay_codes(one, self.reference) for one in sides)
        own_anchor, target_anchor = (self._anchors(one, random) for one in sides)
        return {MAINSTAY: (_packed(-own), _packed(target)), ANCHOR: (_packed(-own_anchor), _packed(target_anchor))}

    def prototypes(self, seed: int) -> tuple[hamming.Codes, hamming.Codes]:
        """Return codes that a network of labels learns as that of `pros-gan`: away from the own label, at the target.

        Args:
            seed: Seed of the network, and of the images that it learns from.

        Returns:
            Packed codes, uint8 ``(q, w)`` each.
        """
        random = torch.Generator().manual_seed(seed)
        some = torch.randperm(len(self.reference.codes), generator=random)[:LEARNED_FROM]
        known = self.reference.select(some)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = blocks.PrototypeNet(known.classes, known.codes.shape[1], HIDDEN)
        blocks.train_prototypes(net, known, blocks.likelihood, steps=STEPS, generator=random, lr=LR)
        return _packed(-net.codes(self.labels)), _packed(net.codes(self.targets))

    def _anchors(self, labels: Tensor, random: torch.Generator) -> Tensor:
        """Return anchor codes; those of a label that no known image has are its mainstay code."""
        known = labels @ self.reference.label_rows.present.float() > 0
        codes = blocks.mainstay_codes(labels, self.reference)
        if known.any():
            codes[known] = blocks.anchor_codes(labels[known], self.reference, random)
        return codes


def _findable(reference: Reference, database: Dataset) -> Reference | None:
    """Return the known images that share a class with an item of the database; None without any."""
    if database.labels is None:
        return None
    present = LabelRows.from_labels(database.labels, reference.classes).present
    rows = reference.shared(present[None].float())[0] > 0
    return reference.select(rows) if rows.any() else None


def _row(target: str, reference: Reference | None) -> Tensor:
    if reference is None:
        raise UsageError(f"no item of the database has a known label, so none has target label '{target}'")
    names = [name for name, used in zip(reference.names, reference.label_rows.present.tolist(), strict=True) if used]
    if target not in names:
        raise unknown_name("target label", target, names)
    return torch.tensor([float(name == target) for name in reference.names])


def _packed(codes: Tensor) -> hamming.Codes:
    return hamming.pack(codes.numpy() > 0)
