"""NMLayer: start with more bits than needed, and merge redundant ones step by step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from kinbits.errors import DataError, UsageError
from kinbits.heads import Merged
from kinbits.methods.base import Batch, Method, Recipe, Spec, TrainView
from kinbits.methods.blocks.labels import labelled, similar
from kinbits.methods.blocks.merging import (
    Score,
    code_lengths,
    constant_bits_first,
    greedy_matching,
    merge_matrix,
    redundancy_scores,
)
from kinbits.methods.blocks.wrapping import build_base
from kinbits.methods.registry import register


@register("nmlayer")
class NmLayer(Method):
    """Train a long code with another method, then merge redundant neurons, layer by layer, down to K bits.

    The lengths K_0 > K_1 > ... > K_T = K fall in equal steps. With z the K_0 outputs of the base's own head, the code
    after t layers is sign(z W_1 ... W_t), and the base's loss for K_t bits trains z through the fixed W. Layer t is
    first active, the identity, while the graph A of redundancy is summed up; then it is frozen: the K_{t-1} - K_t
    pairs of highest A, each neuron in one at most, become one neuron each. With l(M) the squared loss on pairs of
    binary codes restricted to the bits M (see `importance`)::

        I_k  = l(all - k) - l(all)
        R_kl = l(all - {k, l}) - l(all) - I_k - I_l        A <- A + R
        merged = (z_k + sign(corr_kl) z_l) / 2

    Of two redundant bits, each one alone can be left out at little cost, but not both. So R is large for them.

    Partly a reconstruction: the abstract gives the graph, the two phases, the merging, the layers from long to short
    codes, and balanced bits as the aim. These are our choices and their reasons. The score R measures the value of bits
    for the loss; ``score="correlation"`` measures their similarity, and ``"random"`` is the control. R is computed on
    binary codes, which have no scale, in evaluation mode, on ``sample`` rows at once, which have more pairs than
    several batches. The number of merged pairs follows from the code length, which the user sets. The mean of two
    neurons passes half of the gradient to each. The sign avoids that opposed neurons cancel. A bit that is constant in
    the sample is merged first, and the other bit takes its place. Half of the epochs train the long code, since the
    graph of an untrained code is random.

    The base is built once for each length, with its own defaults. Codes have K bits only after the last layer, so
    validation counts only later epochs.

    Args:
        spec: The task.
        base: A method with labels whose loss is on logits alone.
        start: First length K_0; 0 means 2 K.
        layers: Number T of layers.
        first: Share of the epochs before the first merging; the rest is split evenly.
        active: Number of epochs before each merging that add to A.
        score: ``"redundancy"``, ``"correlation"`` or ``"random"``.
        sample: Number of labelled rows from which A is computed.

    Reference: C. Fu, L. Song, X. Wu, G. Wang, R. He, "Neurons Merging Layer: Towards Progressive Redundancy Reduction
    for Deep Supervised Hashing", IJCAI 2019.
    """

    recipe = Recipe(
        epochs=20,
        batch_size=128,
        lr=1e-3,
        optimizer="adamw",
        weight_decay=3.0,
        backbone_weight_decay=5e-4,
        schedule="step",
        min_steps=1250,
    )
    head: Merged
    graph: Tensor

    def __init__(
        self,
        spec: Spec,
        *,
        base: str = "hashnet",
        start: int = 0,
        layers: int = 2,
        first: float = 0.5,
        active: int = 1,
        score: Score = "redundancy",
        sample: int = 1000,
    ) -> None:
        super().__init__(spec)
        if layers < 1 or active < 1 or sample < 2 or not 0 <= first < 1:
            raise UsageError(
                f"layers {layers}, active {active}, sample {sample}, first {first}: need layers, active >= 1, "
                f"sample >= 2 and first from 0 to below 1"
            )
        if score not in ("redundancy", "correlation", "random"):
            raise UsageError(f"score is '{score}'; use redundancy, correlation or random")
        self.first, self.active, self.score, self.sample = first, active, score, sample
        self.lengths = code_lengths(start or 2 * spec.bits, spec.bits, layers)
        bases = [build_base(base, replace(spec, bits=length), self.name) for length in self.lengths]
        self.head = Merged(spec.feature_dim, spec.bits, bases[0].head.config())
        self.head.layers = bases[0].head
        self.head.merge = torch.eye(self.lengths[0])
        for built in bases:
            built.head = self.head
        self.bases = nn.ModuleList(bases)
        self.register_buffer("graph", torch.zeros(self.lengths[0], self.lengths[0]))

    @property
    def stage(self) -> int:
        """Number t of frozen layers."""
        return self.lengths.index(self.head.width)

    @property
    def codes_ready(self) -> bool:
        """Whether the code has its final length."""
        return self.head.width == self.spec.bits

    @property
    def current(self) -> Method:
        """The base for the current length."""
        found = self.bases[self.stage]
        assert isinstance(found, Method)
        return found

    def prepare(self, train: TrainView) -> None:
        """Prepare the base for the longest code."""
        self.current.prepare(train)

    def epoch_rows(self, epoch: int, train: TrainView) -> Tensor | None:
        """Return what the base chooses."""
        return self.current.epoch_rows(epoch, train)

    def start_epoch(self, epoch: int, train: TrainView) -> None:
        """Let the base begin its epoch."""
        self.current.start_epoch(epoch, train)

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the base's terms for the current length."""
        return self.current.loss(batch, logits)

    def end_epoch(self, epoch: int, train: TrainView) -> None:
        """Sum the graph up at the end of an active phase, and freeze the layer when its time has come."""
        self.current.end_epoch(epoch, train)
        while not self.codes_ready:
            due = self.due(train.epochs)[self.stage]
            if epoch + 1 <= due - self.active:
                return
            codes, same = self._sample(train)
            K = codes.shape[1]
            self.graph[:K, :K] += redundancy_scores(self.score, codes, same, train.rng)
            if epoch + 1 < due:
                return
            self._freeze(codes)
            self.current.prepare(train)

    def due(self, epochs: int) -> list[int]:
        """Return the number of epochs before each layer is frozen; at least one of ``epochs`` follows the last."""
        begin = min(max(1, round(self.first * epochs)), max(epochs - 1, 1))
        layers = len(self.lengths) - 1
        return [begin + (epochs - begin) * t // layers for t in range(layers)]

    def _freeze(self, codes: Tensor) -> None:
        """Merge the pairs of highest score."""
        K, length = codes.shape[1], self.lengths[self.stage + 1]
        pairs = greedy_matching(constant_bits_first(self.graph[:K, :K], codes), K - length)
        self.head.merge = self.head.merge @ merge_matrix(pairs, codes)
        self.graph.zero_()

    @torch.no_grad()
    def _sample(self, train: TrainView) -> tuple[Tensor, Tensor]:
        """Return binary codes of some labelled rows, ``(m, K_t)``, and which share a label, ``(m, m)``."""
        if train.labels is None or not labelled(train.labels).any():
            raise DataError("method 'nmlayer' learns from labels, and no training row has one")
        known = labelled(train.labels).nonzero().flatten().cpu().numpy()
        rows = torch.from_numpy(np.sort(train.rng.permutation(known)[: self.sample])).to(train.labels.device)
        mode, begin, parts = self.head.training, 0, []
        self.head.eval()
        for chunk in train.chunks():
            inside = rows[(rows >= begin) & (rows < begin + len(chunk))] - begin
            parts.append(torch.where(self.head(chunk[inside]) >= 0, 1.0, -1.0))
            begin += len(chunk)
        self.head.train(mode)
        return torch.cat(parts), similar(train.labels[rows], train.labels[rows])
