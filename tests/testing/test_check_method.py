"""Every registered method meets the contract; nothing here knows a method by name."""

import pytest

from kinbits.methods import list_methods
from kinbits.testing import check_method


@pytest.mark.parametrize("name", list_methods())
def test_every_method_meets_the_contract(name):
    check_method(name)


def test_a_method_that_learns_nothing_is_found_out(tmp_path):
    path = tmp_path / "idle.py"
    path.write_text(
        '''
from kinbits.heads import Linear
from kinbits.methods import Method, register

@register("idle")
class Idle(Method):
    """Learns nothing."""
    def __init__(self, spec):
        super().__init__(spec)
        self.head = Linear(spec.feature_dim, spec.bits)
    def loss(self, batch, logits):
        return {"nothing": 0 * logits.sum()}
'''
    )
    with pytest.raises(AssertionError, match="idle"):
        check_method(str(path))
