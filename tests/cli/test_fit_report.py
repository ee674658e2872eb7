"""What kinbits fit prints about a model."""

import pytest

from kinbits.cli.fit_report import _pretraining_text


@pytest.mark.parametrize(("epochs", "said"), [(1, "1 epoch"), (2, "2 epochs")])
def test_pretraining_is_counted_in_epochs(epochs, said):
    made = {"trained": "backbone", "method": "barlow-twins", "epochs": epochs}
    assert _pretraining_text(made) == f"backbone, barlow-twins, {said}"
