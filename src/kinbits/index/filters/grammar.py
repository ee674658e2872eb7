"""A recursive descent parser of the filter language; `docs/filters.md` describes the language."""

from __future__ import annotations

import re
from collections.abc import Callable

from kinbits._util import shortened
from kinbits.errors import UsageError, unknown_name
from kinbits.index.filters.expression import EXAMPLE, MISSING, OPERATORS, And, Comparison, Expression, Not, Or, Word

_DEEPEST = 50  # levels of brackets and "not"
_END = r"(?![^\s<>=!~()\"'`,])"  # after a keyword: no character that makes it part of a longer word
_PART = r"[^\s<>=!~()\"'`,]+"
_COLUMN = re.compile(rf"(?!(?:and|or){_END}){_PART}(?:\s+(?!(?:and|or|not|in|contains|is){_END}){_PART})*", re.I)
_SIGNS = re.compile(r"[<>=!~]+")
_WORDS = re.compile(rf"((?:not\s+)?(?:in|contains)|is){_END}", re.I)
_MISSING = re.compile(rf"\s*(not\s+)?missing{_END}", re.I)
_JOINT = re.compile(rf"\s+(?:and|or){_END}", re.I)  # ends a value without quotes
_FIRST = re.compile(r"[^\s,()\[\]<>=\"]+")  # a keyword at the start of a value is part of it
_CLOSING = {"(": ")", "[": "]"}


def parse_text(text: str) -> Expression:
    """Parse a filter.

    Raises:
        UsageError: If the text is not a filter; the message names the position and an example.
    """
    return _Parser(text).whole()


class _Parser:
    """Parses one text from left to right; ``at`` is the next character."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def whole(self) -> Expression:
        found = self._disjunction()
        if self._at < len(self._text):
            raise self._error("expected 'and', 'or' or the end")
        return found

    def _disjunction(self) -> Expression:
        parts = self._parts("or", self._conjunction)
        return parts[0] if len(parts) == 1 else Or(parts)

    def _conjunction(self) -> Expression:
        parts = self._parts("and", self._negation)
        return parts[0] if len(parts) == 1 else And(parts)

    def _parts(self, keyword: str, read: Callable[[], Expression]) -> tuple[Expression, ...]:
        parts = [read()]
        while self._takes(re.compile(keyword + _END, re.I)):
            parts.append(read())
        return tuple(parts)

    def _negation(self) -> Expression:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._error(f"more than {_DEEPEST} levels of brackets")
        found = self._group() if self._takes(re.compile(r"\(")) else self._not() or self._comparison()
        self._depth -= 1
        return found

    def _not(self) -> Expression | None:
        return Not(self._negation()) if self._takes(re.compile("not" + _END, re.I)) else None

    def _group(self) -> Expression:
        found = self._disjunction()
        if not self._takes(re.compile(r"\)")):
            raise self._error("expected 'and', 'or' or ')'")
        return found

    def _comparison(self) -> Expression:
        column = self._column()
        signs = self._takes(_SIGNS)
        if signs is not None:
            operator = "=" if signs == "==" else signs
            if operator not in OPERATORS:
                raise unknown_name("operator", signs, OPERATORS)
            return Comparison(column, operator, self._value())
        words = (self._takes(_WORDS) or "").lower().split()
        if not words:
            raise self._error(f"expected an operator after the column '{column}'")
        if words == ["is"]:
            return self._missing(column)
        if words[-1] == "in":
            return Comparison(column, " ".join(words), self._list())
        contains = Comparison(column, "contains", self._value())
        return contains if len(words) == 1 else Not(contains)

    def _column(self) -> str:
        self._skip()
        if self._next() in ('"', "`"):
            return self._quoted()
        column = self._takes(_COLUMN)
        if column is None:
            raise self._error("expected the name of a column")
        return column

    def _missing(self, column: str) -> Expression:
        found = _MISSING.match(self._text, self._at)
        if found is None:
            raise self._error("expected 'missing' or 'not missing' after 'is'")
        self._at = found.end()
        self._skip()
        missing = Comparison(column, MISSING)
        return Not(missing) if found[1] else missing

    def _list(self) -> tuple[str | Word, ...]:
        opening = self._takes(re.compile(r"[(\[]"))
        closing = _CLOSING.get(opening or "", "")
        if closing and self._takes(re.compile(re.escape(closing))):
            return ()
        values = [self._value(closing or ",")]
        while self._takes(re.compile(",")):
            values.append(self._value(closing or ","))
        if closing and not self._takes(re.compile(re.escape(closing))):
            raise self._error(f"expected ',' or '{closing}'")
        return tuple(values)

    def _value(self, listed: str = "") -> str | Word:
        """Read a value; ``listed`` is empty, or the end of the list around it: ``,`` without brackets."""
        self._skip()
        if self._next() in ("'", '"'):
            return self._quoted()
        start = self._at
        self._bare(listed)
        text = self._text[start : self._at].strip()
        if not text:
            raise self._error("expected a value; write '' for an empty text")
        self._skip()
        return Word(text)

    def _bare(self, listed: str) -> None:
        """Skip a value without quotes: up to "and", "or", a closing bracket, or a comma of a list."""
        first, open_ = _FIRST.match(self._text, self._at), list[tuple[str, int]]()
        self._at = first.end() if first else self._at
        while self._at < len(self._text):
            sign = self._next()
            if not open_ and (sign == ")" or (listed and sign in (",", listed)) or _JOINT.match(self._text, self._at)):
                return
            if sign in ("<", ">", "=", '"'):
                raise self._error(f"{sign} in a value; put the value into quotes, or write 'and' before a comparison")
            if sign in _CLOSING:
                open_.append((_CLOSING[sign], self._at))
            elif open_ and sign == open_[-1][0]:
                open_.pop()
            self._at += 1
        if open_:
            self._at = open_[-1][1]
            raise self._error("this bracket is not closed; put the value into quotes")

    def _quoted(self) -> str:
        """Read a text in quotes; a doubled quote stands for one."""
        start, quote = self._at, self._next()
        found = re.compile(f"{quote}((?:[^{quote}]|{quote}{quote})*){quote}").match(self._text, start)
        if found is None:
            raise self._error(f"the quote {quote} is not closed")
        self._at = found.end()
        if re.match(r"[^\s<>=!~(),\]]", self._next()):
            raise self._error(f"unexpected text after a quote; write {quote} twice for a quote in a text")
        self._skip()
        return found[1].replace(quote * 2, quote)

    def _takes(self, pattern: re.Pattern[str]) -> str | None:
        """Skip a pattern and the blanks around it, if it comes next."""
        self._skip()
        found = pattern.match(self._text, self._at)
        if found is None:
            return None
        self._at = found.end()
        self._skip()
        return found[0]

    def _skip(self) -> None:
        while self._next().isspace():
            self._at += 1

    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _error(self, what: str) -> UsageError:
        place = f"at position {self._at + 1}" if self._at < len(self._text) else "at the end"
        return UsageError(f"filter {shortened(self._text, 80)!r} cannot be read {place}: {what}; {EXAMPLE}")
