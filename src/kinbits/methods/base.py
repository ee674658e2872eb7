"""The contract that every method meets, and the few objects that pass through it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from kinbits.data import LabelSpace, Pairs, pairs_from_labels
from kinbits.errors import DataError, UsageError
from kinbits.heads import Decoder, Head

Modality = Literal["image", "text"]


@dataclass(frozen=True)
class Spec:
    """What a method is built for.

    Attributes:
        bits: Code length K, at least 4.
        features: Length d of an image's feature vector.
        rows: Number n of training rows.
        space: The labels' meaning, or None without labels.
        text_features: Length of a text's feature vector, or None without text.
        seed: Seed of the run.
        map_shape: ``(c, h, w)`` where the features are maps laid out as vectors, else None.
        pairs: Whether pairs of rows are given.
    """

    bits: int
    features: int
    rows: int
    space: LabelSpace | None = None
    text_features: int | None = None
    seed: int = 0
    map_shape: tuple[int, int, int] | None = None
    pairs: bool = False

    def __post_init__(self) -> None:
        if self.bits < 4:
            raise UsageError(f"bits is {self.bits}; a code needs at least 4 bits, 32 to 128 are usual")

    @property
    def classes(self) -> int:
        """Number of classes C."""
        if self.space is None:
            raise DataError("the data has no labels; this method needs them")
        return self.space.classes

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape ``(c, h, w)`` of the feature maps, for methods that read them."""
        if self.map_shape is None:
            raise DataError("the features are no maps; this method needs a backbone such as map:efficientnet_lite0")
        return self.map_shape

    @property
    def words(self) -> int:
        """Length of a text's feature vector, for methods that learn from images with text."""
        if self.text_features is None:
            raise DataError("the data has no text; this method learns from images with text")
        return self.text_features

    @property
    def rng(self) -> np.random.Generator:
        """A fresh generator, the same at each call, for what is drawn before training."""
        return np.random.default_rng(self.seed)


@dataclass
class Batch:
    """One step's rows.

    Attributes:
        rows: Row numbers in the training set, int64 ``(b,)``.
        features: Image features, float ``(b, d)``.
        labels: int64 ``(b,)``, or float multi-hot ``(b, C)``, or None.
        views: For methods that ask for them: features of random views of the same images, float ``(b, d)``
            each.
        texts: Text features, float ``(b, t)``, or None.
        past: For methods with a `Method.momentum`, where the backbone is trained: features of the same images from
            its slowly moving copy, float ``(b, d)``. Read them as `slow`.
    """

    rows: Tensor
    features: Tensor
    labels: Tensor | None = None
    views: tuple[Tensor, ...] = ()
    texts: Tensor | None = None
    past: Tensor | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def slow(self) -> Tensor:
        """Features from the slowly moving copy of the backbone, which is the backbone itself where it is frozen."""
        return self.features.detach() if self.past is None else self.past

    @property
    def targets(self) -> Tensor:
        """The labels, for methods that cannot do without."""
        if self.labels is None:
            raise DataError("this batch has no labels")
        return self.labels

    @property
    def captions(self) -> Tensor:
        """The text features, float ``(b, t)``, for methods that cannot do without."""
        if self.texts is None:
            raise DataError("this batch has no text")
        return self.texts

    @property
    def similar(self) -> Tensor:
        """Which pairs of the batch share a label, float 0/1 ``(b, b)``."""
        return similar(self.targets, self.targets)


def similar(a: Tensor, b: Tensor) -> Tensor:
    """Tell which pairs share a label.

    Args:
        a: int64 ``(n,)`` or multi-hot ``(n, C)``.
        b: The same form, ``(m,)`` or ``(m, C)``.

    Returns:
        float 0/1 ``(n, m)``; an unlabelled row shares with none, not even with itself.
    """
    if a.ndim == 1:
        return ((a[:, None] == b[None, :]) & (a >= 0)[:, None]).float()
    return (a.float() @ b.float().T > 0).float()


def labelled(labels: Tensor) -> Tensor:
    """Tell which rows have a label, bool ``(n,)``; the labels are int64 ``(n,)`` or multi-hot ``(n, C)``."""
    return labels >= 0 if labels.ndim == 1 else (labels > 0).any(1)


def full_precision(like: Tensor) -> torch.autocast:
    """Return a context without mixed precision: sums over pairs and cosines need all their digits."""
    return torch.autocast(like.device.type, enabled=False)


class Optimizer(Protocol):
    """What the trainer hands to `Method.step`: one call that lowers a loss."""

    def minimise(self, loss: Tensor) -> None:
        """Clear gradients, go backward from this scalar, clip, and take one step."""


class TrainSet(ABC):
    """The training set as a method sees it: rows, labels and features, never pixels or files.

    Attributes:
        labels: int64 ``(n,)``, or float multi-hot ``(n, C)``, or None.
        frozen: Whether features stay the same during the run.
        epochs: Length of the run, for schedules in shares of it.
        rng: Generator of the current epoch; the same after a resume.
        pairs: What is given about pairs of rows, or None.
    """

    labels: Tensor | None
    frozen: bool
    epochs: int = 0
    rng: np.random.Generator
    pairs: Pairs | None = None

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def chunks(self, modality: Modality = "image", rows: np.ndarray | None = None) -> Iterator[Tensor]:
        """Yield features of all rows, or of some, in order, float ``(c, d)``, from the backbone as it stands now."""

    def features(self, modality: Modality = "image") -> Tensor:
        """Return the features of all rows at once, float ``(n, d)``; 4nd bytes."""
        return torch.cat(list(self.chunks(modality)))

    def some_pairs(self) -> Pairs:
        """Return the given pairs, or else pairs drawn from the labels, other ones in each epoch."""
        if self.pairs is not None:
            return self.pairs
        if self.labels is None:
            raise DataError("the training set has neither pairs nor labels")
        return pairs_from_labels(self.labels.cpu().numpy(), rng=self.rng)


@dataclass(frozen=True)
class Recipe:
    """How a method is trained unless the user says otherwise.

    Attributes:
        epochs: Passes over the training set; 0 for methods that only `prepare`.
        batch_size: Rows per step, over all devices.
        lr: Learning rate of the method's own parameters.
        backbone_lr: Learning rate of a fine-tuned backbone.
        weight_decay: As the optimizer defines it.
        optimizer: ``"adam"``, ``"adamw"`` or ``"sgd"`` (momentum 0.9).
        schedule: ``"constant"``, ``"step"`` (a tenth after 80 % of the epochs) or ``"cosine"``.
        clip: Largest gradient norm, or None.
    """

    epochs: int = 60
    batch_size: int = 128
    lr: float = 1e-3
    backbone_lr: float = 1e-4
    weight_decay: float = 0.0
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    schedule: Literal["constant", "step", "cosine"] = "constant"
    clip: float | None = None


class Method(nn.Module):
    """One published recipe: head, loss, schedule and the state they need.

    The common case sets ``self.head`` in ``__init__`` and writes `loss`. Everything else is optional:
    `prepare` before the first epoch, `start_epoch` and `end_epoch`, `epoch_rows` to train on chosen rows,
    `step` and `parameter_lists` for several optimizers, `towers` for several heads, `train_codes` for codes
    learned beside the network. Tensors of any size that must survive a resume are buffers, or go through
    PyTorch's ``get_extra_state``.

    ``supervision`` is what the method learns from: ``"labels"``, ``"none"``, or ``"pairs"``: given ones, or else drawn
    from the labels (`TrainSet.some_pairs`).

    With ``maps = True`` the features are the backbone's last feature maps ``spec.shape``, laid out as vectors; the head
    is then a `kinbits.heads.MapHead`.

    With ``momentum`` set, on the class or in ``__init__``, a trained backbone is followed by a copy, w' <- momentum
    w' + (1 - momentum) w after each step, and ``batch.slow`` holds the copy's features. The copy normalises by
    the batch, as the network does; with momentum 1 it is the network from before training, in evaluation mode.

    A method with ``whole_batches`` gets no smaller last batch. One that ``pretrains`` can learn without labels
    through any head that is put in the place of its own, and so train a backbone, or another method's head, before
    that method learns.

    A method that learns the way back from codes to features sets ``self.decoder``; the saved model keeps it, and search
    can then re-rank with what it reconstructs.

    The trainer reseeds PyTorch before each epoch, so plain ``torch.rand`` is repeatable. On several devices
    a method still sees the whole global batch: losses over pairs and batch statistics need no change.
    """

    name: ClassVar[str] = ""
    supervision: ClassVar[Literal["labels", "pairs", "none"]] = "labels"
    multi_label: ClassVar[bool] = True
    text: ClassVar[bool] = False
    views: ClassVar[int] = 0
    maps: ClassVar[bool] = False
    whole_batches: ClassVar[bool] = False
    pretrains: ClassVar[bool] = False
    recipe: ClassVar[Recipe] = Recipe()
    momentum: float | None = None
    params: Mapping[str, Any] = MappingProxyType({})
    head: Head
    text_head: Head  # where `text` is set
    decoder: Decoder | None

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec = spec
        self.decoder = None

    @property
    def complete(self) -> bool:
        """Whether codes have their final form; before that, no epoch is chosen by validation or stopped after."""
        return True

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the named terms of the loss, weighted; the trainer adds and logs them.

        Args:
            batch: The rows of this step.
            logits: The head's output on ``batch.features``, float ``(b, bits)``.
        """
        raise NotImplementedError(f"method '{self.name}' has no batch loss")

    def prepare(self, train: TrainSet) -> None:
        """Compute what must stand before the first epoch; not called again on resume."""

    def start_epoch(self, epoch: int, train: TrainSet) -> None:
        """Do what comes before epoch ``epoch`` (from 0)."""

    def end_epoch(self, epoch: int, train: TrainSet) -> None:
        """Do what comes after epoch ``epoch``: discrete updates, new neighbours."""

    def epoch_rows(self, epoch: int, train: TrainSet) -> Tensor | None:
        """Choose the rows that this epoch visits, and which of them come together; called before `start_epoch`.

        Returns:
            int64 ``(m,)``: rows in any order; or ``(m, g)``: m groups such as triplets, the g rows of a group always
            one after the other in one batch; or None, which means all rows. The trainer shuffles rows or groups.
        """
        return None

    def step(self, batch: Batch, optimizers: Sequence[Optimizer]) -> Mapping[str, Tensor]:
        """Train on one batch and return the terms to log."""
        logits = self.head(batch.features)
        with full_precision(logits):
            terms = self.loss(batch, logits.float())
        optimizers[0].minimise(torch.stack(list(terms.values())).sum())
        return terms

    def parameter_lists(self) -> list[list[nn.Parameter]]:
        """Return one list of parameters per optimizer; a fine-tuned backbone joins the first."""
        return [list(self.parameters())]

    def towers(self) -> dict[Modality, Head]:
        """Return the heads that make codes, by modality: what a saved model keeps."""
        return {"image": self.head, "text": self.text_head} if self.text else {"image": self.head}

    def train_codes(self) -> Tensor | None:
        """Return codes that were learned for the training rows themselves, bool ``(n, bits)``, or None."""
        return None

    @torch.no_grad()
    def outputs(self, train: TrainSet, modality: Modality = "image", rows: np.ndarray | None = None) -> Tensor:
        """Return the current logits of all training rows, or of some, float ``(n, bits)``, in evaluation mode."""
        head = self.towers()[modality]
        mode = head.training
        head.eval()
        logits = torch.cat([head(chunk) for chunk in train.chunks(modality, rows)])
        head.train(mode)
        return logits
