"""Labels without their zeros: equal to the multi-hot array in everything, and small where that is huge."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kinbits.attacks import LabelRows, Reference, build_attack, draw_targets, handy_labels, label_rows
from kinbits.attacks.blocks import anchor_codes, centre_codes, circle, likelihood, mainstay_codes
from kinbits.errors import DataError


@st.composite
def multi_hots(draw):
    rows, classes = draw(st.integers(1, 9)), draw(st.integers(1, 6))
    cells = draw(st.lists(st.booleans(), min_size=rows * classes, max_size=rows * classes))
    return torch.tensor(cells).reshape(rows, classes).float()


@settings(max_examples=60, deadline=None)
@given(multi_hots(), st.data())
def test_rows_are_the_multi_hot_array(dense, data):
    rows = LabelRows.from_labels(dense, dense.shape[1])
    assert rows.shape == dense.shape
    assert torch.equal(rows.dense(), dense)
    assert torch.equal(rows.sizes, dense.sum(1))
    assert torch.equal(rows.present, dense.any(0))
    distinct = torch.unique(dense, dim=0)
    assert torch.equal(rows.distinct.dense(), distinct[distinct.any(dim=1)])
    places = data.draw(st.lists(st.integers(0, len(dense) - 1), max_size=5))
    assert torch.equal(rows[torch.tensor(places, dtype=torch.long)].dense(), dense[places])
    assert torch.equal(rows[dense[:, 0] > 0].dense(), dense[dense[:, 0] > 0])
    assert torch.equal(rows.shared(dense), dense @ dense.T)


@pytest.mark.parametrize("cells", [1, 7, 1 << 22])
def test_parts_of_any_size_give_the_same(cells, monkeypatch):
    dense = (torch.rand(50, 9, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    codes = torch.where(torch.rand(50, 12, generator=torch.Generator().manual_seed(1)) < 0.5, -1.0, 1.0)
    whole = results(Reference(codes, dense), dense[:20])
    for module in ("kinbits.attacks.label_rows", "kinbits.attacks.blocks.centres", "kinbits.attacks.blocks.targets"):
        monkeypatch.setattr(f"{module}.CELLS", cells)
    for one, other in zip(whole, results(Reference(codes, LabelRows.from_labels(dense, 9)), dense[:20]), strict=True):
        assert torch.equal(one, other)


def results(known, labels):
    targets, found = draw_targets(labels, known, torch.Generator().manual_seed(0))
    some = labels[labels.any(dim=1)]
    anchors = anchor_codes(some, known, torch.Generator().manual_seed(0))
    same = [known.with_label(one) for one in labels[:3]]
    return [targets, found, mainstay_codes(labels, known), centre_codes(labels, known), anchors, *same]


def test_class_numbers_are_rows_too():
    rows = LabelRows.from_labels(np.array([1, -1, 0, 1]), 3)
    assert rows.dense().tolist() == [[0, 1, 0], [0, 0, 0], [1, 0, 0], [0, 1, 0]]
    assert repr(rows) == "LabelRows(4 images, 3 classes, 3 labels)"
    assert LabelRows.from_labels(rows, 3) is rows
    for labels in (np.array([3]), np.array([0.5]), np.zeros((2, 2)), "ab"):
        with pytest.raises(DataError):
            LabelRows.from_labels(labels, 3)


def test_labels_are_a_tensor_where_that_is_small(monkeypatch):
    assert torch.equal(handy_labels(np.array([1, 0]), 2), torch.tensor([[0.0, 1], [1, 0]]))
    monkeypatch.setattr(label_rows, "DENSE", 3)
    assert isinstance(handy_labels(np.array([1, 0]), 2), LabelRows)


def test_attacks_that_learn_take_rows():
    known = Reference(torch.ones(4, 6), LabelRows.from_labels(np.array([0, 1, 2, 0]), 3))
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 6)).eval()
    from kinbits.attacks import Victim

    attack = build_attack("tha", prototype_steps=2)
    attack.train(Victim(network, bits=6, size=8), np.zeros((4, 3, 8, 8), np.uint8), known.labels, known)
    assert attack.facts["classes"] == 3


def test_losses_of_prototypes_are_those_of_the_array():
    dense = (torch.rand(30, 5, generator=torch.Generator().manual_seed(0)) < 0.4).float()
    codes = torch.where(torch.rand(30, 8, generator=torch.Generator().manual_seed(1)) < 0.5, -1.0, 1.0)
    rows = Reference(codes, LabelRows.from_labels(dense, 5))
    net = lambda labels: (None, torch.tanh(labels @ codes[:5]), labels * 0.5)  # noqa: E731
    for loss in (likelihood, circle):
        assert torch.equal(loss(net, dense[:7], rows), loss(net, dense[:7], Reference(codes, dense)))


HUGE = """
import resource, sys
import numpy as np, torch
from kinbits.attacks import LabelRows, Reference, draw_targets
from kinbits.attacks.blocks import anchor_codes, centre_codes, mainstay_codes
from kinbits.attacks.blocks import PrototypeNet, likelihood, train_prototypes

torch.set_num_threads(1)
images, classes = 50_000, 10_000
rng = np.random.default_rng(0)
counts = rng.integers(1, 6, images)
columns = np.concatenate([np.sort(rng.choice(classes, count, replace=False)) for count in counts])
rows = LabelRows(torch.from_numpy(columns), torch.from_numpy(np.concatenate([[0], counts.cumsum()])), classes)
codes = torch.from_numpy(rng.choice([-1.0, 1.0], (images, 32)).astype(np.float32))
net = PrototypeNet(classes, 32, hidden=16)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
known = Reference(codes, rows)
labels = rows[torch.arange(100)].dense()
targets, found = draw_targets(labels, known, torch.Generator().manual_seed(0))
assert bool(found.all()) and float((targets * labels).sum()) == 0
mainstay_codes(labels, known), centre_codes(labels, known)
anchor_codes(targets[:10], known, torch.Generator().manual_seed(0))
train_prototypes(net, known, likelihood, steps=2, generator=torch.Generator().manual_seed(0))
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(grown // (1 << 20 if sys.platform == "darwin" else 1 << 10))  # MB; macOS counts bytes
"""


def test_sets_over_ten_thousand_classes_need_little_memory():
    ended = subprocess.run([sys.executable, "-c", HUGE], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) < 400  # as a multi-hot array, the labels alone take 2,000
