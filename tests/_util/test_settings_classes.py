"""Settings classes: what is read from a dataclass and its docstring."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest

from kinbits import UsageError
from kinbits._util import Range, Repeated, attributes_of, check_options, options_of, read_options, with_options


@dataclass(frozen=True)
class Inner:
    """A part.

    Attributes:
        rate: Speed of it
            all. Default: the usual.
        paths: Where.
        only_here: Made by a function.

    Example:
        >>> Inner().rate
    """

    rate: Annotated[float | None, Range(0, without_least=True)] = None
    paths: Annotated[Any, Repeated("PATH")] = None
    only_here: "list[int] | None" = field(default_factory=list)

    def __post_init__(self):
        check_options(self)


@dataclass(frozen=True)
class Outer:
    """All.

    Attributes:
        count: How many.
        params: By name.
        inner: A part.
    """

    count: Annotated[int, Range(1, 5)] = 2
    params: Mapping[str, Any] = field(default_factory=dict)
    inner: Inner = field(default_factory=Inner)

    def __post_init__(self):
        check_options(self)


def test_options_are_read_with_their_type_range_default_help_and_part():
    count, params, rate, paths, only_here = options_of(Outer)
    assert (count.name, count.type, count.default, count.range, count.part) == ("count", int, 2, Range(1, 5), "")
    assert (params.default, params.help) == ({}, "By name.")
    assert (rate.part, rate.help) == ("inner", "Speed of it all. Default: the usual.")
    assert paths.repeated == Repeated("PATH")
    assert (only_here.type, only_here.default) == ("list[int] | None", None)
    assert list(attributes_of(Outer)) == ["count", "params", "inner"]


def test_a_value_is_put_into_its_part_and_the_rest_stays():
    changed = with_options(Outer(count=3), {"rate": 0.5})
    assert (changed.count, changed.inner.rate) == (3, 0.5)
    with pytest.raises(UsageError, match="did you mean rate"):
        with_options(Outer(), {"rat": 1})


def test_plain_values_of_a_file_get_their_types():
    assert read_options(Inner, {"rate": "1e-3"}, "key") == {"rate": 0.001}
    for wrong, said in (({"rate": -1}, "must be above 0"), ({"rat": 1}, "did you mean rate"), ({"paths": 1}, "paths")):
        with pytest.raises(UsageError, match=said):
            read_options(Inner, wrong, "key", but=("paths",))


@pytest.mark.parametrize(
    ("limits", "text", "inside", "outside"),
    [
        (Range(1), "at least 1", (1, 9), (0, float("nan"))),
        (Range(0, without_least=True), "above 0", (0.1,), (0,)),
        (Range(0, 0.5), "from 0 to 0.5", (0, 0.5), (0.6, -0.1)),
        (Range(0, 1, without_least=True), "above 0 and up to 1", (1,), (0, 1.1)),
    ],
)
def test_a_range_knows_its_numbers_and_says_them(limits, text, inside, outside):
    assert str(limits) == text
    assert all(value in limits for value in inside)
    assert not any(value in limits for value in outside)
