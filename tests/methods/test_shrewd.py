"""SHREWD: the sheet's numbers, the equations in plain loops, where distances come from, and a toy tree."""

import math

import numpy as np
import pytest
import torch
from digits import batch_of, codes, resumed_and_whole
from tree import GROUPS, SPACE, learn, scores, split

from kinbits import DataError, UsageError, hamming
from kinbits.data import LabelSpace
from kinbits.methods import Spec, build_method
from kinbits.methods.blocks import label_distances
from kinbits.methods.shrewd import divergence

Z = torch.tensor([[0.0, 0], [1, 0], [1, 1]])
APART = torch.tensor([[0, 0.5, 1], [0.5, 0, 1], [1, 1, 0]])


def make(space=SPACE, bits=8, **params):
    return build_method("shrewd", Spec(bits, 3, 10, space), **params)


@pytest.mark.parametrize(("rho", "wanted"), [(0.0, 0.3), (2.0, 0.232584)])
@pytest.mark.parametrize(("scale", "unit"), [(1, 1), (3, 7)])
def test_only_the_ratios_of_distances_count(rho, wanted, scale, unit):
    found = make(rho=rho)._similarity(scale * Z, unit * APART)
    assert float(found) == pytest.approx(wanted, abs=1e-6)


def test_proportional_distances_cost_nothing():
    assert float(make()._similarity(Z, 5 * torch.cdist(Z, Z, p=1.0))) == pytest.approx(0, abs=1e-6)


def test_the_scale_of_the_codes_is_learned_too():
    z = Z.clone().requires_grad_()
    make(rho=0.0)._similarity(z, APART).backward()
    assert float((z.grad * z.detach()).sum()) == pytest.approx(0, abs=1e-6)  # no gain from growing all codes


def test_the_divergence_is_the_worked_number():
    found = divergence(torch.tensor([[0.1], [0.8]]), torch.tensor([[0.0], [1.0]]), 1)
    assert float(found) == pytest.approx(-1.59934, abs=1e-5)


def test_the_divergence_ranks_laws():
    torch.manual_seed(0)
    law = torch.distributions.Beta(0.1, 0.1)
    corners = (torch.rand(256, 16) < 0.5).float() + 1e-3 * torch.randn(256, 16)
    laws = [law.sample((256, 16)), corners, torch.rand(256, 16), 0.5 + 0.01 * torch.randn(256, 16)]
    found = [float(divergence(z, law.sample((256, 16)), 1)) for z in laws]
    assert found == sorted(found)
    assert found == pytest.approx([0.0, 0.06, 0.37, 3.89], abs=0.1)


def naive(z, apart, reference, neighbours, gamma, rho):
    rows = range(len(z))
    pairs = [(i, j) for i in rows for j in rows if i != j]
    city = {(i, j): sum(abs(a - b) for a, b in zip(z[i], z[j], strict=True)) for i, j in pairs}
    scale = sum(city.values()) / len(pairs)
    unit = sum(apart[i][j] for i, j in pairs) / len(pairs)
    weights = {(i, j): gamma**rho / (gamma + apart[i][j] / unit) ** rho for i, j in pairs}
    mean = sum(weights.values()) / len(pairs)
    fit = sum(weights[p] / mean * abs(city[p] / scale - apart[p[0]][p[1]] / unit) for p in pairs) / len(pairs)
    total = 0.0
    for i in rows:
        far = sorted(math.dist(z[i], other) for other in reference)[:neighbours]
        near = sorted(math.dist(z[i], z[j]) for j in rows if j != i)[:neighbours]
        total += sum(math.log(a) - math.log(b) for a, b in zip(far, near, strict=True))
    return fit, total / len(z) / neighbours


@pytest.mark.parametrize("neighbours", [1, 3])
@pytest.mark.parametrize("multi", [False, True])
def test_the_loss_is_the_equation(multi, neighbours):
    space = LabelSpace(SPACE.names, multi, SPACE.parents, SPACE.parent_names)
    method = make(space, neighbours=neighbours, kl=0.5)
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(9, 8, generator=generator)
    labels = torch.tensor([0, 1, 4, -1, 9, 15, 2, 0, 7])
    sets = [{c} if c >= 0 else set() for c in labels.tolist()]
    if multi:
        sets = [members | {(3 * i) % 16} if members else members for i, members in enumerate(sets)]
        labels = torch.tensor([[float(c in members) for c in range(16)] for members in sets])
    torch.manual_seed(5)
    terms = method.loss(batch_of(labels), logits)
    torch.manual_seed(5)
    reference = torch.distributions.Beta(0.1, 0.1).sample((8, 8))
    kept = [i for i, members in enumerate(sets) if members]
    table = 1 - SPACE.class_similarity()
    apart = [[np.mean([[table[a, b] for b in sets[j]] for a in sets[i]]) for j in kept] for i in kept]
    fit, kl = naive(torch.sigmoid(logits[kept]).tolist(), apart, reference.tolist(), neighbours, 0.1, 2.0)
    assert float(terms["similarity"]) == pytest.approx(fit, abs=1e-5)
    assert float(terms["kl"]) == pytest.approx(0.5 * kl, abs=1e-5)


@pytest.mark.parametrize("labels", [[3] * 8, [-1] * 8, [0, 1, -1, -1, -1, -1, -1, -1], list(range(8))])
def test_any_batch_is_finite_with_equal_codes_too(labels):
    logits = torch.zeros(8, 8, requires_grad=True)
    loss = sum(make(classification=1.0).loss(batch_of(torch.tensor(labels)), logits).values())
    loss.backward()
    assert math.isfinite(float(loss.detach()))
    assert torch.isfinite(logits.grad).all()


def test_without_a_classifier_only_the_distances_of_labels_matter():
    method, logits = make(kl=0.0), torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 4, 5, 9])
    swapped = torch.tensor([1, 0, 3, 6, 7, 12])  # other classes, equally far apart
    one, other = (float(method.loss(batch_of(y), logits)["similarity"]) for y in (labels, swapped))
    assert one == pytest.approx(other, abs=1e-7)


def test_distances_are_those_of_the_hierarchy():
    table = label_distances(SPACE)
    assert np.array_equal(np.unique(table), [0, 0.5, 1])
    assert ((table == 1) == (GROUPS[:, None] != GROUPS)).all()
    assert (table.diagonal() == 0).all()


def test_distances_are_those_of_embeddings(tmp_path):
    path = tmp_path / "words.npy"
    np.save(path, [[2.0, 0], [0, 1], [1, 1]])
    table = make(LabelSpace(tuple("abc")), embeddings=str(path)).distances
    half = 1 - math.sqrt(0.5)
    assert np.allclose(table, [[0, 1, half], [1, 0, half], [half, half, 0]], atol=1e-6)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.ones((2, 4)), r"give numbers \(3, e\), one row per class"),
        (np.ones(3), r"give numbers \(3, e\)"),
        (np.array([[1.0, 0], [0, 0], [0, 1]]), "the row of 'b' is zero or not finite"),
        (np.array([[1.0, 0], [1, 1], [np.nan, 1]]), "the row of 'c' is zero or not finite"),
        (np.ones((3, 4)), "no two classes differ"),
        (None, "give a .npy file"),
        (b"words", "is no .npy file"),
    ],
)
def test_embeddings_that_do_not_serve_are_refused(tmp_path, array, said):
    path = tmp_path / "words.npy"
    if isinstance(array, bytes):
        path.write_bytes(array)
    elif array is not None:
        np.save(path, array)
    with pytest.raises(DataError, match=said):
        make(LabelSpace(tuple("abc")), embeddings=str(path))


def test_labels_without_a_hierarchy_need_embeddings():
    with pytest.raises(DataError, match="no hierarchy; give coarser classes"):
        make(LabelSpace(tuple("abc")))


def test_a_hierarchy_that_misses_a_class_is_refused_by_name():
    space = LabelSpace(("cat", "dog", "car"), parents=(3, 3, -1, -1), parent_names=("animal",))
    with pytest.raises(DataError, match=r"misses 1 of 3 classes, e.g. 'car'; name a coarser class"):
        make(space)


@pytest.mark.parametrize(
    "params", [{"kl": -1.0}, {"gamma": 0.0}, {"alpha": 0.0}, {"rho": -1.0}, {"neighbours": 0}, {"classification": -1.0}]
)
def test_values_out_of_range_are_refused(params):
    with pytest.raises(UsageError, match="need the first three"):
        make(**params)


def test_a_resumed_run_is_the_whole_run(tmp_path):
    spec = Spec(12, 32, 640, SPACE)
    options = {"epochs": 3, "batch_size": 128, "at": 7, "classification": 1.0}
    again, whole = resumed_and_whole("shrewd", spec, split()[0], tmp_path, **options)
    assert all(torch.equal(again[name], whole[name]) for name in whole)


def test_groups_of_the_tree_have_near_codes():
    method = learn("shrewd", 16, epochs=20, lr=1e-2)
    found, labels = codes(method.head, split()[0][0]), split()[0][1]
    apart = hamming.distances(found, found)
    group, own = GROUPS[labels][:, None] == GROUPS[labels], labels[:, None] == labels
    assert apart[own].mean() < apart[group & ~own].mean() < apart[~group].mean() - 2


def toy(name="shrewd", **params):
    """Return fine mAP, hierarchical precision, imbalance of bits and distinct codes; means of three seeds."""
    rows = []
    for seed in range(3):
        method = learn(name, 16, seed, **{"lr": 1e-2, **params})
        with torch.no_grad():
            bits = method.head.encode(torch.from_numpy(split(seed)[0][0])).float()
        imbalance = (bits.mean(0) - 0.5).abs().mean()
        rows.append([*scores(method, seed), float(imbalance), len(bits.unique(dim=0))])
    return np.mean(rows, axis=0)


@pytest.mark.slow
def test_the_divergence_balances_bits_and_makes_search_better():
    plain, full = toy(kl=0.0), toy()
    assert full[1] > plain[1]
    assert full[0] > plain[0]
    assert full[2] < plain[2]
    assert full[3] > 2 * plain[3]


@pytest.mark.exhaustive
def test_too_much_divergence_scatters_classes():
    assert toy(kl=0.3)[1] < toy()[1]


@pytest.mark.slow
def test_the_tree_beats_equally_distant_labels(tmp_path):
    path = tmp_path / "flat.npy"
    np.save(path, np.eye(16))
    assert toy(rho=0.0)[1] > toy(rho=0.0, embeddings=str(path))[1] + 0.05


@pytest.mark.exhaustive
def test_a_classification_loss_raises_fine_precision_and_keeps_the_hierarchy():
    both, plain, centres = toy(classification=1.0), toy(), toy("csq", lr=1e-3)
    assert both[0] > plain[0]
    assert both[1] > centres[1] + 0.02
