"""Operating points: chosen on one half of the queries, measured on the other, worked out by hand."""

import numpy as np
import pytest

from kinbits import DataError, UsageError
from kinbits.metrics import LabelRelevance, ListRelevance, MatrixRelevance, operating_point, parse_target
from kinbits.metrics.operating_points import halves

# distances to code 0: 0, 1, 1, 2, 3; relevant: yes, yes, no, yes, no
ITEMS = np.array([[0b0], [0b1], [0b10], [0b11], [0b111]], np.uint8)
RIGHT = np.array([True, True, False, True, False])


def point(target, queries=4, right=RIGHT, items=ITEMS, **options):
    """Queries that are all the same, so that both halves are too."""
    relevance = MatrixRelevance(np.tile(right, (queries, 1)))
    return operating_point(np.zeros((queries, 1), np.uint8), items, relevance, target, **options)


@pytest.mark.parametrize(
    ("target", "radius", "precision", "recall", "pairs"),
    [
        ("precision=1", 0, 1.0, 1 / 3, 2),
        ("precision=0.76", 0, 1.0, 1 / 3, 2),
        ("precision=0.75", 2, 3 / 4, 1.0, 8),  # the largest radius, although radius 1 reaches only 2/3
        ("precision=0.7", 2, 3 / 4, 1.0, 8),
        ("precision=0.6", 3, 3 / 5, 1.0, 10),  # nothing lies beyond 3
        ("recall=0.3", 0, 1.0, 1 / 3, 2),
        ("recall=0.5", 1, 2 / 3, 2 / 3, 6),
        ("recall=1", 2, 3 / 4, 1.0, 8),
    ],
)
def test_worked_numbers(target, radius, precision, recall, pairs):
    found = point(target)
    assert (found.radius, found.pairs) == (radius, pairs)
    assert (found.precision, found.recall) == pytest.approx((precision, recall), abs=1e-15)
    assert found.precision_interval == pytest.approx((precision, precision), abs=1e-15)
    assert (found.chosen_on, found.queries) == (2, 2)
    assert found.chosen_value == pytest.approx(precision if "precision" in target else recall, abs=1e-15)


def test_where_no_radius_reaches_it_the_highest_is_told():
    found = point("precision=0.8", right=np.array([False, True, False, True, False]))
    assert (found.radius, found.precision, found.recall_interval, found.pairs) == (None, None, None, 0)
    assert found.chosen_value == 2 / 4
    assert str(found) == "precision=0.8: no radius reaches it; the highest precision of any is 0.5000"


def halved(seed=0):
    """Six queries: those that choose find two right items, those that measure find one right and some wrong ones."""
    choosing, measuring = halves(6, seed)
    items = np.array([[0b0], [0b1], [0b11111100], [0b11111101]], np.uint8)
    queries = np.zeros((6, 1), np.uint8)
    queries[measuring[1:]] = 0b11111100
    right = np.zeros((6, 4), bool)
    right[choosing, :2] = True
    right[measuring, [0, 2, 2]] = True
    right[measuring, [1, 0, 0]] = [True, True, True]
    return queries, items, MatrixRelevance(right)


def test_the_numbers_are_those_of_the_queries_that_did_not_choose():
    found = operating_point(*halved(), "precision=0.95")
    assert (found.radius, found.chosen_value) == (1, 1.0)
    # measured: (2 of 2), (1 of 2), (1 of 2) pairs are right; of 2 relevant each, 2, 1 and 1 are found
    assert (found.pairs, found.precision, found.recall) == (6, 4 / 6, 4 / 6)
    # three draws of (1, 1/2, 1/2): all halves with probability 8/27, all ones with 1/27 > 0.025
    assert found.precision_interval == (0.5, 1.0)
    assert found.recall_interval == (0.5, 1.0)


def test_a_draw_takes_all_pairs_of_a_query():
    """Two held-out queries with 3 of 4 and 0 of 1 right: resampled ratios are 3/4, 3/5 and 0, not means of shares."""
    choosing, measuring = halves(4, 0)
    items = np.array([[0], [0], [0], [0], [255]], np.uint8)
    queries = np.zeros((4, 1), np.uint8)
    queries[measuring[1]] = 255
    right = np.zeros((4, 5), bool)
    right[choosing, :4] = True
    right[measuring[0], :3] = True
    right[measuring[1], 0] = True
    found = operating_point(queries, items, MatrixRelevance(right), "precision=1")
    assert (found.radius, found.precision) == (0, 3 / 5)
    assert found.precision_interval == (0.0, 3 / 4)  # each of the ends has probability 1/4
    drawn = operating_point(queries, items, MatrixRelevance(right), "precision=1", level=0.4)
    assert drawn.precision_interval == (3 / 5, 3 / 5)  # and the middle 1/2


def test_a_query_without_an_answer_counts_with_what_it_finds():
    right = np.zeros((4, 5), bool)
    choosing, measuring = halves(4, 0)
    right[choosing, :4] = right[measuring[0], :4] = True
    found = operating_point(np.zeros((4, 1), np.uint8), ITEMS, MatrixRelevance(right), "precision=1")
    assert (found.radius, found.precision, found.recall) == (2, 0.5, 1.0)


def test_junk_is_in_no_pair():
    lists = [[0, 1, 3]] * 4
    relevance = ListRelevance(lists, 5, junk=[[2]] * 4)
    found = operating_point(np.zeros((4, 1), np.uint8), ITEMS, relevance, "precision=1")
    assert (found.radius, found.pairs, found.recall) == (2, 6, 1.0)


def test_the_same_seed_gives_the_same_point_and_the_halves_are_told():
    rng = np.random.default_rng(0)
    codes, labels = rng.integers(0, 256, (60, 2), np.uint8), rng.integers(0, 3, 60)
    first, again, other = (
        operating_point(codes, codes, LabelRelevance(labels, labels), "recall=0.5", samples=100, seed=seed)
        for seed in (0, 0, 1)
    )
    assert first == again != other
    for seed in (0, 1):
        choosing, measuring = halves(61, seed)
        assert (len(choosing), len(measuring)) == (31, 30)
        assert sorted([*choosing, *measuring]) == list(range(61))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("precision", "cannot be read; write e.g. precision=0.95"),
        ("precision=", "above 0 and at most 1"),
        ("precision=95", "above 0 and at most 1"),
        ("precision=nan", "above 0 and at most 1"),
        ("recall=0", "above 0 and at most 1"),
        ("precison=0.9", "did you mean precision"),
        ("f1=0.9", "known: precision, recall"),
    ],
)
def test_a_wrong_target_is_named(text, told):
    with pytest.raises(UsageError, match=told):
        parse_target(text)


def test_a_target_has_one_name():
    assert [str(parse_target(text)) for text in (" Precision = .950", "recall=1.0")] == ["precision=0.95", "recall=1"]


def test_what_cannot_be_halved_or_has_no_answer_is_refused():
    with pytest.raises(DataError, match="one query cannot be halved"):
        point("precision=0.9", queries=1)
    with pytest.raises(DataError, match="no query has a relevant item"):
        point("precision=0.9", right=np.zeros(5, bool))
    with pytest.raises(UsageError, match="samples=0"):
        point("precision=0.9", samples=0)
