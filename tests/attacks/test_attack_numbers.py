"""Sign steps on models whose gradients are known: the sheet's worked numbers."""

import pytest
import torch

from kinbits.attacks import Reference, build_attack
from kinbits.attacks.blocks import SignSteps, away_from, mainstay_codes, sharply_away_from, towards, vote
from kinbits.attacks.hag import flipping
from kinbits.attacks.sdha import smooth_distances, smooth_distances_to_target


class LinearVictim:
    """F = W x of an image of one pixel."""

    bits, size, device = 2, 1, torch.device("cpu")
    weights = torch.tensor([[1, -2, 0.5], [-0.5, 1, 1]])

    def logits(self, images):
        return images.flatten(1) @ self.weights.T

    def codes(self, images):
        return torch.where(self.logits(images) >= 0, 1.0, -1.0)


X = torch.tensor([0.6, 0.4, 0.5]).view(1, 3, 1, 1)


def test_a_bit_flips_by_epsilon_times_the_norm_of_its_weights():
    victim = LinearVictim()
    assert victim.logits(X)[0].tolist() == pytest.approx([0.05, 0.6])
    made = build_attack("pgd", epsilon=0.1, steps=10, step_size=0.02)(victim, X)
    assert made.flatten().tolist() == pytest.approx([0.5, 0.5, 0.4])
    assert victim.logits(made)[0].tolist() == pytest.approx([-0.3, 0.65])  # the second bit cannot flip: .25 < .6


@pytest.mark.parametrize("size", [None, 0.02, 1.0])
@pytest.mark.parametrize("start", [False, True])
def test_steps_of_any_size_end_at_the_same_corner(size, start):
    attack = build_attack("pgd", epsilon=0.1, steps=20, step_size=size, random_start=start)
    assert attack(LinearVictim(), X).flatten().tolist() == pytest.approx([0.5, 0.5, 0.4])


def test_images_are_changed_alone():
    images = torch.rand(5, 3, 1, 1, generator=torch.Generator().manual_seed(0))
    for name, params in (("pgd", {}), ("pgd", {"form": "sharp"}), ("hag", {})):
        attack = build_attack(name, epsilon=0.1, steps=7, **params)
        together = attack(LinearVictim(), images)
        alone = torch.cat([attack(LinearVictim(), one[None]) for one in images])
        torch.testing.assert_close(together, alone)


def test_the_scale_rises_in_the_second_half():
    scales = [build_attack("hag", steps=20).scale(step) for step in range(20)]
    assert scales == [0.1] * 10 + [0.2] * 2 + [0.3] * 2 + [0.5] * 2 + [0.7] * 2 + [1.0] * 2
    assert {SignSteps.scale(build_attack("pgd"), step) for step in range(40)} == {1.0}
    assert [build_attack("pgd", rising=True, steps=1).scale(0)] == [0.1]


def test_the_losses_of_worked_numbers():
    clean, codes = torch.tensor([[0.9, -0.2, -0.6, 0.1]]), torch.tensor([[1.0, 1, -1, 1]])
    assert float(sharply_away_from(codes)(clean)) == pytest.approx(1.005)
    loss = flipping(torch.tensor([[0.8, 0.7, -0.9, 0.6]]), codes, 0.5, balance=0)
    assert float(loss(torch.tensor([[0.9, -0.8, -0.6, 0.1]]))) == pytest.approx(2.0736)
    balanced = flipping(torch.tensor([[0.8, 0.7, -0.9, 0.6]]), codes, 0.5, balance=1)
    assert float(balanced(torch.tensor([[0.9, -0.8, -0.6, 0.1]]))) == pytest.approx(2.0736 + 0.01)
    assert float(towards(codes)(codes)) == -1
    assert float(away_from(codes)(codes)) == 1


def test_flipped_bits_no_longer_count():
    loss = sharply_away_from(torch.ones(1, 3))
    one, other = torch.tensor([[-0.6, 0.5, 0.5]]), torch.tensor([[-0.9, 0.5, 0.5]])
    assert float(loss(one)) == float(loss(other))


def test_smooth_distances_against_a_naive_loop():
    torch.manual_seed(0)
    relaxed, codes = torch.tanh(torch.randn(3, 5)), torch.randn(4, 5).sign()
    for q, row in zip(relaxed, smooth_distances(relaxed, codes), strict=True):
        for r, found in zip(codes, row, strict=True):
            d, different = 0.0, 0
            for a, b in zip(q.tolist(), r.tolist(), strict=True):
                s = 1 / (1 + 2.718281828459045 ** (-5 * a * b))
                d += abs(a - b) * s / 2 + 1 - s
                different += (a >= 0) != (b >= 0)
            assert float(found) == pytest.approx(d / (different + 1e-8) ** 0.5, rel=1e-5)


def test_smooth_distances_to_a_target_against_a_naive_loop():
    torch.manual_seed(0)
    relaxed, codes = torch.tanh(torch.randn(3, 5)), torch.randn(4, 5).sign()
    for q, row in zip(relaxed, smooth_distances_to_target(relaxed, codes), strict=True):
        for r, found in zip(codes, row, strict=True):
            d, different = 0.0, 0
            for a, b in zip(q.tolist(), r.tolist(), strict=True):
                d += abs(a - b) / 2 / (1 + 2.718281828459045 ** (10 * a * b))
                different += (a >= 0) != (b >= 0)
            assert float(found) == pytest.approx(d * (different + 1e-8) ** 0.3, rel=1e-5)


def test_the_targeted_form_comes_nearer_to_its_label_and_the_other_form_goes_away():
    victim, known = LinearVictim(), Reference(torch.tensor([[1.0, -1], [-1, 1]]), torch.eye(2))
    before = victim.logits(X)  # .05, .6: signs + +
    near = build_attack("sdha-targeted", epsilon=0.2, steps=30)(victim, X, targets=torch.eye(2)[1:], reference=known)
    assert victim.codes(near).tolist() == [[-1, 1]]
    assert float(victim.logits(near)[0, 1]) > float(before[0, 1])  # the bit that fits is not given away
    far = build_attack("sdha", epsilon=0.2, steps=30)(victim, X, labels=torch.eye(2)[:1], reference=known)
    assert float(victim.logits(far)[0, 0]) < float(before[0, 0])


def test_the_anchor_is_the_vote_and_a_tie_takes_the_first():
    codes = torch.tensor([[1.0, 1, -1, 1], [1, -1, -1, 1], [1, 1, -1, -1]])
    anchor = vote(codes)
    assert anchor.tolist() == [1, 1, -1, 1]
    every = torch.cartesian_prod(*[torch.tensor([-1.0, 1])] * 4)
    means = ((every[:, None] != codes).float().sum(2)).mean(1)
    assert float((anchor != codes).float().sum(1).mean()) == pytest.approx(2 / 3)
    assert float(means.min()) == pytest.approx(2 / 3)
    assert vote(torch.tensor([[-1.0, 1], [1, -1]])).tolist() == [-1, 1]


def test_the_mainstay_code_of_worked_numbers():
    codes = torch.tensor([[1.0, 1, -1, -1], [1, -1, -1, 1], [-1, 1, 1, 1]])
    labels = torch.tensor([[1.0, 0], [1, 1], [0, 1]])
    asked = torch.tensor([[1.0, 0], [0, 1], [1, 0]])
    assert mainstay_codes(asked, Reference(codes, labels)).tolist()[0] == [1, -1, -1, -1]
    assert mainstay_codes(asked, Reference(codes, labels)).tolist()[2] == [1, -1, -1, -1]
    everything = Reference(codes, torch.ones(3, 2))  # no negative: their weights are 0
    assert mainstay_codes(asked[:1], everything).tolist() == [[1, 1, -1, 1]]
