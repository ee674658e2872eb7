"""What counts as the code of a user's own method."""

from kinbits.bench.sources import code_below, code_of
from kinbits.methods import get_method


def test_code_is_what_runs():
    code = code_of('"""Text."""\n\n\ndef f(x):  # why\n    """Text."""\n    return (x\n            + 1)\n')
    assert code == code_of("'Other.'\ndef f(x):\n    'Other.'\n    return x + 1")
    assert code != code_of("'Other.'\ndef f(x):\n    'Other.'\n    return x + 2")


def test_code_of_kinbits_does_not_count_and_that_of_other_modules_does(tmp_path, monkeypatch):
    hashnet = get_method("hashnet")
    assert list(code_below([hashnet])) == []
    (tmp_path / "elsewhere.py").write_text("class Part:\n    SIZE = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    from elsewhere import Part

    assert list(code_below([hashnet, Part])) == ["class Part:\n    SIZE = 1"]
