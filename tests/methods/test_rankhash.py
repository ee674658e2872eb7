"""RankHash: the sheet's numbers, the losses in plain loops, invariances, batches, resuming, digits."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from digits import batch_of, codes, learn, resumed_and_whole
from sklearn.datasets import load_digits

import kinbits
from kinbits import DataError, HashModel, UsageError, hamming
from kinbits.heads import Decoder, Mlp
from kinbits.methods import Spec, build_method
from kinbits.methods.blocks import listwise_loss, neighbours_within, pairwise_hinge
from kinbits.training import FeatureSet

POINTS = torch.tensor([[0.0, 0], [1, 0], [0, 2], [3, 3]])
CODES = torch.tensor([[1.0, 1, 1, 1], [1, 1, 1, -1], [1, 1, -1, -1], [-1, -1, -1, -1]])


def make(bits=4, features=2, rows=50, **params):
    torch.manual_seed(0)
    return build_method("rankhash", Spec(bits, features, rows), **{"targets": 1, **params})


def random_case(rows=9, bits=6, seed=0):
    rng = np.random.default_rng(seed)
    points = torch.from_numpy(rng.normal(size=(rows, 3)).astype(np.float32))
    return points, torch.from_numpy(np.where(rng.random((rows, bits)) < 0.5, 1.0, -1.0).astype(np.float32))


def test_the_worked_losses_of_four_points():
    found = make(temperature=1.0).order(POINTS, CODES)
    assert found.tolist() == pytest.approx([0.3490, 0.7586, 1.5514, 0.4076], abs=1e-4)
    assert float(found.mean()) == pytest.approx(0.7667, abs=1e-4)
    assert float(make(temperature=0.25).order(POINTS, CODES).mean()) == pytest.approx(1.1915, abs=1e-4)


@pytest.mark.parametrize(
    ("distances", "temperature", "wanted"),
    [([0.0, 1, 2, 3], 1.0, 0.9402), ([0.0, 1, 2, 3], 0.5, 1.1451), ([0.0, 0, 99, 99], 1.0, math.log(2))],
)
def test_the_worked_losses_of_one_query(distances, temperature, wanted):
    near = torch.tensor([[True, True, False, False]])
    everything = torch.ones(1, 4, dtype=torch.bool)
    assert float(listwise_loss(torch.tensor([distances]), near, everything, temperature)) == pytest.approx(
        wanted, abs=1e-4
    )


@pytest.mark.parametrize("targets", [1, 3])
def test_the_listwise_loss_is_the_equation(targets):
    points, signs = random_case()
    method = make(6, 3, targets=targets, temperature=0.7)
    for i, found in enumerate(method.order(points, signs).tolist()):
        others = [j for j in range(9) if j != i]
        nearest = sorted(others, key=lambda j: float((points[i] - points[j]).square().sum()))[:targets]
        d = {j: int((signs[i] != signs[j]).sum()) for j in others}
        total = sum(math.exp(-d[j] / 0.7) for j in others)
        wanted = -sum(math.log(math.exp(-d[j] / 0.7) / total) for j in nearest) / targets
        assert found == pytest.approx(wanted, abs=1e-5)


def test_the_pairwise_loss_is_the_hinge_over_pairs_of_a_near_and_a_far_row(monkeypatch):
    points, signs = random_case()
    near, others = neighbours_within(points, 2)
    distances = (6 - signs @ signs.T) / 2
    real, drawn = torch.multinomial, []

    def recorded(*arguments, **options):
        drawn.append(real(*arguments, **options))
        return drawn[-1]

    monkeypatch.setattr(torch, "multinomial", recorded)
    found = pairwise_hinge(distances, near, others, 2.0, 5)
    for i in range(9):
        pairs = list(zip(drawn[0][i].tolist(), drawn[1][i].tolist(), strict=True))
        assert all(near[i, j] and not near[i, far] and far != i for j, far in pairs)
        hinges = [max(0.0, 2.0 + float(distances[i, j] - distances[i, far])) for j, far in pairs]
        assert float(found[i]) == pytest.approx(sum(hinges) / 5, abs=1e-5)


def test_all_terms_add_up_and_the_decoder_sees_bits_not_the_soft_code():
    points, _ = random_case()
    logits = torch.randn(9, 6, generator=torch.Generator().manual_seed(3))
    method = make(6, 3, reconstruction=4.0, balance=0.5)
    method.variance.fill_(2.5)
    terms = method.loss(batch_of(features=points), logits)
    signs = torch.where(logits >= 0, 1.0, -1.0)
    missed = [(method.decoder(signs[i : i + 1])[0] - points[i]).square().sum().detach() for i in range(9)]
    wanted = 4.0 * float(sum(missed)) / (9 * points.shape[1] * 2.5)
    assert float(terms["reconstruction"].detach()) == pytest.approx(wanted, rel=1e-5)
    u = torch.tanh(logits)
    assert float(terms["balance"]) == pytest.approx(
        0.5 * sum(float(u[:, k].mean()) ** 2 for k in range(6)) / 6, abs=1e-6
    )
    assert float(terms["rank"]) == pytest.approx(float(method.order(points, signs).mean()), abs=1e-6)


@pytest.mark.parametrize("rank", ["listwise", "none"])
def test_the_gradient_is_that_of_tanh_straight_through_the_sign(rank):
    points, _ = random_case()
    logits = torch.randn(9, 6, generator=torch.Generator().manual_seed(4), requires_grad=True)
    method = make(6, 3, rank=rank)
    torch.stack(list(method.loss(batch_of(features=points), logits).values())).sum().backward()
    signs = torch.where(logits.detach() >= 0, 1.0, -1.0).requires_grad_()
    total = method.reconstruction * (method.decoder(signs) - points).square().mean()
    (total + (method.order(points, signs).mean() if rank != "none" else 0)).backward()
    torch.testing.assert_close(logits.grad, signs.grad * (1 - torch.tanh(logits.detach()) ** 2))


def test_a_logit_of_zero_is_a_one_as_in_the_packed_code():
    method = make(4, 2, rank="none")
    zero, small = torch.zeros(3, 4), torch.full((3, 4), 1e-3)
    batch = batch_of(features=POINTS[:3])
    at_zero, above = (float(method.loss(batch, logits)["reconstruction"].detach()) for logits in (zero, small))
    assert at_zero == above


def test_flipped_and_permuted_bits_and_moved_features_lose_the_same_and_a_shuffle_permutes():
    points, signs = random_case(12, 8)
    method = make(8, 3, targets=3)
    loss = method.order(points, signs)
    flipped = signs * torch.tensor([1.0, -1, 1, 1, -1, 1, 1, 1])
    order = torch.tensor([5, 2, 9, 0, 11, 3, 7, 1, 8, 4, 6, 10])
    for same in (method.order(points, flipped), method.order(points, signs[:, order[order < 8]])):
        torch.testing.assert_close(same, loss)
    torch.testing.assert_close(method.order(points + 5.0, signs), loss)
    torch.testing.assert_close(method.order(points[order], signs[order]), loss[order])


def test_copies_of_an_image_are_no_targets_and_do_not_compete():
    points, signs = random_case()
    method = make(6, 3, targets=2)
    alone = method.order(points, signs)
    twice = torch.cat([points, points[:1]]), torch.cat([signs, signs[:1]])
    near, others = neighbours_within(twice[0], 2)
    assert not others[0, 9]
    assert not others[9, 0]
    assert not (near & ~others).any()
    assert float(method.order(*twice)[0]) == pytest.approx(float(alone[0]), abs=1e-5)
    for rank in ("listwise", "pairwise"):
        still = make(6, 3, rank=rank).order(torch.ones(5, 3), signs[:5].clone().requires_grad_())
        assert still.tolist() == [0.0] * 5


def test_a_small_last_batch_still_has_rows_that_are_no_targets():
    near, others = neighbours_within(random_case()[0], 50)
    assert near.sum(1).tolist() == [4] * 9
    assert others.sum(1).tolist() == [8] * 9


def test_a_batch_of_copies_weighs_no_more_than_any_other():
    images = np.random.default_rng(0).normal(3, 2, size=(50, 3)).astype(np.float32)
    method, data = make(6, 3), FeatureSet(images)
    method.prepare(data)
    assert float(method.variance) == pytest.approx(images.var(0).mean(), rel=1e-5)
    copies = method.loss(data.batch(np.zeros(4, int), [0]), torch.randn(4, 6))
    assert float(copies["reconstruction"].detach()) < 20 * method.reconstruction


def test_a_trained_backbone_is_ranked_by_what_it_said_before_training():
    points, signs = random_case()
    method = make(6, 3, temperature=1.0)
    batch = replace(batch_of(features=torch.randn(9, 3)), ema_features=points)
    assert torch.equal(method.loss(batch, signs)["rank"], method.order(points, signs).mean())


def test_without_joint_training_the_decoder_leaves_the_encoder_alone():
    points, _ = random_case()
    for joint in (True, False):
        logits = torch.randn(9, 6, requires_grad=True)
        make(6, 3, joint=joint).loss(batch_of(features=points), logits)["reconstruction"].backward()
        assert (logits.grad is not None) == joint


def test_large_sets_are_batched_as_seeds_with_their_neighbours():
    images = np.random.default_rng(0).normal(size=(2600, 4)).astype(np.float32)
    method, data = make(4, 4, 2600, neighbours=6), FeatureSet(images)
    method.prepare(data)
    groups = method.epoch_rows(0, data).numpy()
    assert groups.shape == (650, 4)
    assert len(set(groups[:, 0])) == 650
    for seed, *drawn in groups[::50]:
        nearest = np.argsort(((images - images[seed]) ** 2).sum(1))[1:7]
        assert len(set(drawn)) == 3
        assert set(drawn) <= set(nearest)
    assert make(4, 4, 2600, neighbours=0).epoch_rows(0, data) is None
    assert make(4, 4, 2560).epoch_rows(0, data) is None


def test_resuming_keeps_the_lists_and_the_decoder(tmp_path, monkeypatch):
    images = np.random.default_rng(0).normal(size=(120, 6)).astype(np.float32)
    method = type(make())
    monkeypatch.setattr(method, "recipe", type(method.recipe)(epochs=4, batch_size=8))
    spec = Spec(8, 6, 120)
    again, whole = resumed_and_whole("rankhash", spec, (images,), tmp_path, epochs=4, batch_size=40, at=7, targets=3)
    assert whole["near"].shape == (120, 50)
    assert (whole["near"].max(1).values > 0).all()
    assert any(key.startswith("decoder.") for key in whole)
    assert all(torch.equal(again[key], whole[key]) for key in whole)


def test_an_image_trained_with_its_backbone_has_a_decoder_too():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (40, 16, 16, 3), dtype=np.uint8)
    model = kinbits.fit(
        images, method="rankhash", bits=9, params={"targets": 3}, backbone="convnet-small", epochs=2,
        batch_size=20, finetune=True, progress=False, cache=None,
    )  # fmt: skip
    assert model.reconstruct(model.encode(images)).shape == model.encode(images, output="features").shape


def test_reconstructed_features_compare_with_the_query_s_own_and_survive_saving(tmp_path):
    images = split_digits()[1] * 3 + 7  # far from centred: a forgotten mean or scale would show
    model = kinbits.fit(images, method="rankhash", bits=32, epochs=15, progress=False, cache=None)
    guessed = model.reconstruct(model.encode(images))
    assert ((guessed - images) ** 2).sum() < 0.35 * ((images - images.mean(0)) ** 2).sum()
    again = HashModel.from_pretrained(model.save_pretrained(tmp_path / "model"))
    assert np.array_equal(again.reconstruct(model.encode(images)), guessed)
    assert again.fingerprint == model.fingerprint
    assert model.reconstruct(np.zeros((0, 4), np.uint8)).shape == (0, 64)
    assert "decoder" in (tmp_path / "model" / "README.md").read_text()


def test_a_head_restores_what_it_standardised():
    head, images = Mlp(5, 4), torch.randn(20, 5) * 3 + 10
    head.standardise([images])
    torch.testing.assert_close(head.restore(head.standard(images)), images)


def test_no_reconstruction_means_no_decoder():
    model = kinbits.fit(split_digits()[1][:60], method="rankhash", bits=8, epochs=1, progress=False,
                        cache=None, params={"reconstruction": 0.0})  # fmt: skip
    assert model.decoder is None
    with pytest.raises(UsageError, match="no decoder"):
        model.reconstruct(np.zeros((1, 1), np.uint8))


@pytest.mark.parametrize(
    "params",
    [{"targets": 0}, {"temperature": -1.0}, {"rank": "triplet"}, {"neighbours": 2}, {"rank": "none", "joint": False},
     {"rank": "none", "reconstruction": 0.0}],
)  # fmt: skip
def test_values_out_of_range_are_refused_by_their_name(params):
    with pytest.raises(UsageError, match=f"^{next(iter(params))} (is [^,]*;|'none' learns)"):
        make(**params)


def test_features_that_rank_nothing_are_refused():
    images = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)
    with pytest.raises(DataError, match="fewer targets"):
        learn("rankhash", 8, images, targets=30, epochs=1)
    with pytest.raises(DataError, match="no order to keep"):
        learn("rankhash", 8, np.ones((30, 6), np.float32), epochs=1)
    images[3, 2] = np.nan
    with pytest.raises(DataError, match="not finite"):
        learn("rankhash", 8, images, epochs=1)


def split_digits():
    """Return 297 queries, 1,500 others, and the 10 nearest of these for each query."""
    x = (load_digits().data / 16).astype(np.float32)
    order = np.random.RandomState(0).permutation(len(x))
    queries, database = x[order[:297]], x[order[297:]]
    distances = ((queries[:, None] - database[None]) ** 2).sum(2)
    return queries, database, np.argsort(distances, axis=1, kind="stable")[:, :10]


def recall(name, params, ranked=True):
    """Return recall of the 10 nearest in the first 10, 50 and 100 by codes, and in the first 10 re-ranked."""
    queries, database, wanted = split_digits()
    method = learn(name, 32, database, **params)
    asked, stored = codes(method.head, queries), codes(method.head, database)
    _, rows = hamming.topk(asked, stored, 100)
    orders = [rows[:, :10], rows[:, :50], rows]
    if method.decoder is not None and ranked:
        orders.append(reranked(method.head, method.decoder, queries, stored, rows)[:, :10])
    return [np.mean([len({*a} & {*b}) / 10 for a, b in zip(found, wanted, strict=True)]) for found in orders]


@torch.no_grad()
def reranked(head, decoder, queries, stored, rows):
    signs = torch.from_numpy(hamming.unpack(stored, 32)).float() * 2 - 1
    guessed = head.restore(decoder(signs)).numpy()
    far = ((queries[:, None] - guessed[rows]) ** 2).sum(2)
    return np.take_along_axis(rows, np.argsort(far, axis=1, kind="stable"), axis=1)


@pytest.mark.slow
def test_digits_the_rank_loss_finds_more_and_reranking_orders_better():
    listed, plain, paired = (recall("rankhash", {"rank": rank}) for rank in ("listwise", "none", "pairwise"))
    assert listed[1] > plain[1]
    assert listed[2] > plain[2]
    assert paired[1] > plain[1]
    for found in (listed, plain, paired):
        assert found[3] > found[0] + 0.1
    lsh, itq = recall("lsh", {}), recall("itq", {})
    assert all(ours > theirs for ours, theirs in zip(listed, lsh, strict=False))
    assert listed[3] > itq[0] + 0.05


def test_digits_an_untrained_decoder_hurts():
    queries, database, wanted = split_digits()
    method = learn("rankhash", 32, database, epochs=8)
    asked, stored = codes(method.head, queries), codes(method.head, database)
    _, rows = hamming.topk(asked, stored, 100)
    torch.manual_seed(0)

    def found(decoder):
        ordered = reranked(method.head, decoder, queries, stored, rows)[:, :10]
        return np.mean([len({*a} & {*b}) / 10 for a, b in zip(ordered, wanted, strict=True)])

    by_code = np.mean([len({*a} & {*b}) / 10 for a, b in zip(rows[:, :10], wanted, strict=True)])
    assert found(Decoder(32, 64)) < 0.3 < by_code < found(method.decoder)
