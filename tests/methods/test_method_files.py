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
    path = tmp_path / "unusable_method.py"  # a stem that no other test registers
    path.write_text(text)
    with pytest.raises(UsageError, match=told):
        get_method(str(path))
