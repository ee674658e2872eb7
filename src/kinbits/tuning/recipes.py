"""What `tune` tries: the recipes of each method, and the order of the methods. Edit these tables as results come in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Variant:
    """A change of a method's default recipe.

    Attributes:
        name: Its name in the leaderboard.
        lr: Factor of the learning rate.
        epochs: Factor of the number of epochs.
        params: Parameters of the method.
        options: Further options of `fit`; where the user gives one of them, the variant is left out.
    """

    name: str
    lr: float = 1.0
    epochs: float = 1.0
    params: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


VARIANTS = (
    Variant("default"),
    Variant("short", epochs=0.5),
    Variant("long", epochs=2.0),
    # decoupled decay acts by lr times its value: on frozen features, useful values are far above the usual 0.01
    Variant("decay", options={"optimizer": "adamw", "weight_decay": 5.0}),
)
"""Variants of all methods that learn by epochs."""

OWN_VARIANTS: Mapping[str, tuple[Variant, ...]] = {
    "bihalf": (Variant("linear", lr=10 / 3, params={"hidden": 0}),),
    "greedyhash": (Variant("batchnorm", params={"head": "linear-batchnorm"}),),
}
"""Further variants of single methods."""

BASELINE = "softmax"
"""The baseline that every method with labels is compared with: it has no loss for hashing, and takes seconds."""

MOST_EPOCHS = 100
"""Longest run of a variant; a method whose default is longer keeps its own."""

ORDER = (
    # labels: the best on more than one data set come first
    "shc",
    "dsrh",
    "ssdh",
    "softmax",
    "csq",
    "dch",
    "greedyhash",
    "hashnet",
    "nmlayer",
    "orthohash",
    "dhn",
    "dmuh",
    "adsh",
    # no labels
    "distillhash",
    "dsah",
    "bihalf",
    "cibhash",
    # texts
    "djsrh",
    "dcmh",
)
"""Methods that are tried first, since time may run out; all others follow by name."""

LAST = ("bcdh",)
"""Methods that are tried last: they are slow, and made for other data than most people have."""
