"""The encoder in NumPy gives what the backbone of the same weights gives, and loads no torch."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from kinbits.backbones import load_backbone
from kinbits.backbones.sentences import DIM, sentence_encoder

TEXTS = ["a photo of a dog", "", "two  words", "naïve café 日本 😀", "x" * 3000, "the quick brown fox " * 200, "A B C"]


@pytest.fixture(scope="module")
def encoder():
    return sentence_encoder()


def test_it_agrees_with_the_backbone(encoder):
    backbone = load_backbone("minilm")
    with torch.no_grad():
        wanted = backbone(**backbone.tokenize(TEXTS)).numpy()
    found = encoder.encode(TEXTS)
    assert found.dtype == np.float32
    assert np.abs(found - wanted).max() < 1e-5
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_order_and_number_of_texts_change_nothing(encoder):
    many = [f"{'word ' * (n % 7)}{n}" for n in range(70)]
    found = encoder.encode(many)
    assert np.abs(found[[69, 3]] - encoder.encode([many[69], many[3]])).max() < 1e-5
    assert encoder.encode([]).shape == (0, DIM)


def test_a_text_is_embedded_without_torch():
    program = (
        "import sys; from kinbits.backbones.sentences import sentence_encoder; sentence_encoder().encode(['a dog']); "
        "print(sorted({'torch', 'transformers', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
