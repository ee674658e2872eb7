"""Losses of methods in a plain PyTorch loop, without the trainer."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from kinbits import DataError, LabelSpace, UsageError, hamming, metrics
from kinbits.methods import Batch, HashLoss, Spec, build_method, get_method, list_methods

STANDALONE = [name for name in list_methods() if get_method(name).standalone_loss]
TREE = LabelSpace(tuple("abcd"), parents=(4, 4, 5, 5, 6, 6, -1), parent_names=tuple("pqr"))
BITS = 16


def blobs(rows, classes=6, width=24):
    """Classes that differ in a few directions of many noisy ones."""
    centres = np.random.default_rng(0).normal(size=(classes, width)) * (np.arange(width) < 6)
    rng = np.random.default_rng(rows)
    labels = np.arange(rows) % classes
    features = 1.5 * centres[labels] + rng.normal(size=(rows, width)) * np.where(np.arange(width) < 6, 0.5, 3)
    return torch.from_numpy(features.astype(np.float32)), torch.from_numpy(labels)


def mean_average_precision(network, queries, database):
    with torch.no_grad():
        one, two = (hamming.pack((network(part[0]) >= 0).numpy()) for part in (queries, database))
    relevance = metrics.LabelRelevance(queries[1].numpy(), database[1].numpy())
    return metrics.evaluate(one, two, relevance, ["map@all"])["map@all"]


@pytest.mark.parametrize("name", ["csq", "hashnet", "orthohash"])
def test_a_bare_loop_learns_codes_that_find_the_class(name):
    torch.manual_seed(0)
    (x, y), queries = blobs(600), blobs(120)
    network, loss = nn.Linear(24, BITS), HashLoss(name, bits=BITS, classes=6)
    before = mean_average_precision(network, queries, (x, y))
    optimizer = torch.optim.Adam([*network.parameters(), *loss.parameters()], lr=0.02)
    for epoch in range(10):
        loss.set_epoch(epoch)
        for rows in torch.randperm(len(x)).split(100):
            optimizer.zero_grad()
            loss(network(x[rows]), y[rows]).backward()
            optimizer.step()
    assert before < 0.4
    assert mean_average_precision(network, queries, (x, y)) > 0.85


@pytest.mark.parametrize("name", STANDALONE)
@pytest.mark.parametrize("multi", [False, True])
def test_it_is_the_loss_of_the_method_whatever_the_features_are(name, multi):
    space = replace(TREE, multi=multi)
    rng = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 2, (12, 4), generator=rng).float() if multi else torch.arange(12) % 4
    logits = torch.randn(12, BITS, generator=rng, requires_grad=True)
    torch.manual_seed(0)
    loss = HashLoss(name, bits=BITS, classes=space)
    method = build_method(name, Spec(BITS, 5, 100, space))
    method.load_state_dict(loss.method.state_dict(), strict=False)
    batch = Batch(torch.randperm(100)[:12], torch.randn(12, 5), labels)
    torch.manual_seed(1)
    wanted = method.loss(batch, logits)
    torch.manual_seed(1)
    found = loss.terms(logits, labels)
    assert {key: float(value.detach()) for key, value in found.items()} == pytest.approx(
        {key: float(value.detach()) for key, value in wanted.items()}
    )
    loss(logits, labels).backward()
    assert logits.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in loss.parameters())


def test_the_schedule_follows_the_epoch():
    loss = HashLoss("hashnet", bits=BITS, classes=3, grow=5.0)
    loss.set_epoch(15)
    assert float(loss.method.beta) == pytest.approx(2)  # the square root of 1 + 15 / 5


def test_the_seed_draws_the_centres():
    one, same, other = (HashLoss("csq", bits=24, classes=7, seed=seed).method.centres for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("name", ["adsh", "itq", "shc", "ugach", "cibhash", "ath"])
def test_losses_that_need_more_are_refused_and_others_named(name):
    with pytest.raises(UsageError, match=r"needs more than logits and labels.*csq.*hashnet"):
        HashLoss(name, bits=BITS, classes=3)


def test_a_hierarchy_reaches_the_loss_through_the_label_space():
    with pytest.raises(DataError, match="no hierarchy"):
        HashLoss("shrewd", bits=BITS, classes=4)
    assert HashLoss("shrewd", bits=BITS, classes=TREE).method.distances.shape == (4, 4)


@pytest.mark.parametrize("shape", [(4, 15), (3, 16), (16,)])
def test_logits_that_do_not_fit_are_refused(shape):
    with pytest.raises(UsageError, match="give logits \\(b, 16\\)"):
        HashLoss("csq", bits=BITS, classes=3)(torch.zeros(shape), torch.zeros(4, dtype=torch.int64))


@pytest.mark.parametrize("name", ["csq", "hashnet", "orthohash"])
def test_labels_that_are_no_class_are_refused(name):
    loss, logits = HashLoss(name, bits=BITS, classes=3), torch.ones(2, BITS)
    for labels in ([0, 3], [-2, 0]):
        with pytest.raises(UsageError, match="there are 3 classes; give 0 to 2, or -1"):
            loss(logits, torch.tensor(labels))
    with pytest.raises(UsageError, match="labels have 4 columns; give one for each of the 3 classes"):
        loss(logits, torch.ones(2, 4))


def test_sizes_that_are_no_whole_number_are_refused():
    for wrong in ({"bits": "16"}, {"classes": "3"}, {"classes": 2.0}, {"seed": "x"}):
        with pytest.raises(UsageError, match="give a whole number"):
            HashLoss("csq", **{"bits": 16, "classes": 3, **wrong})
    with pytest.raises(UsageError, match="seed is -1; it must be at least 0"):
        HashLoss("csq", bits=16, classes=3, seed=-1)
    with pytest.raises(UsageError, match="method is 5; give text"):
        HashLoss(5, bits=16, classes=3)
    assert HashLoss("csq", bits=np.int64(16), classes=np.int64(3)).method.spec.bits == 16
