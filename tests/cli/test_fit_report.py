"""What kinbits fit prints about a model."""

import pytest

from kinbits.cli.fit_report import _pretraining_text
from kinbits.cli.source import Source


@pytest.mark.parametrize(("epochs", "said"), [(1, "1 epoch"), (2, "2 epochs")])
def test_pretraining_is_counted_in_epochs(epochs, said):
    made = {"trained": "backbone", "method": "barlow-twins", "epochs": epochs}
    assert _pretraining_text(made) == f"backbone, barlow-twins, {said}"


def test_the_next_command_names_the_same_columns():
    source = Source("db.parquet", image_column="vec", no_labels=True)
    assert source.column_flags == ["--image-column", "vec", "--no-labels"]
    assert Source("folder").column_flags == []
