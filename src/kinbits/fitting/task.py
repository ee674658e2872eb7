"""What is fitted on what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kinbits.data import FeatureCache


@dataclass(frozen=True)
class Task:
    """What is fitted on what, apart from how training runs (`Training`).

    Attributes:
        method: Name of a method, or path of a file that registers one.
        bits: Code length.
        backbone: Name of the image backbone; None chooses by the data.
        text_backbone: Name of the text backbone, for methods that learn from text; None takes minilm.
        image_size: Side of the input in pixels; None chooses: 128 for images up to 64 pixels, else the backbone's.
        finetune: Train the backbone too; None does so only where it has no pretrained weights.
        params: The method's hyper-parameters.
        labels_fraction: Share of the labels that is kept, of every class alike; the others are hidden. None keeps all.
        label_expansion: What guesses labels for the images that have none, see `kinbits.labelling`; None leaves these
            images out.
        expansion_params: Its hyper-parameters.
        pairs: For methods that learn from pairs: `kinbits.data.Pairs` of the data's rows, or what
            `kinbits.data.open_pairs` reads: tables and COLMAP folders.
        views: How many random views of each image are kept for two-view methods on a frozen backbone.
        cache: Where features are kept between runs; None keeps nothing.
    """

    method: str = "orthohash"
    bits: int = 64
    backbone: str | None = None
    text_backbone: str | None = None
    image_size: int | None = None
    finetune: bool | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    labels_fraction: float | None = None
    label_expansion: str | None = None
    expansion_params: Mapping[str, Any] = field(default_factory=dict)
    pairs: Any = None
    views: int = 4
    cache: FeatureCache | None = field(default_factory=FeatureCache)
