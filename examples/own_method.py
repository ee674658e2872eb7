"""Write a method of your own, and compare it with two others on the digits of scikit-learn.

    python examples/own_method.py --seeds 2

The method gives each class a random code, and each bit of an image should agree with that of its class. A file like
this one is also a method for the command line: kinbits fit DATA -o MODEL --method examples/own_method.py
"""

import argparse

import numpy as np
import torch
from torch.nn.functional import softplus

import kinbits
from kinbits.heads import Linear
from kinbits.methods import Method, register


@register("corners-of-a-cube")
class Corners(Method):
    """Make each bit agree with a random code of the class: L = mean softplus(margin - c_y v)."""

    def __init__(self, spec, *, margin: float = 1.0):
        super().__init__(spec)
        self.margin = margin
        self.head = Linear(spec.feature_dim, spec.bits)
        corners = spec.rng.choice([-1.0, 1.0], (spec.classes, spec.bits))
        self.register_buffer("corners", torch.tensor(corners, dtype=torch.float32))

    def loss(self, batch, logits):
        """Return the named terms; the trainer adds them up."""
        labels = batch.require_labels()
        return {"corners": softplus(self.margin - self.corners[labels] * logits).mean()}


def main() -> None:
    """Fit each method with some seeds, and print the mean and the range of its mAP."""
    from sklearn.datasets import load_digits

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2, help="number of runs of each method")
    parser.add_argument("--bits", type=int, default=16, help="length of the codes")
    given = parser.parse_args()

    digits = load_digits()
    data = kinbits.open_dataset(digits.data.astype("float32"), labels=[str(label) for label in digits.target])
    splits = kinbits.data.split_folder(data, seed=0)
    for method in ("itq", "softmax-quantization", "corners-of-a-cube"):
        scores = []
        for seed in range(given.seeds):
            model = kinbits.fit(splits.train, method=method, bits=given.bits, seed=seed, progress=False)
            report = kinbits.evaluate(model, splits, metric_names=["map@all"], baselines=False)
            scores.append(report.rows[0].values["map@all"])
        print(f"{method:22s} {np.mean(scores):.3f}  ({min(scores):.3f} to {max(scores):.3f})")


if __name__ == "__main__":
    main()
