"""Types of columns."""

from kinbits.index.filters.column_types import KINDS, joined, kind_of_values


def test_types_join_where_segments_do():
    assert [joined([one, "text"]) for one in KINDS] == ["text", *["mixed"] * 4, "text"]
    assert joined(["integer", "number"]) == joined(["number", "empty", "integer"]) == "number"
    assert joined([]) == "empty"
    assert kind_of_values([None, 1, True]) == "mixed"
