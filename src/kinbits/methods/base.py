"""The contract of methods: `Method`, and the objects that it receives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from kinbits._util import Modality
from kinbits.data import LabelSpace, Pairs, pairs_from_labels
from kinbits.errors import DataError, UsageError
from kinbits.heads import Decoder, Head
from kinbits.methods.blocks.labels import similar
from kinbits.methods.blocks.modes import evaluating

_MOST_PASSES = 100


@dataclass(frozen=True)
class Spec:
    """What a method is built for.

    Attributes:
        bits: Code length K, at least 4.
        feature_dim: Length d of an image's feature vector.
        n_train: Number n of training rows.
        label_space: Names and structure of the labels, or None without labels.
        text_dim: Length t of a text's feature vector, or None without text.
        seed: Seed of the run.
        map_shape: ``(c, h, w)`` if the feature vectors are flattened feature maps, else None.
        has_pairs: Whether pairs of rows are given.

    Raises:
        UsageError: If ``bits`` is below 4.
    """

    bits: int
    feature_dim: int
    n_train: int
    label_space: LabelSpace | None = None
    text_dim: int | None = None
    seed: int = 0
    map_shape: tuple[int, int, int] | None = None
    has_pairs: bool = False

    def __post_init__(self) -> None:
        if self.bits < 4:
            raise UsageError(f"bits is {self.bits}; a code needs at least 4 bits, 32 to 128 are usual")

    @property
    def classes(self) -> int:
        """Number of classes C.

        Raises:
            DataError: If the data have no labels.
        """
        if self.label_space is None:
            raise DataError("the data have no labels, and this method needs them")
        return self.label_space.classes

    def require_map_shape(self) -> tuple[int, int, int]:
        """Return the shape ``(c, h, w)`` of the feature maps.

        Raises:
            DataError: If the features are no maps.
        """
        if self.map_shape is None:
            raise DataError("the features are no maps; this method needs a backbone such as map:efficientnet_lite0")
        return self.map_shape

    def require_text_dim(self) -> int:
        """Return the length t of a text's feature vector.

        Raises:
            DataError: If the data have no text.
        """
        if self.text_dim is None:
            raise DataError("the data have no text, and this method learns from images with text")
        return self.text_dim

    @property
    def rng(self) -> np.random.Generator:
        """A new generator, the same in each call, for random values that are drawn before training."""
        return np.random.default_rng(self.seed)


@dataclass
class Batch:
    """The rows of one training step.

    Attributes:
        rows: Row numbers in the training set, int64 ``(b,)``.
        features: Image features, float ``(b, d)``.
        labels: int64 ``(b,)``, or float multi-hot ``(b, C)``, or None.
        views: Features of random views of the same images, float ``(b, d)`` each, for methods with `Method.views`.
        texts: Text features, float ``(b, t)``, or None.
        ema_features: Features of the same images from the averaged copy of the backbone, float ``(b, d)``. None if the
            backbone is frozen, or the method sets no `Method.ema_decay`.
        images: Pixels of the images, augmented, float ``(b, 3, s, s)`` in [0, 1]; None if the backbone is frozen, or
            several processes share a batch.
    """

    rows: Tensor
    features: Tensor
    labels: Tensor | None = None
    views: tuple[Tensor, ...] = ()
    texts: Tensor | None = None
    ema_features: Tensor | None = None
    images: Tensor | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def reference_features(self) -> Tensor:
        """`ema_features`, or without them `features`, float ``(b, d)``; no gradient flows into them."""
        return self.features.detach() if self.ema_features is None else self.ema_features

    def require_labels(self) -> Tensor:
        """Return the labels, int64 ``(b,)`` or float multi-hot ``(b, C)``.

        Raises:
            DataError: If the batch has none.
        """
        if self.labels is None:
            raise DataError("this batch has no labels")
        return self.labels

    def require_texts(self) -> Tensor:
        """Return the text features, float ``(b, t)``.

        Raises:
            DataError: If the batch has none.
        """
        if self.texts is None:
            raise DataError("this batch has no text")
        return self.texts

    @property
    def similar(self) -> Tensor:
        """Which pairs of the batch share a label, float 0/1 ``(b, b)``."""
        return similar(self.require_labels(), self.require_labels())


def full_precision(like: Tensor) -> torch.autocast:
    """Return a context without mixed precision, which sums over pairs and cosines need."""
    return torch.autocast(like.device.type, enabled=False)


class Optimizer(Protocol):
    """What `Method.step` gets from the trainer: one call that lowers a loss."""

    def minimise(self, loss: Tensor) -> None:
        """Clear gradients, compute those of this scalar, clip them, and take one step."""


class TrainView(ABC):
    """A method's view of the training set: rows, labels and features, but no pixels and no files.

    Attributes:
        labels: int64 ``(n,)``, or float multi-hot ``(n, C)``, or None.
        frozen: Whether features stay the same during the run.
        epochs: Number of epochs of the run, for schedules.
        rng: Generator of the current epoch; the same after a resume.
        pairs: Given pairs of rows, or None.
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
        """Yield features of all rows, or of some, in order, float ``(c, d)``, from the current backbone."""

    def features(self, modality: Modality = "image") -> Tensor:
        """Return the features of all rows at once, float ``(n, d)``; 4nd bytes."""
        return torch.cat(list(self.chunks(modality)))

    def some_pairs(self) -> Pairs:
        """Return the given pairs, or else new pairs drawn from the labels in each epoch.

        Raises:
            DataError: If there are neither pairs nor labels.
        """
        if self.pairs is not None:
            return self.pairs
        if self.labels is None:
            raise DataError("the training set has neither pairs nor labels")
        return pairs_from_labels(self.labels.cpu().numpy(), rng=self.rng)


@dataclass(frozen=True)
class Recipe:
    """Default training settings of a method.

    Attributes:
        epochs: Passes over the training set; 0 for methods that only `prepare`.
        batch_size: Rows per step, over all devices.
        lr: Learning rate of the method's own parameters.
        backbone_lr: Learning rate of a fine-tuned backbone.
        weight_decay: Weight decay of the method's own parameters. ``"adamw"`` shrinks them by lr times this in each
            step: on frozen features 1 to 3 is best, far above the .01 that is usual for whole networks.
        backbone_weight_decay: Weight decay of a fine-tuned backbone; None takes ``weight_decay``.
        optimizer: ``"adam"``, ``"adamw"`` or ``"sgd"`` (momentum 0.9).
        schedule: ``"constant"``, ``"step"`` (a tenth after 80 % of the epochs) or ``"cosine"``.
        clip: Maximum gradient norm, or None.
        min_steps: A small training set is passed over more often, up to 100 times, until there are this many steps.
            What a head learns on frozen features depends on its steps: the passes that do for 5,000 images are too few
            for 500.
    """

    epochs: int = 60
    batch_size: int = 128
    lr: float = 1e-3
    backbone_lr: float = 1e-4
    weight_decay: float = 0.0
    backbone_weight_decay: float | None = None
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    schedule: Literal["constant", "step", "cosine"] = "constant"
    clip: float | None = None
    min_steps: int = 0

    def epochs_for(self, rows: int) -> int:
        """Return how often a training set of so many rows is passed over.

        Example:
            >>> recipe = Recipe(epochs=10, batch_size=50, min_steps=1000)
            >>> recipe.epochs_for(10_000), recipe.epochs_for(1_000), recipe.epochs_for(20)
            (10, 50, 100)
        """
        passes = min(-(-self.min_steps * self.batch_size // rows), _MOST_PASSES)
        return max(self.epochs, passes) if self.epochs else 0


DEFAULT_BITS = 64  # of a code, unless a method has another length of its own


class Method(nn.Module):
    """One published recipe: head, loss, schedule and the state they need.

    In the common case, ``__init__`` sets ``self.head`` and the class defines `loss`. Everything else is optional:
    `prepare` before the first epoch, `start_epoch` and `end_epoch`, `epoch_rows` to train on chosen rows, `step` and
    `parameter_lists` for several optimizers, `towers` for several heads, `train_codes` for codes that are learned
    directly. Tensors that must survive a resume are buffers, or go through PyTorch's ``get_extra_state``.

    The trainer reseeds PyTorch before each epoch, so plain ``torch.rand`` is repeatable. On several devices a method
    still receives the whole global batch: losses over pairs and batch statistics need no change.

    Attributes:
        name: Name in the registry.
        version: Raise it when the results of the same settings change: results of experiments are then made anew.
        baseline: Whether this is no published method but a plain baseline, which published ones should beat.
        supervision: What the method learns from: ``"labels"``, ``"none"``, or ``"pairs"``, which are given or else
            drawn from the labels (`TrainView.some_pairs`).
        multi_label: Whether an image may have several labels.
        reads_text: Whether the method learns from images with text.
        views: Number of random views of each image.
        reads_maps: Whether the features are the backbone's last feature maps, flattened to vectors. The head is then a
            `kinbits.heads.MapHead`, and ``spec.map_shape`` is set.
        drop_last: Whether a smaller last batch is dropped.
        can_pretrain: Whether the method learns without labels through any head that replaces its own. It can then
            pre-train a backbone, or the head of another method.
        reads_hierarchy: Whether the method needs a hierarchy of labels, unless a parameter gives distances of classes.
        standalone_loss: Whether `loss` reads nothing but the logits and the labels of a batch. `HashLoss` then offers
            it without the trainer.
        recipe: Default training settings.
        ema_decay: If set and the backbone is trained, a copy w' of its weights w is updated after each step:
            w' <- ema_decay w' + (1 - ema_decay) w. ``batch.reference_features`` are the copy's features. The copy
            normalises by the batch, as the network does. With 1, it is the network from before training, in
            evaluation mode.
        params: Hyper-parameters that were given to `build_method`.
        head: Maps image features to logits.
        text_head: Maps text features to logits, if ``reads_text`` is set.
        decoder: Maps codes back to features, for methods that learn one. The saved model keeps it, and search can
            re-rank hits with the reconstructed features.
    """

    name: ClassVar[str] = ""
    version: ClassVar[int] = 1
    baseline: ClassVar[bool] = False
    supervision: ClassVar[Literal["labels", "pairs", "none"]] = "labels"
    multi_label: ClassVar[bool] = True
    reads_text: ClassVar[bool] = False
    views: ClassVar[int] = 0
    reads_maps: ClassVar[bool] = False
    drop_last: ClassVar[bool] = False
    can_pretrain: ClassVar[bool] = False
    reads_hierarchy: ClassVar[bool] = False
    standalone_loss: ClassVar[bool] = False
    recipe: ClassVar[Recipe] = Recipe()
    ema_decay: float | None = None
    params: Mapping[str, Any] = MappingProxyType({})
    head: Head
    text_head: Head
    decoder: Decoder | None

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec = spec
        self.decoder = None

    @classmethod
    def default_bits(cls, features: int, params: Mapping[str, Any]) -> int:
        """Return the code length where none is given.

        Args:
            features: Length of a feature vector.
            params: Hyper-parameters that are given.
        """
        return DEFAULT_BITS

    @property
    def codes_ready(self) -> bool:
        """Whether codes have their final form; before that, validation neither chooses an epoch nor stops the run."""
        return True

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the named terms of the loss, weighted; the trainer adds and logs them.

        Args:
            batch: The rows of this step.
            logits: The head's output on ``batch.features``, float ``(b, bits)``.
        """
        raise NotImplementedError(f"method '{self.name}' has no batch loss")

    def prepare(self, train: TrainView) -> None:
        """Compute what the first epoch needs; not called again on resume."""

    def start_epoch(self, epoch: int, train: TrainView) -> None:
        """Start epoch ``epoch``, from 0: set schedules, read labels."""

    def end_epoch(self, epoch: int, train: TrainView) -> None:
        """End epoch ``epoch``: update discrete codes or neighbours."""

    def epoch_rows(self, epoch: int, train: TrainView) -> Tensor | None:
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
        return {"image": self.head, "text": self.text_head} if self.reads_text else {"image": self.head}

    def train_codes(self) -> Tensor | None:
        """Return codes that were learned for the training rows themselves, bool ``(n, bits)``, or None."""
        return None

    @torch.no_grad()
    def outputs(self, train: TrainView, modality: Modality = "image", rows: np.ndarray | None = None) -> Tensor:
        """Return the current logits of all training rows, or of some, float ``(n, bits)``, in evaluation mode."""
        head = self.towers()[modality]
        with evaluating(head):
            return torch.cat([head(chunk) for chunk in train.chunks(modality, rows)])
