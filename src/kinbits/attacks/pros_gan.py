"""ProS-GAN: a generator that makes images of a target label's prototype in one pass."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from kinbits._util import check_at_least, reporter
from kinbits.attacks.base import AttackBatch
from kinbits.attacks.blocks.networks import Discriminator, Generator
from kinbits.attacks.blocks.prototypes import PrototypeNet, likelihood, train_prototypes
from kinbits.attacks.blocks.targets import draw_targets
from kinbits.attacks.blocks.trained import TrainedAttack
from kinbits.attacks.registry import register_attack
from kinbits.attacks.victim import Reference, Victim

BETAS = (0.5, 0.999)
EVERY = 3  # steps of the generator for one of the discriminator


@register_attack("pros-gan")
class ProSGAN(TrainedAttack):
    """Make images of a target label by a network that learned the victim's codes: one forward pass an image.

    A network P of labels learns a prototype code and features for each label (`prototypes.likelihood`). A generator G
    of image and features is trained against a discriminator D, which has an output for each label and one for "made".
    With x' = G(x, P(y_t)), h the relaxed codes tanh(z) and c the signs of the prototype of y_t, images in [-1, 1]:

    L_G = w_r mse(x', x) + w_h (1 - mean_k h_k(x') c_k) + w_a mse(D(x'), [y_t, 0])
    L_D = (mse(D(x), [y, 0]) + mse(D(x'), [y_t, 1])) / 2

    Adam, constant for half of the epochs and falling to 0 in the other half; a step of D for three of G; a new
    random target for each image and step.

    X. Wang, Z. Zhang, B. Wu, F. Shen, G. Lu, "Prototype-supervised Adversarial Network for Targeted Attack of Deep
    Hashing", CVPR 2021. As published, nothing but w_r limits the change. Differences: with a budget, x' is x + epsilon
    G(x, P(y_t)), which keeps a gradient everywhere; targets share no class with the image (the released code may draw
    its own label); networks follow the size of the images; shorter training.

    Args:
        epsilon: Largest change of a pixel in [0, 1]; None for none, as published.
        epochs: Passes over the images; 100 in the released code.
        batch_size: Images per step.
        lr: Rate of Adam.
        width: Channels of the first layers.
        prototype_steps: Steps that P learns; 30,000 in the released code.
        reconstruction: w_r; 50 (NUS-WIDE, COCO) or 100 (Flickr25k) in the released code.
        hashing: w_h.
        adversarial: w_a.

    Raises:
        UsageError: If a number is out of range.
    """

    aims = "target"
    can_be_free = True

    def __init__(
        self,
        *,
        epsilon: float | None = None,
        epochs: int = 20,
        batch_size: int = 24,
        lr: float = 1e-4,
        width: int = 64,
        prototype_steps: int = 2000,
        reconstruction: float = 50.0,
        hashing: float = 5.0,
        adversarial: float = 1.0,
    ) -> None:
        super().__init__(epsilon=epsilon)
        check_at_least(1, epochs=epochs, batch_size=batch_size, width=width, prototype_steps=prototype_steps)
        check_at_least(0, lr=lr, reconstruction=reconstruction, hashing=hashing, adversarial=adversarial)
        self.epochs, self.batch_size, self.lr = epochs, batch_size, lr
        self.width, self.prototype_steps = width, prototype_steps
        self.reconstruction, self.hashing, self.adversarial = reconstruction, hashing, adversarial

    def build(self, *, bits: int, size: int, classes: int) -> dict[str, nn.Module]:
        """Return the networks P and G; D is needed in training alone."""
        return {"prototypes": PrototypeNet(classes, bits), "generator": Generator(size, self.width)}

    def learn(
        self, victim: Victim, images: np.ndarray, labels: Tensor, reference: Reference, *, seed: int, progress: bool
    ) -> None:
        """Train P, then G against D."""
        random = torch.Generator().manual_seed(seed)
        prototypes = self.networks["prototypes"]
        assert isinstance(prototypes, PrototypeNet)
        train_prototypes(prototypes, reference, likelihood, steps=self.prototype_steps, generator=random)
        prototypes.requires_grad_(False)
        maker = self.networks["generator"]
        judge = Discriminator(victim.size, labels.shape[1], self.width).to(victim.device)
        optimizers = [torch.optim.Adam(net.parameters(), lr=self.lr, betas=BETAS) for net in (maker, judge)]
        schedules = [torch.optim.lr_scheduler.LambdaLR(one, self._rate) for one in optimizers]
        step = 0
        with reporter(f"training {self.name}", progress) as report:
            for epoch in range(self.epochs):
                for rows in torch.split(torch.randperm(len(images), generator=random), self.batch_size):
                    clean = torch.from_numpy(np.asarray(images[rows.numpy()])).to(victim.device).float() / 255
                    own = labels[rows.to(labels.device)]
                    targets, _ = draw_targets(own, reference, random)
                    made = self.made(clean, targets)
                    if step % EVERY == 0:
                        _step(optimizers[1], judging(judge(_wide(clean)), judge(_wide(made.detach())), own, targets))
                    _step(optimizers[0], self._making(victim, judge, clean, made, targets))
                    step += 1
                for schedule in schedules:
                    schedule.step()
                if report is not None:
                    report(epoch + 1, self.epochs)

    def _rate(self, epoch: int) -> float:
        half = self.epochs / 2
        return min(1.0, (self.epochs - epoch) / half)

    def made(self, images: Tensor, targets: Tensor) -> Tensor:
        """Return the generator's images ``(b, 3, s, s)`` for images in [0, 1] and targets ``(b, C)``."""
        features, _, _ = self.networks["prototypes"](targets)
        out: Tensor = self.networks["generator"](_wide(images), features)
        return (out + 1) / 2 if self.epsilon is None else (images + self.epsilon * out).clamp(0, 1)

    def _making(self, victim: Victim, judge: nn.Module, clean: Tensor, made: Tensor, targets: Tensor) -> Tensor:
        prototypes = self.networks["prototypes"]
        assert isinstance(prototypes, PrototypeNet)
        likeness = (torch.tanh(victim.logits(made)) * prototypes.codes(targets)).mean()
        return (
            self.reconstruction * mse_loss(_wide(made), _wide(clean))
            + self.hashing * (1 - likeness)
            + self.adversarial * mse_loss(judge(_wide(made)), _with_last(targets, 0))
        )

    def perturb(self, batch: AttackBatch) -> Tensor:
        """Return the generator's images."""
        targets = batch.require_targets()
        self.require_networks(batch.victim, targets, batch.reference)
        with torch.no_grad():
            return self.made(batch.images, targets)


def judging(real: Tensor, made: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Return L_D of outputs ``(b, C + 1)`` for images of these labels and for made ones of these targets.

    Example:
        >>> out, labels = torch.tensor([[0.9, 0.1, 0.2], [0.2, 0.7, -0.1]]), torch.eye(2)
        >>> round(float(judging(out, out, labels, labels)), 6)  # (.033333 + .333333) / 2
        0.183333
    """
    return (mse_loss(real, _with_last(labels, 0)) + mse_loss(made, _with_last(targets, 1))) / 2


def _with_last(labels: Tensor, value: float) -> Tensor:
    return torch.cat([labels, torch.full_like(labels[:, :1], value)], dim=1)


def _wide(images: Tensor) -> Tensor:
    """Return images of [0, 1] in [-1, 1]."""
    return 2 * images - 1


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
