"""Texts: encoded by the text tower, and skipped where they are empty."""

import numpy as np
import pytest
import torch

from kinbits import DataError, HashModel
from kinbits.backbones import Backbone, load_backbone
from kinbits.data import Dataset, VectorItems
from kinbits.heads import build_head
from kinbits.model import Tower

TEXTS = ("a cat", "", "two dogs", " ")


class Lengths(Backbone):
    """Features of a text: its length, and one."""

    modality = "text"

    def __init__(self):
        super().__init__()
        self._describe("lengths", feature_dim=2, licence="mit", pretrained=True)

    def tokenize(self, texts):
        return {"lengths": torch.tensor([[float(len(text)), 1.0] for text in texts])}

    def forward(self, lengths):
        return lengths

    from_pretrained = from_config = classmethod(lambda cls, *_: cls())

    def architecture(self):
        return {}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    heads = [build_head({"name": "linear", "features": 2, "bits": 8}) for _ in range(2)]
    image, text = Tower(load_backbone("features", dim=2), heads[0]), Tower(Lengths(), heads[1])
    return HashModel({"image": image, "text": text})


def test_a_text_tower_takes_tokens(model):
    tower = model.tower("text")
    logits = tower(tower.backbone.tokenize(TEXTS)).numpy()
    np.testing.assert_allclose(model.encode(["a cat", "two dogs"], modality="text", output="logits"), logits[[0, 2]])


def test_rows_without_a_text_are_skipped(model):
    data = Dataset(VectorItems(np.zeros((4, 2), np.float32)), np.array(["a", "b", "c", "d"]), texts=TEXTS)
    found = model.encode(data, modality="text", on_error="skip")
    np.testing.assert_array_equal(found.array, model.encode(["a cat", "two dogs"], modality="text"))
    assert found.rows.tolist() == [0, 2]
    assert [(one.id, one.reason) for one in found.skipped] == [("b", "no text"), ("d", "no text")]
    with pytest.raises(DataError, match=r"2 of 4 texts cannot be read \(b: no text; d: no text\)"):
        model.encode(data, modality="text")
    assert len(model.encode(data, on_error="skip")) == 4  # as vectors all can be read
