"""The words of composite codes: the sheet's numbers, least squares, and turns that lower the error."""

import numpy as np
import pytest
import torch

from kinbits.methods import Spec
from kinbits.methods.blocks.composite import CompositeMethod, best_words


def test_worked_words():
    z, numbers = torch.tensor([[1.0, 0], [0.6, 0.8], [0, -1]]), torch.tensor([[0], [0], [1]])
    books = torch.full((1, 3, 2), 7.0)
    found = best_words(z, numbers, books)[0].tolist()
    assert found[0] == pytest.approx([0.7996, 0.3998], abs=1e-4)
    assert found[1] == pytest.approx([0, -0.999001], abs=1e-6)
    assert found[2] == [7, 7]  # no row has this word


def test_words_solve_the_regularised_least_squares():
    rng = np.random.default_rng(0)
    z, numbers = rng.normal(size=(200, 5)), rng.integers(0, 16, (200, 3))
    found = best_words(torch.from_numpy(z).float(), torch.from_numpy(numbers), torch.zeros(3, 16, 5), ridge=0.5)
    H = np.zeros((200, 48))
    for row in range(200):
        for part in range(3):
            H[row, 16 * part + numbers[row, part]] = 1
    wanted = np.linalg.inv(H.T @ H + 0.5 * np.eye(48)) @ H.T @ z
    assert np.allclose(found.reshape(48, 5), wanted, atol=1e-5)


def test_more_turns_lower_the_error():
    torch.manual_seed(0)
    method = CompositeMethod(Spec(16, 8, 300), words=16, dims=10)
    z = torch.randn(300, 10) @ torch.randn(10, 10)
    method.fit_books(z, np.random.default_rng(0))
    errors = []
    for _ in range(4):
        errors.append(float((z - method.head.rebuilt(method.head.numbers(z))).square().sum(1).mean()))
        method.refine_books(z)
    assert errors[3] < errors[0]
    blocks = CompositeMethod(Spec(16, 8, 300), words=16, dims=10)
    blocks.refine_books = lambda z: None  # k-means in blocks alone
    blocks.fit_books(z, np.random.default_rng(0))
    assert errors[0] < float((z - blocks.head.rebuilt(blocks.head.numbers(z))).square().sum(1).mean())
