"""Training sets: built once, cut without a change to the whole, and ready for one run after another."""

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from kinbits.data import pairs_from_labels
from kinbits.errors import UsageError
from kinbits.labelling import ExpandedLabels
from kinbits.methods import Method, Spec
from kinbits.training import FeatureSet, PixelSet, TrainingSettings, train

ROWS = 12
LABELS = np.arange(ROWS) % 3


class Reader:
    """Grey images whose level is their row."""

    def __len__(self):
        return ROWS

    def read(self, rows):
        return np.tile(rows.astype(np.uint8)[:, None, None, None], (1, 3, 2, 2))


def features():
    return np.arange(ROWS * 2, dtype=np.float32).reshape(ROWS, 2)


def of_features():
    return FeatureSet(features(), LABELS, features() + 1, [features() + 2], key="k")


def of_pixels():
    return PixelSet(Reader(), nn.Flatten(), labels=LABELS, texts=features() + 1, key="k")


def guessed(rounds):
    return ExpandedLabels(LABELS[::-1].copy(), np.linspace(0, 1, ROWS, dtype=np.float32), np.asarray(rounds))


@pytest.mark.parametrize("whole", [of_features(), of_pixels()], ids=["features", "pixels"])
def test_a_part_has_its_rows_and_what_is_known_about_them_and_the_whole_stays(whole):
    rows, before = np.array([7, 2, 5]), whole.features().clone()
    rounds = np.arange(ROWS) % 2
    pairs = pairs_from_labels(LABELS[rows], rng=0)
    part = whole.select(rows, guessed(rounds), pairs)
    assert torch.equal(part.features(), before[rows])
    assert torch.equal(part.features("text"), torch.from_numpy(features()[rows] + 1))
    assert part.labels.tolist() == LABELS[::-1][rows].tolist()
    np.testing.assert_array_equal(part.weights, np.linspace(0, 1, ROWS, dtype=np.float32)[rows])
    assert part.pairs is pairs
    assert torch.equal(whole.features(), before)
    assert (whole.labels.tolist(), whole.weights, whole.pairs) == (LABELS.tolist(), None, None)
    one = part.select(np.array([1]))
    assert torch.equal(one.features(), before[[2]])
    assert (one.labels.tolist(), one.weights.tolist()) == ([LABELS[::-1][2]], [part.weights[1]])


def test_other_labels_and_pairs_are_other_data_for_a_checkpoint():
    whole, rows = of_features(), np.arange(ROWS)
    pairs = [pairs_from_labels(LABELS, rng=seed) for seed in (0, 1)]
    keys = [
        whole.select(rows).key,
        whole.select(rows, guessed([0] * ROWS)).key,
        *(whole.select(rows, None, one).key for one in pairs),
        whole.select(rows, guessed([0] * ROWS), pairs[0]).key,
    ]
    assert keys[0] == "k"
    assert len(set(keys)) == len(keys)


class Pulled(Method):
    """Pulls logits to one, with or without a slow copy of the backbone."""

    supervision = "none"

    def __init__(self, ema_decay):
        super().__init__(Spec(4, 12, ROWS))
        from kinbits.heads import Linear

        self.head, self.ema_decay = Linear(12, 4), ema_decay

    def loss(self, batch, logits):
        return {"size": (logits - 1).square().mean()}


def test_a_second_run_keeps_no_slow_copy_of_the_first():
    data = PixelSet(Reader(), nn.Sequential(nn.Flatten(), nn.Linear(12, 12)))
    settings = TrainingSettings(epochs=1, progress=False, accelerator="cpu")
    train(Pulled(0.9), data, settings)
    assert data.ema_backbone is not None
    train(Pulled(None), data, settings)
    assert data.ema_backbone is None


def test_a_batch_of_images_has_a_row_for_each_process_that_shares_it():
    data = of_pixels()
    calls = {"autocast": nullcontext, "setup_module": lambda network: network}
    data.setup(SimpleNamespace(device=torch.device("cpu"), world_size=4, **calls))
    assert [batch.rows.tolist() for batch in data.batches(np.arange(11), 4, [0])] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    for rows, size in ((3, 64), (11, 2)):
        with pytest.raises(UsageError, match=rf"4 processes share each batch of {min(rows, size)} images; use fewer"):
            next(data.batches(np.arange(rows), size, [0]))
