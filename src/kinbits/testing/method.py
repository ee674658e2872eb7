"""The conformance check of methods."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from kinbits import metrics
from kinbits._util import one_line
from kinbits.data import LabelSpace, Pairs, pairs_from_labels
from kinbits.heads import Head, build_head, rank_outputs
from kinbits.methods import Method, Spec, build_method, describe_method, get_method
from kinbits.training import FeatureSet, TrainingSettings, train

CLASSES, ROWS, WIDTH, TEXT_WIDTH = 5, 200, 24, 20
MAP = (6, 2, 2)  # the toy features as maps


def check_method(name: str, *, epochs: int | None = 15, **params: Any) -> None:
    """Check that a method meets the contract of `kinbits.methods.Method`.

    It checks on a toy set: shapes and types for two code lengths, one of them odd; encoding of no and of one row;
    finite loss; gradients in every tower; equal codes of a rebuilt head and of a checkpoint; identical runs with one
    seed; better codes than random ones, and than ITQ if there are labels; sets of labels and given pairs, which work
    or are refused.

    Args:
        name: A registered method, or the path of a file that registers one.
        epochs: Number of epochs; None for the default of the method.
        params: Hyper-parameters for the toy set.

    Raises:
        AssertionError: If the method breaks a rule; the message names it.
    """
    cls = get_method(name)
    made = describe_method(name).codes_name
    if made == "product codes":
        params = {"words": 16, **params}  # the toy set is too small for codebooks of 256
    bits, other = {"bits": (16, 13), "product codes": (16, 12), "scaled codes": (120, 104)}[made]
    method, twin = (_trained(name, bits, epochs, params) for _ in range(2))
    _check_towers(method)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a short code may leave out dimensions, and say so
        _check_towers(_trained(name, other, 2 if epochs else epochs, params))
    assert np.array_equal(_codes(method), _codes(twin)), f"{name}: two runs with one seed gave different codes"
    _check_checkpoint(method, params)
    _check_learns(method)
    if cls.recipe.epochs:
        _check_gradients(name, params)
    if cls.supervision != "none":
        _check_label_sets(cls, name, params)
    _check_pairs(cls, name, params)


def toy(seed: int = 0, rows: int = ROWS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features ``(n, 24)``, text features ``(n, 20)`` and labels ``(n,)`` of five noisy classes."""
    rng, world = np.random.default_rng(seed + 1), np.random.default_rng(0)
    centres, words = world.normal(size=(CLASSES, WIDTH)), world.normal(size=(CLASSES, TEXT_WIDTH))
    labels = np.arange(rows) % CLASSES
    # Directions of large variance that say nothing about the class: what labels can teach and PCA cannot.
    noise = rng.normal(size=(rows, 4)) @ world.normal(size=(4, WIDTH))
    images = centres[labels] + 0.7 * noise + 0.7 * rng.normal(size=(rows, WIDTH))
    texts = words[labels] + 0.7 * rng.normal(size=(rows, TEXT_WIDTH))
    return images.astype(np.float32), texts.astype(np.float32), labels.astype(np.int64)


def _space(multi: bool = False) -> LabelSpace:
    groups = [c % 2 for c in range(CLASSES)]  # for methods that need a hierarchy
    return LabelSpace.with_levels([f"class {c}" for c in range(CLASSES)], [(groups, ("even", "odd"))], multi=multi)


def _spec(cls: type[Method], bits: int, seed: int = 0, multi: bool = False) -> Spec:
    return Spec(
        bits, WIDTH, ROWS, _space(multi), TEXT_WIDTH if cls.reads_text else None, seed, MAP if cls.reads_maps else None
    )


def _set(cls: type[Method], labels: np.ndarray | None = None, pairs: Pairs | None = None) -> FeatureSet:
    """Return the toy data with these labels, or with pairs and no labels."""
    images, texts, known = toy()
    given = None if pairs is not None else known if labels is None else labels
    views = [images + 0.3 * np.random.default_rng(v).normal(size=images.shape).astype(np.float32) for v in range(3)]
    return FeatureSet(images, given, texts if cls.reads_text else None, views, pairs=pairs)


def _settings(epochs: int | None, seed: int = 0, **more: Any) -> TrainingSettings:
    return TrainingSettings(epochs=epochs, batch_size=40, seed=seed, accelerator="cpu", progress=False, **more)


def _trained(name: str, bits: int, epochs: int | None, params: dict[str, Any], seed: int = 0) -> Method:
    cls = get_method(name)
    torch.manual_seed(seed)
    method = build_method(name, _spec(cls, bits, seed), **params)
    history = train(method, _set(cls), _settings(epochs, seed))
    for record in history.epochs:
        assert all(math.isfinite(value) for value in record.values()), f"{name}: a loss term is not finite: {record}"
    return method.eval()


def _codes(method: Method, seed: int = 0, modality: str = "image") -> np.ndarray:
    images, texts, _ = toy(seed)
    head = method.towers()[modality]  # type: ignore[index]
    return head.codes(torch.from_numpy(texts if modality == "text" else images))


def _check_towers(method: Method) -> None:
    bits = method.spec.bits
    towers = method.towers()
    assert "image" in towers, f"{method.name}: towers() lacks the image tower"
    for modality, head in towers.items():
        width = TEXT_WIDTH if modality == "text" else WIDTH
        some = torch.randn(7, width)
        for rows in (0, 1, 7):
            with torch.no_grad():
                logits, codes = head(some[:rows]), head.codes(some[:rows])
            assert logits.shape == (rows, head.outputs), (
                f"{method.name}: {rows} rows gave logits of shape {tuple(logits.shape)}"
            )
            assert logits.dtype == torch.float32, f"{method.name}: logits are {logits.dtype}, not float32"
            assert codes.dtype == np.uint8, f"{method.name}: codes gave {codes.dtype}, not uint8"
            assert codes.shape == (rows, -(-bits // 8)), f"{method.name}: codes gave shape {tuple(codes.shape)}"
        state = head.state_dict()
        places = [tensor.data_ptr() for tensor in state.values() if tensor.numel()]
        assert len(set(places)) == len(places), f"{method.name}: a model cannot be saved if a tensor has two names"
        twin = build_head(head.config()).eval()
        twin.load_state_dict(state)
        with torch.no_grad():
            assert torch.equal(twin(some), head(some)), f"{method.name}: a head rebuilt from config() differs"
    known = method.train_codes()
    assert known is None or (known.shape == (ROWS, bits) and known.dtype == torch.bool), "train_codes: bool (n, bits)"


def _check_checkpoint(method: Method, params: dict[str, Any]) -> None:
    twin = build_method(method.name, method.spec, **params)
    twin.load_state_dict(method.state_dict())
    same = np.array_equal(_codes(method), _codes(twin.eval()))
    assert same, f"{method.name}: state_dict does not hold all that codes need"


def _check_learns(method: Method) -> None:
    itq = _trained("itq", 16, None, {})
    name, reached = method.name, _map(method)
    random = torch.rand(2, ROWS, 16, generator=torch.Generator().manual_seed(0)) - 0.5
    chance = _ranked(*((itq.head, outputs) for outputs in random))
    assert reached > chance + 0.05, f"{name}: mAP {reached:.3f} on the toy set, random codes give {chance:.3f}"
    if method.supervision != "none":
        rival = _map(itq)
        assert reached > rival, f"{name}: mAP {reached:.3f} on the toy set with labels, ITQ without gives {rival:.3f}"
    if "text" in method.towers():
        across = _map(method, "text")
        assert across > chance + 0.05, f"{name}: mAP from image to text is {across:.3f}, chance {chance:.3f}"


def _map(method: Method, items: str = "image") -> float:
    """Return the mAP of new images as queries for the toy set's own images or texts."""
    images, texts, _ = (torch.from_numpy(part) for part in toy())
    found = texts if items == "text" else images
    heads = method.head, method.towers()[items]  # type: ignore[index]
    with torch.no_grad():
        return _ranked(
            *((head, head(rows)) for head, rows in zip(heads, (torch.from_numpy(toy(9)[0]), found), strict=True))
        )


def _ranked(queries: tuple[Head, torch.Tensor], database: tuple[Head, torch.Tensor]) -> float:
    labels = toy()[2]
    return rank_outputs(queries, database, metrics.LabelRelevance(labels, labels), ["map@all"])["map@all"]


def _check_gradients(name: str, params: dict[str, Any]) -> None:
    cls = get_method(name)
    torch.manual_seed(0)
    method = build_method(name, _spec(cls, 16), **params)
    before = {m: [p.detach().clone() for p in head.parameters()] for m, head in method.towers().items()}
    train(method, _set(cls), _settings(1))
    for modality, head in method.towers().items():
        moved = [not torch.equal(a, b) for a, b in zip(before[modality], head.parameters(), strict=True)]
        assert any(moved), f"{name}: training changes no weight of the {modality} head"


def _check_pairs(cls: type[Method], name: str, params: dict[str, Any]) -> None:
    """Given pairs replace labels, or are refused before anything is built."""
    from kinbits.errors import UsageError

    torch.manual_seed(0)
    if cls.supervision != "pairs":
        try:
            build_method(name, replace(_spec(cls, 16), has_pairs=True), **params)
        except UsageError:
            return
        raise AssertionError(f"{name}: it takes no pairs, but a task with pairs is accepted")
    method = build_method(name, replace(_spec(cls, 16), label_space=None, has_pairs=True), **params)
    history = train(method, _set(cls, pairs=pairs_from_labels(toy()[2], rng=0)), _settings(2))
    assert math.isfinite(history.epochs[-1]["loss"]), f"{name}: the loss on given pairs without labels is not finite"


def _check_label_sets(cls: type[Method], name: str, params: dict[str, Any]) -> None:
    """Sets of labels either train, or are refused before anything is built."""
    from kinbits.errors import DataError

    labels = toy()[2]
    sets = np.zeros((ROWS, CLASSES), np.float32)
    sets[np.arange(ROWS), labels] = 1
    sets[::7, 0] = 1
    build: Callable[[], Method] = lambda: build_method(name, _spec(cls, 16, multi=True), **params)  # noqa: E731
    if cls.multi_label:
        try:
            history = train(build(), _set(cls, sets), _settings(1))
        except Exception as error:
            raise AssertionError(
                f"{name}: training on images with several labels ends with {one_line(error)}; take them, or set "
                "multi_label = False"
            ) from error
        assert math.isfinite(history.epochs[-1]["loss"]), f"{name}: the loss on sets of labels is not finite"
        return
    try:
        build()
    except DataError:
        return
    raise AssertionError(f"{name}: multi_label is False, but a multi-label task is accepted")
