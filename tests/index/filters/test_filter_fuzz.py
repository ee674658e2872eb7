"""Random filters on random tables find what plain Python finds; `KINBITS_EXHAUSTIVE=1` tries many more."""

import operator
import os
import random
import warnings

import numpy as np
import pytest

from kinbits.errors import UsageError
from kinbits.index import Index, IndexOptions
from kinbits.index.filters import parse_where

MANY = "KINBITS_EXHAUSTIVE" in os.environ
TABLES, FILTERS, TEXTS = (4_000, 25, 200_000) if MANY else (40, 10, 3_000)

WORDS = ["cat", "dog, wolf", "cat (big)", "it's", 'say "a"', "or", "a and b", "null", "None", "true", "nan", "007", "7"]
WORDS += [
    "",
    " ",
    "1e5",
    "é😀",
    "\0",
    "a\0b",
    "\n",
    "%_",
    "'; DROP TABLE items --",
    "x=1",
    "not in",
    "[a]",
    "🂡",
    "\uffff",
    "Z",
]
NUMBERS = [0, 1, -1, 7, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 0.5, 0.1, -0.0, 2.0, 1e300, 5e-324, float(2**53), 1e18]
WHOLE = [value for value in NUMBERS if isinstance(value, int)]
VALUES = {
    "text": WORDS,
    "integer": WHOLE,
    "number": NUMBERS,
    "boolean": [True, False],
    "mixed": [*WORDS, *NUMBERS, True, False, "True"],
    "empty": [None],
}
# what these mean without quotes in a column of several types, beside the text
BARE = {"cat": [], "cat (big)": [], "it's": [], "null": [], "None": [], "nan": [], "true": [True], "True": [True]}
BARE |= {"007": [7], "7": [7], "1e5": [1e5], "é😀": [], "%_": [], "Z": []}
NAMES = ["a", "column b", 'c"d', "or", "é", "1"]
ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


class Table:
    """Columns over two segments, of which one may lack a column or hold other types."""

    def __init__(self, rng):
        self.rng, self.rows = rng, []
        self.index = Index.create(bits=8, options=IndexOptions(merge_rows=0))
        for number in (1, 2):
            columns, count = {}, rng.randint(1, 9)
            for name in rng.sample(NAMES, rng.randint(0 if number > 1 else 1, 4)):
                pool = [*VALUES[rng.choice(list(VALUES))], None]
                columns[name] = [rng.choice(pool) for _ in range(count)]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # columns get values of other types
                self.index.add(np.zeros((count, 1), np.uint8), metadata=columns)
            self.rows += [{name: values[row] for name, values in columns.items()} for row in range(count)]
        self.kinds = dict(sorted(self.index.info()["column_types"].items()))

    def found(self, where):
        """Return which rows the index finds, over both segments."""
        return self.index.search(np.zeros(1, np.uint8), radius=0, where=where).ids.tolist()


def class_of(value):
    return "flag" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"


def equal(value, sought):
    return value is not None and class_of(value) == class_of(sought) and value == sought


class Asked:
    """A random filter: its text, and what it means."""

    def __init__(self, table, depth):
        rng, self.table = table.rng, table
        choice = rng.random()
        if depth and choice < 0.45:
            parts, word = [Asked(table, depth - 1) for _ in range(rng.randint(2, 3))], rng.choice(["and", "OR"])
            self.text = f" {word} ".join(f"({part.text})" for part in parts)
            self.holds = lambda row: (all if word == "and" else any)(part.holds(row) for part in parts)
        elif depth and choice < 0.6:
            part = Asked(table, depth - 1)
            self.text, self.holds = f"not ({part.text})", lambda row: not part.holds(row)
        else:
            self._compare(rng, rng.choice(list(table.kinds)))

    def _compare(self, rng, name):
        kind = self.table.kinds[name]
        column = rng.choice(['"{}"'.format(name.replace('"', '""')), f"`{name}`"])
        sign = rng.choice(["=", "==", "!=", "in", "not in", "is missing", "IS NOT MISSING", "contains", "<", ">="])
        if sign == "contains" and kind not in ("text", "mixed", "empty"):
            sign = "="
        if sign in ORDER and kind == "boolean":
            sign = "!="
        if "is" in sign.lower():
            self.text = f"{column} {sign}"
            self.holds = lambda row: (row.get(name) is None) == (sign == "is missing")
        elif "in" in sign.split():
            written, meant = zip(*(self._literal(rng, kind) for _ in range(rng.randint(1, 4))), strict=True)
            listed, every = ", ".join(written), [one for meanings in meant for one in meanings]
            self.text = f"{column} {sign} " + rng.choice(["({})", "[{}]"]).format(listed)
            self.holds = lambda row: any(equal(row.get(name), one) for one in every) == (sign == "in")
        else:
            written, meanings = self._literal(rng, kind, ordered=sign in ORDER, text=sign == "contains")
            self.text = f"{column} {sign} {written}"
            self.holds = lambda row: self._holds(row.get(name), sign, meanings)

    def _holds(self, value, sign, meanings):
        if sign in ("=", "==", "!="):
            return any(equal(value, one) for one in meanings) != (sign == "!=")
        if value is None or class_of(value) != class_of(meanings[0]):
            return False
        return meanings[0] in value if sign == "contains" else ORDER[sign](value, meanings[0])

    def _literal(self, rng, kind, *, ordered=False, text=False):
        """Return a value as it is written, and what it may mean in a column of this type."""
        pool = WORDS if text else VALUES["mixed" if kind == "empty" else kind]
        value = rng.choice([one for one in pool if not (ordered and isinstance(one, bool))])
        if isinstance(value, str):
            if value in BARE and not ordered and rng.random() < 0.5:
                special = [] if kind == "text" else BARE[value]
                return value, [value] if text else [*special, value]
            quote = rng.choice("'\"")
            return quote + value.replace(quote, quote * 2) + quote, [value]
        written = str(value).lower()
        return written, [value, written] if kind in ("mixed", "empty") else [value]


@pytest.mark.parametrize("block", range(8))
def test_filters_find_what_plain_python_finds(block):
    rng = random.Random(block)
    for _ in range(TABLES // 8):
        table = Table(rng)
        for _ in range(FILTERS):
            asked = Asked(table, rng.randint(0, 3))
            expected = [number for number, row in enumerate(table.rows) if asked.holds(row)]
            assert table.found(asked.text) == expected, (asked.text, table.rows)
            parsed = parse_where(asked.text)
            assert parse_where(str(parsed)) == parsed
            assert table.found(str(parsed)) == expected


def test_dicts_find_what_plain_python_finds():
    rng = random.Random(99)
    for _ in range(TABLES):
        table = Table(rng)
        name = rng.choice(list(table.kinds))
        pool = VALUES["mixed" if table.kinds[name] == "empty" else table.kinds[name]]
        for _ in range(FILTERS // 2):
            sought = [rng.choice([*pool, None]) for _ in range(3)]
            values = [row.get(name) for row in table.rows]
            inside = [any(value is one is None or equal(value, one) for one in sought) for value in values]
            for sign, keep in (("in", True), ("not in", False)):
                expected = [row for row, one in enumerate(inside) if one is keep]
                assert table.found({name: {sign: sought}}) == expected, (name, sought, values)
            (one, *_) = sought
            expected = [row for row, value in enumerate(values) if value is one is None or equal(value, one)]
            assert table.found({name: one}) == expected, (name, one, values)


def test_any_text_is_read_or_refused_and_what_is_read_can_be_written():
    """The tokens of the language in any order: no other error, and the text of a tree means that tree."""
    rng = random.Random(5)
    tokens = ["and", "or", "not", "in", "contains", "is", "missing", "not in", *"()[],='\"`", "<=", "!=", "=>"]
    tokens += ["cat", "7", "-1e3", "it's", "a b", " ", "  ", "''", "'x y'", '"q"', "\n", "é", "\0"]
    read = 0
    for _ in range(TEXTS):
        some = (rng.choice(tokens) for _ in range(rng.randint(1, 9)))
        text = rng.choice(["", "a=", "a in ", "(a=1 or b "]) + rng.choice(["", " "]).join(some)
        try:
            parsed = parse_where(text)
        except UsageError:
            continue
        read += 1
        assert parse_where(str(parsed)) == parsed, text
    assert read > TEXTS // 40
