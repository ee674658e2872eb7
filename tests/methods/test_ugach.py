"""UGACH: the sheet's numbers, graph and draws, two optimizers, resuming, digits cut in halves."""

import math

import numpy as np
import pytest
import torch
from digits import both_ways, halves, resumed_and_whole
from digits import learn as learn_any

from kinbits import DataError, UsageError
from kinbits.methods import Spec, build_method
from kinbits.methods.blocks import nearest_rows
from kinbits.methods.ugach import delta, draw, hinge, log_policy, masked_mean, union
from kinbits.training import FeatureSet

Q = torch.tensor([[0.9, 0.1, 0.8, 0.2]])
OTHERS = torch.tensor([[0.8, 0.2, 0.9, 0.1], [0.2, 0.9, 0.7, 0.3], [0.5, 0.5, 0.5, 0.5]])
FREE = torch.zeros(1, 3, dtype=torch.bool)


def test_the_worked_distances_hinges_and_rewards():
    apart = delta(Q, OTHERS)[0]
    assert apart.tolist() == pytest.approx([0.04, 1.15, 0.50], abs=1e-6)
    assert float(hinge(apart[0], apart[1], 0.5)) == 0
    hard = hinge(apart[0], apart, 2.0)
    assert float(hard[1]) == pytest.approx(0.89, abs=1e-6)
    assert torch.sigmoid(hard).tolist() == pytest.approx([0.880797, 0.708890, 0.823465], abs=1e-6)


def test_the_worked_policy_and_its_loss():
    scores, picks = -delta(Q, OTHERS), torch.tensor([[1, 2]])
    everything = log_policy(scores, FREE, torch.tensor([[0, 1, 2]]), "pool").exp()
    assert everything[0].tolist() == pytest.approx([0.509985, 0.168070, 0.321945], abs=1e-6)
    rewards = torch.tensor([[0.708890, 0.823465]])
    for over, wanted in (("pool", 1.098755), ("selected", 0.552226)):
        loss = masked_mean(-rewards * log_policy(scores, FREE, picks, over), ~FREE[:, :2])
        assert float(loss) == pytest.approx(wanted, abs=1e-5)


def test_draws_follow_the_softmax_and_never_take_a_blocked_row():
    torch.manual_seed(0)
    scores = torch.log(torch.tensor([0.1, 0.2, 0.3, 0.4])).repeat(40_000, 1)
    blocked = torch.tensor([False, False, False, True]).expand_as(scores)
    picks, free = draw(scores, blocked, 2)
    assert free.all()
    assert (picks[:, 0] != picks[:, 1]).all()
    share = torch.bincount(picks[:, 0], minlength=4) / 40_000
    assert share.tolist() == pytest.approx([1 / 6, 2 / 6, 3 / 6, 0], abs=0.01)


def test_queries_without_a_free_candidate_do_not_count():
    blocked = torch.tensor([[True, True, True], [True, False, True]])
    picks, free = draw(torch.zeros(2, 3), blocked, 2)
    assert free.sum(1).tolist() == [0, 1]
    for over in ("selected", "pool"):
        logs = log_policy(torch.zeros(2, 3, requires_grad=True), blocked, picks, over)
        masked_mean(logs, free).backward()
        assert math.isfinite(float(masked_mean(logs, free).detach()))
    assert float(masked_mean(torch.ones(2, 2), torch.zeros(2, 2))) == 0


def test_the_graph_joins_distinct_neighbours_of_both_modalities():
    image = np.array([[0, 1, 2], [1, 0, 2], [2, 3, 1], [3, 2, 0]])
    text = np.array([[0, 3, 1], [1, 0, 2], [2, 0, 3], [3, 1, 2]])
    text[3] = 3  # a row without words
    joined, degree = union(image, text)
    assert degree.tolist() == [4, 3, 4, 3]
    sets = [set(row[:d].tolist()) for row, d in zip(joined, degree, strict=True)]
    assert sets == [{0, 1, 2, 3}, {0, 1, 2}, {0, 1, 2, 3}, {0, 2, 3}]
    assert (joined[:, 0] == np.arange(4)).all()
    assert joined[1, 3:].tolist() == [1, 1, 1]


def learn(left, right, seed=0, **params):
    defaults = {"epochs": 8, "hidden": 128}
    return learn_any("ugach", 16, left, texts=right, seed=seed, **{**defaults, **params})


def test_digits_graph_beats_pairs_beats_nothing_and_the_generator_does_no_harm():
    queries, database = halves()
    left, right, labels = database
    settings = {
        "untrained": {"epochs": 0},
        "pairs": {"kappa": 1},
        "graph": {},
        "generator": {"generator": True},
    }
    reached = {
        name: np.mean([both_ways(learn(left, right, seed, **params), queries, database) for seed in range(2)])
        for name, params in settings.items()
    }
    assert reached["pairs"] > reached["untrained"] + 0.2
    assert reached["graph"] > reached["pairs"]
    assert reached["generator"] > reached["graph"] - 0.005
    method = learn(left, right, epochs=0)
    kept = np.arange(10) < method.degree.numpy()[:, None]
    assert method.degree.float().mean() == pytest.approx(8.45, abs=0.3)
    right_ones = labels[method.graph.numpy()] == labels[:, None]
    assert right_ones[kept].mean() == pytest.approx(0.897, abs=0.04)


def test_swapping_the_modalities_swaps_the_directions():
    queries, database = halves()
    there, back = both_ways(learn(*database[:2]), queries, database)
    swapped = [(right, left, labels) for left, right, labels in (queries, database)]
    there_again, back_again = both_ways(learn(*swapped[1][:2]), *swapped)
    assert there_again == pytest.approx(back, abs=0.06)
    assert back_again == pytest.approx(there, abs=0.06)


def pairs(n=80):
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(n, 4))
    make = lambda width: (hidden @ rng.normal(size=(4, width))).astype(np.float32)  # noqa: E731
    return make(6), make(5)


def spec(n=80):
    return Spec(8, 6, n, text_dim=5)


def test_the_graph_is_the_union_of_brute_force_neighbours():
    left, right = pairs()
    method = learn_any("ugach", 8, left, texts=right, epochs=0, kappa=4)
    data = FeatureSet(left, texts=right)
    lists = nearest_rows(data, 4), nearest_rows(data, 4, "text")
    for row in range(80):
        own = set(method.graph[row, : method.degree[row]].tolist())
        assert own == set(lists[0][row]) | set(lists[1][row])
        assert row in own


def test_a_row_without_words_is_linked_by_its_image_only():
    left, right = pairs()
    right[5] = 0
    method = learn_any("ugach", 8, left, texts=right, epochs=0, kappa=4)
    assert set(method.graph[5].tolist()) == set(nearest_rows(FeatureSet(left), 4)[5])


def test_rows_without_words_are_no_text_neighbours_and_take_no_part_as_text():
    left, right = pairs()
    right[60:] = 0
    method = learn_any("ugach", 8, left, texts=right, epochs=0, kappa=4)
    alone = nearest_rows(FeatureSet(right[:60]), 4)
    images = nearest_rows(FeatureSet(left), 4)
    for row in range(60):
        assert set(method.graph[row, : method.degree[row]].tolist()) == set(alone[row]) | set(images[row])
    trained = [learn_any("ugach", 8, left, texts=words, epochs=1, kappa=1, seed=3) for words in (right, right.copy())]
    assert torch.equal(trained[0].head.layers[0].weight, trained[1].head.layers[0].weight)
    silent = build_method("ugach", spec(), hidden=8, pool=79, generator=True)
    data = FeatureSet(left, texts=np.zeros_like(right))
    silent.prepare(data)
    silent.start_epoch(0, data)
    batch = data.batch(np.arange(20), [0])
    assert all(float(term.detach()) == 0 for term in silent._turn(batch, "image", "text").values())
    assert all(float(term.detach()) == 0 for term in silent._turn(batch, "text", "image").values())


def test_discriminator_and_generator_are_trained_by_their_own_optimizers():
    method = build_method("ugach", spec(), hidden=8, generator=True)
    ours, rivals = method.parameter_lists()
    assert len(ours) == len(rivals) == 8
    assert not {id(p) for p in ours} & {id(p) for p in rivals}
    assert len(build_method("ugach", spec(), hidden=8).parameter_lists()) == 1
    torch.manual_seed(0)
    trained = learn_any("ugach", 8, pairs()[0], texts=pairs()[1], epochs=1, hidden=8, pairs_only=1, generator=True)
    torch.manual_seed(0)
    start = build_method("ugach", spec(), hidden=8, generator=True)
    moved = [
        [not torch.equal(a, b) for a, b in zip(one, two, strict=True)]
        for one, two in zip(trained.parameter_lists(), start.parameter_lists(), strict=True)
    ]
    assert all(moved[0])
    assert not any(moved[1]), "the generator must rest during pre-training"


def test_resuming_gives_the_same_towers_and_rivals(tmp_path):
    left, right = pairs()
    again, whole = resumed_and_whole(
        "ugach",
        spec(),
        (left, None, right),
        tmp_path,
        epochs=4,
        batch_size=30,
        at=7,
        hidden=8,
        pairs_only=1,
        generator=True,
    )
    assert any(key.startswith("text_rival") for key in whole)
    assert all(torch.equal(again[key], whole[key]) for key in whole)


def test_nothing_of_the_data_stays_in_a_trained_method():
    left, right = pairs()
    assert learn_any("ugach", 8, left, texts=right, epochs=1, hidden=8, generator=True)._features == {}


def test_data_that_cannot_serve_are_refused():
    with pytest.raises(DataError, match="no text"):
        build_method("ugach", Spec(8, 6, 80))
    left, right = pairs(10)
    with pytest.raises(DataError, match="more than 10"):
        learn_any("ugach", 8, left, texts=right, epochs=1)


@pytest.mark.parametrize(
    "params", [{"kappa": 0}, {"pool": 2}, {"margin": -1.0}, {"policy_norm": "all"}, {"negatives": 0}]
)
def test_values_out_of_range_are_refused_by_their_name(params):
    with pytest.raises(UsageError, match=f"^{next(iter(params))} is [^,]*;"):
        build_method("ugach", spec(), **params)
