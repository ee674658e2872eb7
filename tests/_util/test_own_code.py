"""Where an error in a user's own code is, be it that a library raised it."""

import pytest

from kinbits._util import own_line, parse_json, write_text


def raised(run):
    with pytest.raises(Exception) as caught:
        run()
    return caught.value


@pytest.fixture
def own(tmp_path):
    """Return a function of a file outside of kinbits, from its body."""

    def make(body):
        path = tmp_path / "mine.py"
        path.write_text(f"import re\ndef run(*_):\n    {body}\n")
        values = {}
        exec(compile(path.read_text(), path, "exec"), values)
        return values["run"]

    return make


@pytest.mark.parametrize("body", ["1 / 0", "re.compile('(')"], ids=["itself", "a library"])
def test_a_line_that_kinbits_ran_is_found(own, monkeypatch, body, tmp_path):
    monkeypatch.setattr("kinbits._util.files.file_aside", own(body))  # stands for a hook that a user gives
    assert own_line(raised(lambda: write_text(tmp_path / "x", ""))) == "mine.py:3"


def test_code_that_calls_kinbits_is_not_to_blame(own):
    assert own_line(raised(lambda: parse_json(1))) is None
    assert own_line(raised(own("re.compile('(')"))) is None
