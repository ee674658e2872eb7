"""Base class of the methods with composite codes, and the words that fit given codes best."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from kinbits.errors import UsageError
from kinbits.heads import CompositeHead
from kinbits.methods.base import Spec, TrainView
from kinbits.methods.blocks.codebooks import ProductMethod, kmeans

RIDGE, TURNS = 1e-3, 3


class CompositeMethod(ProductMethod):
    """Base of methods with a `kinbits.heads.CompositeHead`, whose codebooks are fitted to the vectors after each epoch.

    Args:
        spec: The task.
        words: K, 16 or 256.
        dims: Length D of the vectors.
        directions: As of the head.
    """

    head: CompositeHead

    def __init__(self, spec: Spec, *, words: int, dims: int, directions: int = 0) -> None:
        if dims < 1:
            raise UsageError(f"dims is {dims}; vectors need at least one number for each codebook")
        super().__init__(spec, words=words, head=CompositeHead(spec.feature_dim, spec.bits, words, dims, directions))
        self.head.layers = nn.Linear(spec.feature_dim, dims)

    def prepare(self, train: TrainView) -> None:
        """Start the codebooks."""
        self.fit_books(self.outputs(train, rows=self.sample(train, self.spec.rng)), self.spec.rng)

    def end_epoch(self, epoch: int, train: TrainView) -> None:
        """Fit the codebooks to the vectors."""
        self.refine_books(self.outputs(train, rows=self.sample(train, train.rng)))

    def away(self, z: Tensor) -> Tensor:
        """Return the squared distances of vectors to what their codes stand for, ``(n,)``, from one search each."""
        left = z - self.head.rebuilt(self.head.numbers(z.detach(), tries=1))
        return (left @ self.head.axes.T if len(self.head.axes) else left).square().sum(1)

    @torch.no_grad()
    def fit_books(self, z: Tensor, rng: np.random.Generator) -> None:
        """Set the codebooks by k-means on M blocks of the vectors ``(n, D)``, a word being 0 elsewhere; then refine."""
        self.head.books.zero_()
        blocks = torch.arange(self.head.outputs, device=z.device).tensor_split(self.head.parts)
        for book, block in zip(self.head.books, blocks, strict=True):
            book[:, block] = kmeans(z[:, block], self.head.words, rng)
        self.refine_books(z)

    @torch.no_grad()
    def refine_books(self, z: Tensor) -> None:
        """Alternate between codes and words; no turn raises the error by more than the ridge."""
        numbers = self.head.numbers(z)
        for _ in range(TURNS):
            self.head.books.copy_(best_words(z, numbers, self.head.books))
            numbers = self.head.numbers(z, numbers)


def best_words(z: Tensor, numbers: Tensor, books: Tensor, ridge: float = RIDGE) -> Tensor:
    """Return the words C = (H^T H + ridge I)^-1 H^T Z, where H has a one for each word of a row.

    Args:
        z: Z, float ``(n, D)``.
        numbers: The words of each row, int64 ``(n, M)``.
        books: The last words, float ``(M, K, D)``: words that no row has are kept.
        ridge: Keeps the sum solvable: adding a vector to all words of one book and subtracting it in another changes
            nothing.

    Returns:
        float32 ``(M, K, D)``.
    """
    parts, words, dims = books.shape
    gram = torch.zeros(parts, words, parts, words, dtype=torch.float64, device=z.device)
    moments = torch.zeros(parts, words, dims, dtype=torch.float64, device=z.device)
    for one in range(parts):
        moments[one].index_add_(0, numbers[:, one], z.double())
        for two in range(parts):
            counts = torch.bincount(numbers[:, one] * words + numbers[:, two], minlength=words**2)
            gram[one, :, two] = counts.view(words, words)
    square = gram.view(parts * words, -1)
    used = square.diagonal() > 0
    square.diagonal().add_(ridge)
    found = torch.linalg.solve(square, moments.flatten(0, 1)).float()
    return torch.where(used[:, None], found, books.flatten(0, 1)).view_as(books)
