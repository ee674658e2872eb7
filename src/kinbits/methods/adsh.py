"""ADSH: a network codes a sample of queries, and the codes of the training set are learned directly."""

from __future__ import annotations

from kinbits.heads import Linear
from kinbits.methods.base import Recipe, Spec
from kinbits.methods.blocks.asymmetric import Asymmetric
from kinbits.methods.registry import register


@register("adsh")
class Adsh(Asymmetric):
    """Fit inner products of network codes and free database codes to the labels, in turns.

    With u_i = tanh(z_i) the network's output for the m queries i of a round, v_j in {-1, +1}^K the free code of row j,
    S_ij = 1 for a shared label and -r otherwise, r = similar / other pairs of the round::

        J = sum_{i in Omega} sum_j (u_i . v_j - K S_ij)^2 + gamma sum_{i in Omega} |v_i - u_i|^2

    The network lowers J for ``inner`` epochs over Omega, then one sweep sets the columns of V to their exact
    minimisers; `kinbits.methods.blocks.asymmetric.Asymmetric` holds both steps.

    Differences: V starts from coin flips instead of 0, which was better in our trials. A row keeps its code in a
    round if no row of Omega shares a label with it, since only dissimilar pairs would change the code. Unlabelled rows
    are left out, and get the network's own code. ``samples`` is smaller for small training sets. The order of rows
    within a round is shuffled. ``soft=False`` is the paper's S in {-1, +1}, which fails for many classes.

    Args:
        spec: The task.
        gamma: Weight of the distance between a query's two codes.
        samples: Queries m per round; 0 chooses 2,000, at most n / 5, at least 100.
        inner: Epochs per round; the authors train 50 rounds.
        soft: Use the target -r for other pairs, instead of -1.

    Reference: Q.-Y. Jiang, W.-J. Li, "Asymmetric Deep Supervised Hashing", AAAI 2018.
    """

    recipe = Recipe(
        epochs=20,
        batch_size=64,
        lr=1e-3,
        optimizer="adamw",
        weight_decay=3.0,
        backbone_weight_decay=1e-5,
        min_steps=2500,
    )

    def __init__(
        self, spec: Spec, *, gamma: float = 200.0, samples: int = 0, inner: int = 3, soft: bool = True
    ) -> None:
        chosen = samples or min(2_000, max(spec.n_train // 5, 100))
        super().__init__(spec, gamma=gamma, samples=chosen, inner=inner, soft=soft)
        self.head = Linear(spec.feature_dim, spec.bits, std=0.01)
