"""Heads with trained codebooks: plain loops, words chosen by logits, and the way to a saved model."""

import numpy as np
import pytest
import torch

from kinbits import HashModel, UsageError
from kinbits.backbones import load_backbone
from kinbits.hamming import table_distances
from kinbits.heads import LogitProductHead, SoftProductHead
from kinbits.model import Tower

HEADS = (SoftProductHead, LogitProductHead)


def made(cls, **options):
    torch.manual_seed(0)
    return cls(6, 12, 16, width=2, **options)


def vectors(rows=20, dims=6, seed=1):
    return torch.randn(rows, dims, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("hidden", [0, 5])
@pytest.mark.parametrize("cls", HEADS)
def test_words_and_maps_are_trained(cls, hidden):
    head = made(cls, hidden=hidden)
    names = {name.partition(".")[0] for name, _ in head.named_parameters()}
    assert names == {"layers", "books"} | ({"maps"} if cls is LogitProductHead else set())
    assert head(vectors()).shape == (20, 6)


@pytest.mark.parametrize("cls", HEADS)
def test_a_mixture_is_a_weighted_sum_by_a_loop(cls):
    head = made(cls)
    weights = torch.rand(4, 3, 16, generator=torch.Generator().manual_seed(2))
    mixed = head.mix(weights)
    for row in range(4):
        for part in range(3):
            wanted = sum(float(weights[row, part, k]) * head.books[part, k].detach() for k in range(16))
            assert torch.allclose(mixed[row, 2 * part : 2 * part + 2], wanted, atol=1e-5)


def test_words_are_chosen_by_logits_and_queries_are_soft():
    head = made(LogitProductHead)
    x = vectors()
    codes, tables = head.codes(x), head.tables(x[:3])
    with torch.no_grad():
        outputs = head(x)
        for row in range(3):
            soft = []
            for part in range(3):
                scores = [float(outputs[row, 2 * part : 2 * part + 2] @ head.maps[part, :, k]) for k in range(16)]
                assert int(head.numbers(outputs)[row, part]) == int(np.argmax(scores))
                p = np.exp(scores) / np.exp(scores).sum()
                soft.append(sum(p[k] * head.books[part, k].numpy() for k in range(16)))
            distances = ((np.concatenate(soft) - head.decode(codes).numpy()) ** 2).sum(1)
            assert np.allclose(table_distances(tables[row : row + 1], codes)[0], distances, atol=1e-4)


def test_the_symmetric_distance_is_that_between_words():
    head = made(LogitProductHead)
    codes = head.codes(vectors())
    stands = head.decode(codes)
    wanted = torch.cdist(stands, stands, compute_mode="donot_use_mm_for_euclid_dist").square()
    assert np.allclose(table_distances(head.code_tables(codes), codes), wanted, atol=1e-4)


def test_norms_are_roots_of_the_squared_distances():
    plain, norms = made(SoftProductHead), made(SoftProductHead, metric="norms")
    norms.load_state_dict(plain.state_dict())
    assert np.allclose(norms.tables(vectors()) ** 2, plain.tables(vectors()), atol=1e-5)
    assert np.array_equal(norms.codes(vectors()), plain.codes(vectors()))


@pytest.mark.parametrize("metric", ["euclidean", "norms", "inner", "cosine"])
def test_every_metric_centres_its_inputs(metric):
    head = made(SoftProductHead, metric=metric)
    head.standardise([vectors(500) + 3])
    assert torch.allclose(head.standard(vectors(500) + 3).mean(0), torch.zeros(6), atol=1e-4)


@pytest.mark.parametrize("cls", HEADS)
def test_a_saved_model_has_the_same_codes_and_tables(cls, tmp_path):
    model = HashModel({"image": Tower(load_backbone("features", dim=6), made(cls, hidden=4, metric="norms"))})
    model.save_pretrained(tmp_path / "model")
    again = HashModel.from_pretrained(tmp_path / "model")
    x = vectors().numpy()
    assert np.array_equal(again.encode(x), model.encode(x))
    assert np.array_equal(again.towers["image"].head.tables(vectors()), model.towers["image"].head.tables(vectors()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width >= 1"),
        ({"hidden": -1}, "hidden >= 0"),
        ({"metric": "l3"}, "metric='l3'"),
        ({"words": 7}, "words=7"),
        ({"words": 2}, "words=2"),
        ({"bits": 10}, "multiple of 4"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        SoftProductHead(**{"features": 6, "bits": 12, "words": 16, **options})
