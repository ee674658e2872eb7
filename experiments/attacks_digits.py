"""What attacks do to codes of scikit-learn's digits, and how far defences mend it: a network that trains in seconds.

The split is the one of the tests of methods: 200 queries, 1,000 training images, 1,597 in the database. A network of
two layers is trained with ``hashnet``, 16 bits, without a defence and with each. Attacks move a pixel by at most 0.1 in
40 steps; their images are rounded to 8 bits before they are encoded. Writes ``results/attacks-digits.csv`` (one row per
model and attack; what is there is not measured again) and ``results/attacks-digits.md``. ``map`` is tie-aware mAP@all
by the true label, ``t-map`` by the target label; ``rmse``, ``linf`` and ``ssim`` compare images with the clean ones.

    python experiments/attacks_digits.py [--seeds 0 1 2]
"""

from __future__ import annotations

import argparse
from functools import cache
from typing import Any, Self

import numpy as np
import torch
from _runs import RESULTS, Clock, Run, Table, summary
from sklearn.datasets import load_digits
from torch import Tensor, nn

import kinbits
from kinbits import hamming
from kinbits.attacks import Reference, Victim, build_attack, draw_targets, get_attack, list_attacks
from kinbits.attacks.blocks import anchor_codes, mainstay_codes
from kinbits.backbones import ImageBackbone, Offer, Preprocessing, register_backbone
from kinbits.bench import config_of
from kinbits.data import open_dataset
from kinbits.fitting import FitSettings
from kinbits.metrics import LabelRelevance, evaluate
from kinbits.robustness import to_bytes, victim_of, visibility

FIELDS, METRICS = ["defence", "seed", "images"], ["map", "t-map", "rmse", "linf", "ssim", "ms"]
BUDGET = {"epsilon": 0.1}
GAN = {"width": 32, "epochs": 60, "lr": 1e-3}
ATTACKS: dict[str, tuple[str, dict[str, Any]]] = {
    "noise": ("noise", BUDGET),
    "hag": ("hag", BUDGET),
    "pgd, own code": ("pgd", BUDGET),
    "pgd, own code, rising scale": ("pgd", {**BUDGET, "rising": True}),
    "pgd, own code, sharp": ("pgd", {**BUDGET, "form": "sharp"}),
    "pgd, mainstay code": ("pgd", {**BUDGET, "code": "mainstay"}),
    "sdha": ("sdha", BUDGET),
    "sdha-targeted": ("sdha-targeted", BUDGET),
    "p2p": ("p2p", BUDGET),
    "dhta": ("dhta", BUDGET),
    "tha": ("tha", BUDGET),
    "pros-gan, free": ("pros-gan", {**GAN, "reconstruction": 10.0}),
    "pros-gan, within .3": ("pros-gan", {**GAN, "epsilon": 0.3}),
}
NONE = "none"
DEFENCES = (NONE, "saat", "cgat", "atrdh")
FEW_ATTACKS = {"cgat", "atrdh"}  # of these, generators are not trained: minutes each
BOUNDS = ("clean", "bound: opposite code", "bound: mainstay code", "bound: anchor code")
TRAINING = {"epochs": 60, "batch_size": 64, "lr": 1e-3, "backbone_lr": 1e-3, "augmentation": "none"}


@register_backbone("digits-mlp")
class DigitsNetwork(ImageBackbone):
    """64 grey pixels through two layers of 128 with batch norm."""

    offer = Offer(size=8, feature_dim=128, pretrained=False, licence="Apache-2.0")

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        self._describe(
            self.key, feature_dim=128, preprocessing=preprocessing, licence=self.offer.licence, pretrained=False
        )
        layers = [[nn.Linear(width, 128), nn.BatchNorm1d(128), nn.ReLU()] for width in (64, 128)]
        self.layers = nn.Sequential(*layers[0], *layers[1])

    @classmethod
    def from_pretrained(cls, argument: str, size: int | None) -> Self:
        """Build the network with random weights."""
        return cls(Preprocessing(size or 8, (0.3,) * 3, (0.4,) * 3))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build the network for its preprocessing."""
        return cls(Preprocessing.from_dict(config["preprocessing"]))

    def architecture(self) -> dict[str, Any]:
        """Return nothing more."""
        return {}

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Return features, ``(n, 128)``."""
        out: Tensor = self.layers(self.normalise(x).mean(dim=1).flatten(1))
        return out


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--defences", nargs="+", choices=DEFENCES, default=list(DEFENCES))
    parser.add_argument("--images", nargs="+", choices=[*BOUNDS, *ATTACKS], default=[*BOUNDS, *ATTACKS])
    options = parser.parse_args()
    table = open_table()
    for seed in options.seeds:
        for defence in options.defences:
            some = [name for name in options.images if defence not in FEW_ATTACKS or not name.startswith("pros-gan")]
            left = [name for name in some if not table.has(defence=defence, seed=seed, images=name)]
            if left:
                measure(table, defence, seed, left)


def open_table() -> Table:
    """Return the table of this script."""
    return Table("attacks-digits.csv", FIELDS, METRICS, config)


def config(run: Run) -> str:
    """Return the hash of what makes the numbers of a run."""
    name, params = ATTACKS.get(run["images"], (run["images"], {}))
    version = get_attack(name).version if name in list_attacks() else 1
    raised = {"version": version} if version > 1 else {}
    return config_of(settings(run["defence"], int(run["seed"])), attack=name, params=params, **raised)


def settings(defence: str, seed: int) -> FitSettings:
    """Return what the attacked model is fitted with."""
    known = {"backbone": "digits-mlp", "image_size": 8, "seed": seed, "progress": False, **TRAINING}
    if defence != NONE:
        known |= {"defence": defence, "defence_params": {**BUDGET, "step_size": BUDGET["epsilon"] / 4}}
    return FitSettings("hashnet", 16).with_options(**known)


class Part:
    """Some of the digits.

    Attributes:
        pixels: uint8 ``(n, 3, 8, 8)``.
        images: The same, float in [0, 1].
        labels: int64 ``(n,)``.
        classes: The same, float multi-hot ``(n, 10)``.
    """

    def __init__(self, rows: np.ndarray) -> None:
        digits = load_digits()
        grey = np.rint(digits.images[rows] / 16 * 255).astype(np.uint8)
        self.pixels = np.repeat(grey[:, None], 3, axis=1)
        self.images = torch.from_numpy(self.pixels).float() / 255
        self.labels = digits.target[rows].astype(np.int64)
        self.classes = torch.eye(10)[torch.from_numpy(self.labels)]


@cache
def parts() -> tuple[Part, Part, Part]:
    """Return queries, training images and database."""
    labels = load_digits().target
    rng = np.random.RandomState(0)  # the published split was drawn with it
    orders = [rng.permutation(np.flatnonzero(labels == c)) for c in range(10)]
    cuts = (slice(20), slice(20, 120), slice(20, None))
    queries, train, database = (Part(np.concatenate([order[cut] for order in orders])) for cut in cuts)
    return queries, train, database


def measure(table: Table, defence: str, seed: int, names: list[str]) -> None:
    """Fit one model, attack it, and add a row for each attack."""
    queries, train, database = parts()
    with Clock() as clock:
        data = open_dataset(train.pixels.transpose(0, 2, 3, 1), labels=[str(label) for label in train.labels])
        victim = victim_of(kinbits.fit(data, settings(defence, seed)))
    reference = Reference(victim.codes(train.images), train.classes)
    random = torch.Generator().manual_seed(seed)
    targets, _ = draw_targets(queries.classes, reference, random)
    anchors = [anchor_codes(classes, reference, random) for classes in (queries.classes, targets)]
    centres = [mainstay_codes(classes, reference) for classes in (queries.classes, targets)]
    own = victim.codes(queries.images)
    bounds = {
        "clean": (own, own),
        "bound: opposite code": (-own, -own),
        "bound: mainstay code": (-centres[0], centres[1]),
        "bound: anchor code": (-anchors[0], anchors[1]),
    }
    scores = Scores(victim.codes(database.images), queries, targets, database)
    for name in names:
        if name in bounds:
            away, to = bounds[name]
            values = {**scores.of(away, to), "rmse": 0.0, "linf": 0.0, "ssim": 1.0, "ms": 0.0}
        else:
            values = attacked(name, seed, victim, reference, targets, scores)
        table.add({"defence": defence, "seed": seed, "images": name}, values, clock.seconds, "digits")
        write_markdown(table)


def attacked(
    name: str, seed: int, victim: Victim, reference: Reference, targets: Tensor, scores: Scores
) -> dict[str, float]:
    """Attack the queries, and return the numbers of their images."""
    queries, train, _ = parts()
    method, params = ATTACKS[name]
    attack = build_attack(method, **params)
    if attack.trained:
        attack.train(victim, train.pixels, train.classes, reference, seed=seed)
    with Clock() as clock:
        made = attack(victim, queries.images, labels=queries.classes, targets=targets, reference=reference, seed=seed)
    images = to_bytes(made).float() / 255
    seen, codes = visibility(images, queries.images), victim.codes(images)
    return {**scores.of(codes, codes), **vars(seen), "ms": 1000 * clock.seconds / len(images)}


class Scores:
    """Ranks the database for codes of the queries, by true and by target labels."""

    def __init__(self, database_codes: Tensor, queries: Part, targets: Tensor, database: Part) -> None:
        self.database = packed(database_codes)
        self.true = LabelRelevance(queries.labels, database.labels)
        self.target = LabelRelevance(targets.argmax(dim=1).numpy(), database.labels)

    def of(self, codes: Tensor, target_codes: Tensor) -> dict[str, float]:
        """Return mAP of codes by true labels, and of other codes by target labels."""
        pairs = {"map": (codes, self.true), "t-map": (target_codes, self.target)}
        return {
            name: evaluate(packed(some), self.database, relevance, ["map@all"])["map@all"]
            for name, (some, relevance) in pairs.items()
        }


def packed(codes: Tensor) -> np.ndarray:
    return hamming.pack(codes.numpy() > 0)


def write_markdown(table: Table) -> None:
    """Write the mean over seeds of every number: a table for each defence, one line for each attack."""
    columns = {metric: summary(table, ["defence", "images"], metric) for metric in METRICS}
    lines = [
        "scikit-learn's digits, hashnet, 16 bits, mean ± deviation over seeds; see `experiments/attacks_digits.py`."
    ]
    for defence in dict.fromkeys(row["defence"] for row in columns["map"]):
        lines += [f"\n**defence: {defence}**\n", "| images | " + " | ".join(METRICS) + " |"]
        lines.append("| --- |" + " ---: |" * len(METRICS))
        for cells in zip(*columns.values(), strict=True):
            if cells[0]["defence"] == defence:
                lines.append(f"| {cells[0]['images']} | " + " | ".join(cell["text"] for cell in cells) + " |")
    (RESULTS / "attacks-digits.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
