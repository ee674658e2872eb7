"""Filters mean what they say, in both spellings, and no text of the user becomes SQL."""

import re
from pathlib import Path

import numpy as np
import pytest

from kinbits.errors import UsageError
from kinbits.index import Index

PAGE = Path(__file__).parents[3] / "docs" / "filters.md"
ROWS = {
    "year": [2018, 2019, 2020, None],
    "price": [1.5, 2.0, -3.0, 0.25],
    "label": ["cat", "dog", "7", None],
    "sold": [True, False, None, True],
    'odd "name"; DROP TABLE items': [1, 2, 3, 4],
}


@pytest.fixture(scope="module")
def index():
    return Index.create(bits=8).add(np.zeros((4, 1), np.uint8), metadata=ROWS)


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        (None, [0, 1, 2, 3]),
        ("year>=2019", [1, 2]),
        (" year < 2019 ", [0]),
        ("year=2020", [2]),
        ("year==2020", [2]),
        ("year!=2020", [0, 1, 3]),
        ("year is missing", [3]),
        ("year is not missing", [0, 1, 2]),
        ("not year IS MISSING", [0, 1, 2]),
        ("year in 2018, 2020", [0, 2]),
        ("year not in (2018, 2020)", [1, 3]),
        ("price > -1e0", [0, 1, 3]),
        ("label=cat", [0]),
        ("label='cat'", [0]),
        ("label=7", [2]),  # a class whose name is a number
        ("label!=7", [0, 1, 3]),
        ("label in cat, 7", [0, 2]),
        ("label contains o", [1]),
        ("sold=true", [0, 3]),
        ("sold=false", [1]),
        (["year>=2018", "label=dog"], [1]),
        ({}, [0, 1, 2, 3]),
        ({"year": 2020}, [2]),
        ({"year": None}, [3]),
        ({"year": {">=": 2018, "<": 2020}}, [0, 1]),
        ({"year": {"in": np.array([2018, 2019])}}, [0, 1]),
        ({"label": {"in": []}}, []),
        ({"label": {"not in": []}}, [0, 1, 2, 3]),
        ({"label": {"in": ["cat", None]}}, [0, 3]),
        ({"label": {"not in": ["cat", None]}}, [1, 2]),
        ("not (label = cat or label is missing)", [1, 2]),
        ("label=cat or label=dog", [0, 1]),
        ("year>2018 and (label=dog or label=7)", [1, 2]),
        ("label=cat OR label=7 AND year>2019", [0, 2]),  # "and" binds closer than "or"
        ("not year<2020", [2, 3]),  # exactly what "year<2020" leaves out
        ("sold is missing", [2]),
        ({"year": {"!=": None}}, [0, 1, 2]),
        ({"year": {"not in": [2018, None]}}, [1, 2]),
        ('"odd ""name""; DROP TABLE items" > 2', [2, 3]),
        ('`odd "name"; DROP TABLE items` > 2', [2, 3]),
        ({"label": {"contains": "a"}}, [0]),
        ({"sold": True}, [0, 3]),
        ({"year": np.int64(2020)}, [2]),
        ({"label": "' OR 1=1 --"}, []),
        ({'odd "name"; DROP TABLE items': {">": 2}}, [2, 3]),
    ],
)
def test_filter_keeps_exactly_the_rows_that_meet_it(index, where, ids):
    assert index.search(np.zeros(1, np.uint8), where=where).ids.tolist() == ids


def test_a_long_list_of_values_is_no_problem(index):
    where = {"year": {"in": list(range(100_000))}}
    assert index.search(np.zeros(1, np.uint8), where=where).ids.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("yaer=1", "did you mean year"),
        ("year", "at the end: expected an operator after the column 'year'; write e.g. year >= 2020"),
        ("year ~ 3", "unknown operator '~'"),
        ("year=>3", "unknown operator '=>'; did you mean"),
        ("year<>3", "unknown operator '<>'"),
        ("year=2018 label=cat", "at position 16: = in a value"),
        ("label='cat", "at position 7: the quote ' is not closed"),
        ("label='cat'dog", "unexpected text after a quote"),
        ("label=cat (big", "at position 11: this bracket is not closed"),
        ("(label=cat", "at the end: expected 'and', 'or' or '\\)'"),
        ("label=cat)", "at position 10: expected 'and', 'or' or the end"),
        ("label=cat and dog", "at the end: expected an operator after the column 'dog'"),
        ("label=", "at the end: expected a value; write ''"),
        ("label in cat,,dog", "at position 14: expected a value"),
        ("label in (cat dog", "expected ',' or '\\)'"),
        ("year is 3", "expected 'missing' or 'not missing' after 'is'"),
        ("and year=3", "at position 1: expected the name of a column"),
        ("", "expected the name of a column"),
        ("not " * 51 + "year=3", "more than 50 levels"),
        (" or ".join(["year=1"] * 501), "more than 500 comparisons"),
        ({"price": {"in": [i / 7 for i in range(1000)]}}, "fractions and comparisons"),
        (7, "cannot be read"),
        # values of other types than the column
        ("year=two", "year = two: column 'year' holds whole numbers; write a finite number"),
        ("year=null", "year is missing"),
        ("year='2020'", "without quotes"),
        ("year=1_0", "year = 1_0: .*finite number"),
        ("year<inf", "finite number"),
        ("year<1e999", "finite number"),
        ("price in 1,nan", "finite number"),
        ("year=9223372036854775808", "finite number of 64 bits"),
        ("year contains 20", "'contains' searches in text"),
        ({"year": "2020"}, "finite number"),
        ({"year": True}, "finite number"),
        ("label>=2", "10 comes before 9; write '2' in quotes"),
        ({"label": {">=": 2}}, "write '2' in quotes"),
        ({"label": 7}, "holds text; pass a str: '7'"),
        ({"label": {"in": ["cat", 7]}}, "pass a str: '7'"),
        ({"label": True}, "pass a str"),
        ("sold=1", "holds true and false; write sold = true or sold = false"),
        ("sold=yes", "write sold = true"),
        ({"sold": 1}, "write sold = true"),
        ("sold>false", "write sold = true"),
        ("sold contains true", "'contains' searches in text"),
        ({"year": {"<": None}}, "to find missing values"),
        ({"year": {"=>": 1}}, "unknown operator '=>'"),
        ({"year": {"in": 7}}, "needs a list"),
        ({"label": {"in": "cat"}}, "needs a list"),
        ({"label": {"contains": 7}}, "searches for text"),
        ({"label": {"is missing": True}}, "unknown operator 'is missing'"),
        ({"label": b"cat"}, "metadata are finite numbers"),
        ({"label": "\ud800"}, "metadata are finite numbers"),
        ({"price": float("inf")}, "metadata are finite numbers"),
        ({"year": 2**63}, "metadata are finite numbers"),
        ({"1=1 OR year": 1}, "unknown column"),
    ],
)
def test_a_filter_that_cannot_be_read_says_how_to_write_it(index, where, message):
    with pytest.raises(UsageError, match=message):
        index.search(np.zeros(1, np.uint8), where=where)


def test_more_filters_than_are_remembered_keep_their_answers(index):
    for _ in range(2):
        for year in range(2015, 2025):
            expected = [row for row in range(3) if ROWS["year"][row] < year]
            assert index.search(np.zeros(1, np.uint8), where=f"year<{year}").ids.tolist() == expected


def test_a_filter_on_an_index_without_metadata_says_so():
    bare = Index.create(bits=8).add(np.zeros((1, 1), np.uint8))
    with pytest.raises(UsageError, match="holds no metadata"):
        bare.search(np.zeros(1, np.uint8), where="year=1")


def table_after(heading):
    """Return the rows of a table of the page on filters."""
    lines = PAGE.read_text().split(heading)[1].strip().split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_examples_of_the_documentation_find_what_it_says():
    items = table_after("`sold` is true or false.")
    read = {"2": str, "3": int, "4": float, "5": lambda text: text == "true"}
    columns = {
        name: [read.get(str(place), str)(row[place]) if row[place] else None for row in items]
        for place, name in enumerate(["id", "label", "colour", "year", "price", "sold"])
    }
    ids = list(map(int, columns.pop("id")))
    index = Index.create(bits=8).add(np.zeros((len(ids), 1), np.uint8), ids=ids, metadata=columns)
    examples = table_after("| 5 | it's | blue | 2018 | 0.5 | false |")
    assert len(examples) >= 17
    for written, expected, _ in examples:
        where = re.fullmatch(r"`` (.*) ``|`(.*)`", written)
        found = index.search(np.zeros(1, np.uint8), where=where[1] or where[2]).ids.tolist()
        assert found == list(map(int, expected.split())), written
