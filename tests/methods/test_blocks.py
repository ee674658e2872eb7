"""The door of the blocks: what it offers is documented, and no name means a file too."""

from pathlib import Path

import pytest

from kinbits.methods import blocks

FILES = {path.stem for path in Path(blocks.__file__).parent.glob("*.py")} - {"__init__"}


@pytest.mark.parametrize("name", blocks.__all__)
def test_every_name_is_documented_and_no_file(name):
    assert getattr(blocks, name).__doc__
    assert name not in FILES  # a file that is imported first would hide the name


def test_the_overview_lists_every_file_that_offers_names():
    listed = {line[1 : line.index("`", 1)] for line in blocks.__doc__.splitlines() if line.startswith("`")}
    assert listed == {getattr(blocks, name).__module__.rpartition(".")[2] for name in blocks.__all__}
    assert blocks.__all__ == sorted(blocks.__all__)
