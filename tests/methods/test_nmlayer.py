"""NMLayer: the sheet's numbers, the graph against dropping bits one by one, lengths and phases, bases, digits."""

import itertools

import numpy as np
import pytest
import torch
from digits import SPACE, batch_of, deep_score, learn, learn_deep, resumed_and_whole, score, split

from kinbits import DataError, HashModel, UsageError, fit, open_dataset
from kinbits.heads import Linear, Merged, build_head
from kinbits.methods import Spec, build_method
from kinbits.methods.blocks import (
    bit_correlation,
    code_lengths,
    constant_bits_first,
    greedy_matching,
    importance,
    merge_matrix,
    redundancy_scores,
)
from kinbits.training import FeatureSet, TrainingSettings, train

CODES = torch.tensor([[1.0, 1, 1, -1], [1, 1, -1, 1], [-1, -1, 1, 1], [-1, -1, -1, -1]])
SAME = torch.block_diag(torch.ones(2, 2), torch.ones(2, 2))


def make(bits=4, **params):
    return build_method("nmlayer", Spec(bits, 6, 50, SPACE), **params)


def test_worked_merging():
    codes = torch.tensor([[1.0, 1, -1], [-1, 1, 1], [1, -1, -1]])  # bits 0 and 2 are opposed
    matrix = merge_matrix([(0, 2)], codes)
    z = torch.tensor([0.8, 0.3, -0.6], requires_grad=True)
    merged = z @ matrix
    assert merged.tolist() == pytest.approx([0.3, 0.7])
    merged[1].backward()
    assert z.grad.tolist() == [0.5, 0, -0.5]


def test_worked_redundancy():
    alone, table = importance(CODES, SAME)
    assert alone.tolist() == pytest.approx([0.277778, 0.277778, -0.092593, -0.092593], abs=1e-6)
    wanted = {pair: -0.018519 for pair in itertools.combinations(range(4), 2)} | {(0, 1): 0.611111, (2, 3): 0.018519}
    assert {pair: float(table[pair]) for pair in wanted} == pytest.approx(wanted, abs=1e-6)
    assert greedy_matching(table, 1) == [(0, 1)]


def lost(codes, same, bits):
    """The squared loss on pairs of codes restricted to some bits, from its definition."""
    pairs = [(i, j) for i in range(len(codes)) for j in range(len(codes)) if i != j]
    similar = sum(bool(same[pair]) for pair in pairs)
    r = similar / (len(pairs) - similar)
    values = [(codes[i, bits] @ codes[j, bits] / len(bits) - (1 if same[i, j] else -r)) ** 2 for i, j in pairs]
    return float(sum(values) / len(pairs))


def test_the_graph_is_what_dropping_bits_costs():
    drawn = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 2, (9, 5), generator=drawn) * 2.0 - 1
    labels = torch.randint(0, 3, (9,), generator=drawn)
    same = (labels[:, None] == labels).float()
    alone, table = importance(codes, same)
    rest = lambda *gone: lost(codes, same, [k for k in range(5) if k not in gone])  # noqa: E731
    single = [rest(k) - rest() for k in range(5)]
    assert alone.tolist() == pytest.approx(single, abs=1e-6)
    for k, n in itertools.combinations(range(5), 2):
        assert float(table[k, n]) == pytest.approx(rest(k, n) - rest() - single[k] - single[n], abs=1e-6)


def test_bits_are_merged_once_at_most():
    table = torch.tensor([[0, 9, 8, 1], [9, 0, 2, 3], [8, 2, 0, 4], [1, 3, 4, 0.0]])
    assert greedy_matching(table, 2) == [(0, 1), (2, 3)]


def test_merging_twins_keeps_their_sign_and_all_other_bits():
    z = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
    z[:, 3] = z[:, 1]
    codes = torch.where(z >= 0, 1.0, -1.0)
    merged = z @ merge_matrix([(1, 3)], codes)
    torch.testing.assert_close(merged, z[:, [0, 2, 4, 1]])


def test_a_bit_that_never_changes_is_merged_first_and_leaves_its_place():
    codes = torch.cat([CODES, torch.ones(4, 1)], 1)
    table = importance(codes, SAME)[1]
    (pair,) = greedy_matching(constant_bits_first(table, codes), 1)
    assert 4 in pair
    matrix = merge_matrix([pair], codes)
    assert matrix[4].tolist() == [0] * 4
    assert matrix[pair[0], 3] == 1
    assert torch.isfinite(bit_correlation(codes)).all()
    assert (bit_correlation(codes)[4] == 1).all()


@pytest.mark.parametrize("same", [torch.ones(4, 4), torch.eye(4)])
def test_without_both_kinds_of_pairs_the_graph_is_correlation(same):
    found = redundancy_scores("redundancy", CODES, same, np.random.default_rng(0))
    torch.testing.assert_close(found, bit_correlation(CODES).abs())


def test_lengths_fall_in_equal_steps():
    assert code_lengths(24, 12, 2) == [24, 18, 12]
    assert code_lengths(26, 13, 2) == [26, 20, 13]
    assert code_lengths(64, 16, 3) == [64, 48, 32, 16]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"start": 4}, "must be greater than the 4 bits"),
        ({"start": 3}, "must be greater than the 4 bits"),
        ({"start": 16, "layers": 2}, "more than half in one step"),
        ({"start": 5, "layers": 2}, "each must merge neurons"),
        ({"layers": 0}, "need layers"),
        ({"first": 1.0}, "first from 0 to below 1"),
        ({"active": 0}, "need layers, active >= 1"),
        ({"score": "map"}, "redundancy, correlation, random"),
    ],
)
def test_values_out_of_range_are_refused(params, message):
    with pytest.raises(UsageError, match=message):
        make(**params)


@pytest.mark.parametrize("base", ["adsh", "itq", "ugach", "nmlayer", "dmuh"])
def test_a_base_that_is_more_than_a_loss_is_refused_with_those_that_can(base):
    with pytest.raises(UsageError, match=f"'{base}' cannot be the base of nmlayer.*use one of.*hashnet.*orthohash"):
        make(base=base)


def test_an_unknown_base_is_refused():
    with pytest.raises(UsageError, match="hashnet"):
        make(base="hashnett")


def test_layers_are_frozen_in_time_also_in_a_short_run():
    method = make(layers=2)
    assert method.due(60) == [30, 45]
    assert method.due(15) == [8, 11]
    assert method.due(2) == [1, 1]
    assert method.due(1) == [1, 1]
    for layers, epochs in itertools.product((1, 2, 4), range(2, 30)):
        due = make(layers=layers).due(epochs)
        assert sorted(due) == due
        assert 1 <= due[0] <= due[-1] < epochs


def test_an_active_layer_changes_neither_values_nor_gradients():
    method = make()
    features = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(method.head(features), method.head.layers(features))
    assert method.head.width == 8
    labels = torch.tensor([0, 0, 1, 1, 2])
    plain = build_method("hashnet", Spec(8, 6, 50, SPACE))
    plain.head = method.head.layers
    gradients = []
    for one in (method, plain):
        loss = one.loss(batch_of(labels), one.head(features))["likelihood"]
        gradients.append(torch.autograd.grad(loss, plain.head.layers.weight)[0])
    torch.testing.assert_close(*gradients)


class Watching(FeatureSet):
    """Counts passes over the features."""

    passes = 0

    def chunks(self, modality="image"):
        self.passes += 1
        return super().chunks(modality)


def digits_set(kind=FeatureSet, rows=300):
    _, (images, labels), _ = split()
    return kind(images[:rows], labels[:rows])


@pytest.mark.parametrize(("active", "passes"), [(1, 2), (2, 4)])
def test_the_graph_is_summed_up_while_a_layer_is_active(active, passes):
    data = digits_set(Watching)
    method = build_method("nmlayer", Spec(8, 64, 300, SPACE), active=active)
    seen = []
    end = method.end_epoch
    method.end_epoch = lambda epoch, train: (end(epoch, train), seen.append((method.head.width, data.passes)))
    train(method, data, TrainingSettings(epochs=8, progress=False, accelerator="cpu"))
    assert [width for width, _ in seen] == [16, 16, 16, 12, 12, 8, 8, 8]
    assert seen[-1][1] - seen[0][1] == passes
    assert method.codes_ready
    assert not method.graph.any()


@pytest.mark.parametrize(("base", "kind"), [("orthohash", "linear-batchnorm"), ("hashnet", "linear")])
def test_a_saved_model_rebuilds_the_head_with_exactly_the_bits(tmp_path, base, kind):
    queries, (images, labels), _ = split()
    data = open_dataset(images[:300], labels=labels[:300])
    options = {"method": "nmlayer", "bits": 9, "params": {"base": base}, "epochs": 4}
    model = fit(data, **options, cache=None, progress=False)
    again = HashModel.from_pretrained(model.save_pretrained(tmp_path / "model"))
    codes = again.encode(queries[0])
    assert np.array_equal(codes, model.encode(queries[0]))
    head = again.towers["image"].head
    assert isinstance(head, Merged)
    assert head.config()["inner"]["name"] == kind
    assert (head.merge.shape, head(torch.zeros(2, 64)).shape) == ((18, 9), (2, 9))
    assert ((head.merge != 0).sum(0) <= 4).all()  # two layers of pairs


def test_a_fresh_merged_head_has_its_bits_too():
    head = build_head(Merged(6, 4, Linear(6, 8).config()).config())
    assert head(torch.zeros(3, 6)).shape == (3, 4)
    with pytest.raises(UsageError, match="cannot be merged to 9"):
        Merged(6, 9, Linear(6, 8).config())


def test_only_epochs_with_the_final_length_are_validated():
    queries, _, _ = split()
    method = build_method("nmlayer", Spec(8, 64, 300, SPACE))
    held = FeatureSet(queries[0], queries[1])
    settings = TrainingSettings(epochs=8, validation=0.2, patience=1, progress=False, accelerator="cpu")
    history = train(method, digits_set(), settings, held)
    assert ["validation" in record for record in history.epochs[:6]] == [False] * 5 + [True]
    assert history.best_epoch >= 5
    assert method.codes_ready


@pytest.mark.parametrize("at", [14, 20])
def test_resume_continues_with_the_merged_length(tmp_path, at):
    data = digits_set()
    _, (images, labels), _ = split()
    options = {"epochs": 8, "batch_size": 100, "at": at}  # 3 steps per epoch; layers are frozen after 4 and 6
    resumed, whole = resumed_and_whole(
        "nmlayer", Spec(8, 64, len(data), SPACE), (images[:300], labels[:300]), tmp_path, **options
    )
    assert whole["head.merge"].shape == (16, 8)
    for key, value in whole.items():
        assert torch.equal(resumed[key], value), key


def test_rows_without_labels_are_no_reason_to_merge():
    _, (images, _), _ = split()
    method = build_method("nmlayer", Spec(8, 64, 300, SPACE))
    with pytest.raises(DataError, match="no training row has"):
        train(
            method,
            FeatureSet(images[:300], np.full(300, -1)),
            TrainingSettings(epochs=2, progress=False, accelerator="cpu"),
        )


def test_digits_on_frozen_pixels_beats_itq():
    queries, data, database = split()
    method = learn("nmlayer", 12, *data, epochs=30)
    assert score(method, queries, database) > score(learn("itq", 12, data[0]), queries, database) + 0.1


def test_digits_with_a_network():
    queries, data, database = split()
    method, network = learn_deep("nmlayer", 12, *data, epochs=12)
    assert deep_score(method, network, queries, database) > 0.9


@pytest.mark.slow
def test_the_graph_finds_alike_bits_without_looking_for_them(monkeypatch):
    """Over three seeds: correlation of the pairs that are merged, by the labels' score and at random."""
    from kinbits.methods import nmlayer

    found = {"redundancy": [], "random": []}

    def watched(pairs, codes):
        values = bit_correlation(codes).abs()
        found[kind].extend(float(values[pair]) for pair in pairs)
        return merge_matrix(pairs, codes)

    monkeypatch.setattr(nmlayer, "merge_matrix", watched)
    for seed, kind in itertools.product(range(3), found):
        learn("nmlayer", 12, *split()[1], epochs=60, seed=seed, score=kind)
    assert np.mean(found["redundancy"]) > 1.5 * np.mean(found["random"])
