"""Train an attack that learns, on the images that a model was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kinbits._util import check_seed
from kinbits.attacks import Reference, TrainedAttack, build_attack, get_attack, list_attacks, multi_hot
from kinbits.data import Dataset, FeatureCache, Splits, readable
from kinbits.errors import DataError, UsageError
from kinbits.model import HashModel
from kinbits.robustness.models import pixels_of, require_images_to_bits, victim_of


def fit_attack(
    model: HashModel,
    splits: Splits,
    name: str = "pros-gan",
    *,
    params: Mapping[str, Any] | None = None,
    images: int = 5000,
    seed: int = 0,
    device: str = "cpu",
    cache: FeatureCache | None = None,
    progress: bool = False,
) -> TrainedAttack:
    """Train an attack that learns, such as `pros-gan`, on the training part of a protocol.

    Args:
        model: The attacked model.
        splits: What `kinbits.load_protocol` or `kinbits.data.split_folder` returned.
        name: The attack.
        params: Its parameters.
        images: Maximum number of training images, drawn by seed; all of them are in memory.
        seed: Seed of everything random.
        device: Where it trains; the model is moved there.
        cache: Where features are kept between runs, or None for the default place.
        progress: Show progress on standard error.

    Returns:
        The attack, to be given to `measure_robustness` or saved. Its ``facts`` say what it was trained for.

    Raises:
        UsageError: If the attack is unknown or learns nothing, a parameter is unknown or out of range, or the model
            cannot be attacked.
        DataError: If the training part has no labels.
        PlatformError: If this machine has no such device.
    """
    check_seed(seed)
    if not get_attack(name).trained:
        trained = ", ".join(one for one in list_attacks() if get_attack(one).trained)
        raise UsageError(f"attack '{name}' learns nothing, so it needs no training; those that do: {trained}")
    made = build_attack(name, **dict(params or {}))
    assert isinstance(made, TrainedAttack)
    preprocess, victim = require_images_to_bits(model), victim_of(model, device=device)
    train = _drawn(splits.train, images, seed)
    if train.labels is None or train.label_space is None:
        raise DataError(f"attack '{name}' follows target labels, and {splits.train.name} has none; give labelled data")
    codes = model.encode(train, cache=cache or FeatureCache(), progress=progress)
    pixels = pixels_of(preprocess, train.image, len(train))
    labels = multi_hot(train.labels, train.label_space.classes)
    known = Reference.from_codes(codes, train, model.bits)
    made.train(victim, pixels, labels, known, seed=seed, progress=progress)
    return made


def _drawn(train: Dataset, most: int, seed: int) -> Dataset:
    """Return at most so many labelled images, drawn by seed, in their order; those that can be read."""
    labelled = np.flatnonzero(train.has_label)
    return readable(train.select(np.sort(np.random.default_rng(seed).permutation(labelled)[:most])))
