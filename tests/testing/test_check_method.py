"""Every registered method meets the contract; nothing here knows a method by name."""

import pytest

from kinbits.methods import list_methods
from kinbits.testing import check_method


@pytest.mark.parametrize("name", list_methods())
def test_every_method_meets_the_contract(name):
    check_method(name)


IDLE = """
from kinbits.heads import Linear
from kinbits.methods import Method, register

@register("idle")
class Idle(Method):
    \"\"\"Learns nothing.\"\"\"
    def __init__(self, spec):
        super().__init__(spec)
        self.head = Linear(spec.feature_dim, spec.bits)
    def loss(self, batch, logits):
        return {"nothing": 0 * logits.sum()}
"""

ONE_CLASS = """
import torch
from kinbits.heads import Linear
from kinbits.methods import Method, register

@register("one-class")
class OneClass(Method):
    \"\"\"Takes the label for a number.\"\"\"
    def __init__(self, spec):
        super().__init__(spec)
        self.head = Linear(spec.feature_dim, spec.bits)
        codes = torch.tensor(spec.rng.choice([-1.0, 1.0], (spec.classes, spec.bits)), dtype=torch.float32)
        self.register_buffer("class_codes", codes)
    def loss(self, batch, logits):
        return {"distance": (logits - self.class_codes[batch.labels]).square().mean()}
"""


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("idle", IDLE, r"idle\.py: training changes no weight"),
        (
            "one-class",
            ONE_CLASS,
            r"one-class\.py: training on images with several labels ends with .* multi_label = False",
        ),
    ],
)
def test_a_faulty_method_is_found_out(tmp_path, name, text, told):
    (tmp_path / f"{name}.py").write_text(text)
    with pytest.raises(AssertionError, match=told):
        check_method(str(tmp_path / f"{name}.py"))
