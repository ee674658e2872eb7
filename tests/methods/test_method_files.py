"""A method of a user's own, in a file."""

import pytest

from kinbits.errors import UsageError
from kinbits.methods import get_method


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = 1\nraise ValueError('boom')\n", r"unusable_method\.py cannot be run: line 2: ValueError: boom"),
        ("def broken(:\n", r"unusable_method\.py cannot be run: line 1: SyntaxError: "),
        ("import not_there_at_all\n", r"line 1: ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("x = 1\n", "registers 0 methods"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_its_line(tmp_path, text, told):
    path = tmp_path / "unusable_method.py"
    path.write_text(text)
    with pytest.raises(UsageError, match=told):
        get_method(str(path))


OWN = """
from kinbits.methods.csq import Csq
from kinbits.methods import register


@register("own-{name}")
class Own{name}(Csq):
    pass
"""


def test_a_file_is_known_by_what_it_registers_and_not_by_its_stem(tmp_path):
    paths = [tmp_path / folder / "same_stem.py" for folder in "abc"]
    for path, text in zip(paths, (OWN.format(name="a"), OWN.format(name="b"), "x = 1\n"), strict=True):
        path.parent.mkdir()
        path.write_text(text)
    assert [get_method(str(path)).name for path in (*paths[:2], paths[0])] == ["own-a", "own-b", "own-a"]
    with pytest.raises(UsageError, match="registers 0 methods"):
        get_method(str(paths[2]))
