"""A method in a user's own file."""

OWN = '''
import torch
from kinbits.heads import LinearBatchNorm
from kinbits.methods import Method, Recipe, register


@register("of-a-user")
class OfAUser(Method):
    """A method in a file."""

    supervision = "none"
    recipe = Recipe(epochs=1, batch_size=32)

    def __init__(self, spec):
        super().__init__(spec)
        self.head = LinearBatchNorm(spec.feature_dim, spec.bits)

    def loss(self, batch, logits):
        return {"size": (logits - 1).square().mean()}  # a pull
'''
CHANGED = OWN.replace("logits - 1", "logits + 1")
