"""What counts, what is left out, and what is refused."""

import numpy as np
import pytest

from kinbits._errors import DataError, UsageError
from kinbits.metrics import (
    LabelRelevance,
    MatrixRelevance,
    _ranking,
    evaluate,
    evaluate_scores,
    parse_metric,
    precision_recall_curve,
)

ZERO, FAR = np.zeros((1, 1), np.uint8), np.full((1, 1), 255, np.uint8)


def random_case(queries=12, database=300):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (queries + database, 4), dtype=np.uint8)
    labels = rng.integers(0, 5, queries + database)
    return codes[:queries], codes[queries:], LabelRelevance(labels[:queries], labels[queries:])


def test_queries_without_relevant_items_are_left_out_and_counted():
    codes = np.concatenate([ZERO, ZERO, FAR])
    result = evaluate(codes[:2], codes, LabelRelevance([0, 9], [0, 1, 1]), ["map@all", "recall@1"])
    assert result.excluded == 1
    assert result["map@all"] == pytest.approx(0.75)
    assert np.isnan(result.per_query["map@all"]).tolist() == [False, True]


def test_no_query_with_an_answer_is_an_error_rather_than_a_number():
    for measure in (
        lambda: evaluate(ZERO, FAR, LabelRelevance([0], [1]), ["map@all"]),
        lambda: precision_recall_curve(ZERO, FAR, LabelRelevance([0], [1])),
    ):
        with pytest.raises(DataError, match="no query has a relevant item"):
            measure()


def test_an_empty_ball_counts_zero_and_its_share_is_reported():
    queries = np.concatenate([ZERO, FAR])
    result = evaluate(queries, ZERO, LabelRelevance([0, 0], [0]), ["precision@r2", "recall@r2"])
    assert result["precision@r2"] == 0.5
    assert result["recall@r2"] == 0.5
    assert result.empty_balls == {"precision@r2": 0.5, "recall@r2": 0.5}


def test_a_list_longer_than_the_database_counts_the_missing_places_as_misses():
    result = evaluate(ZERO, ZERO, LabelRelevance([0], [0]), ["precision@4", "recall@4", "map@4"])
    assert dict(result) == {"precision@4": 0.25, "recall@4": 1.0, "map@4": 1.0}


def test_a_radius_beyond_the_code_length_takes_in_everything():
    result = evaluate(ZERO, np.concatenate([ZERO, FAR]), LabelRelevance([0], [0, 1]), ["precision@r999"])
    assert result["precision@r999"] == 0.5


def test_unlabelled_items_answer_nothing():
    assert not LabelRelevance([-1, 0], [-1, -1]).block(0, 2).any()


def test_multi_label_items_are_relevant_if_they_share_a_label():
    relevance = LabelRelevance(np.array([[1, 1, 0], [0, 0, 0]]), np.array([[0, 1, 1], [0, 0, 1]]))
    assert relevance.block(0, 2).tolist() == [[True, False], [False, False]]


def test_xor_mask_and_bit_order_do_not_change_the_numbers():
    queries, codes, relevance = random_case()
    names = ["map@all", "map@50", "precision@10", "precision@r2"]
    expected = dict(evaluate(queries, codes, relevance, names))
    mask = np.array([3, 77, 200, 129], np.uint8)
    assert dict(evaluate(queries ^ mask, codes ^ mask, relevance, names)) == expected
    assert dict(evaluate(queries[:, ::-1], codes[:, ::-1], relevance, names)) == expected


def test_blocks_of_queries_do_not_change_the_numbers(monkeypatch):
    queries, codes, relevance = random_case()
    names = ["map@all", "precision@r2"]
    whole = dict(evaluate(queries, codes, relevance, names))
    curve = precision_recall_curve(queries, codes, relevance, by="rank")
    monkeypatch.setattr(_ranking, "_BLOCK_PAIRS", 700)
    assert dict(evaluate(queries, codes, relevance, names)) == pytest.approx(whole)
    blocked = precision_recall_curve(queries, codes, relevance, by="rank")
    np.testing.assert_allclose(blocked.precision, curve.precision)


def test_a_result_reads_as_a_dict_and_prints_its_numbers():
    result = evaluate(ZERO, ZERO, LabelRelevance([0], [0]), ["MAP@All"])
    assert dict(result) == {"map@all": 1.0}
    assert "map@all=1.0000" in repr(result)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mpa@all", "did you mean map"),
        ("map", "map@1000"),
        ("map@-1", "cannot be read"),
        ("map@r2", "not a radius"),
        ("precision@all", "the same for every ranking"),
        ("recall@0", "1 item or more"),
    ],
)
def test_a_wrong_name_says_what_to_write(name, message):
    with pytest.raises(UsageError, match=message):
        parse_metric(name)


def test_other_wrong_arguments_are_named():
    one = LabelRelevance([0], [0])
    with pytest.raises(UsageError, match="expected, best, worst"):
        evaluate(ZERO, ZERO, one, ["map@all"], ties="stable")
    with pytest.raises(UsageError, match="no metric"):
        evaluate(ZERO, ZERO, one, [])
    with pytest.raises(UsageError, match="scores have no radius"):
        evaluate_scores(lambda start, stop: np.zeros((1, 1)), one, ["precision@r2"])
    with pytest.raises(DataError, match="NaN"):
        evaluate_scores(lambda start, stop: np.full((1, 1), np.nan), one, ["map@all"])
    with pytest.raises(DataError, match=r"\(1, 2\)"):
        evaluate_scores(lambda start, stop: np.zeros((1, 2)), one, ["map@all"])
    with pytest.raises(DataError, match="relevance for"):
        evaluate(ZERO, np.concatenate([ZERO, FAR]), one, ["map@all"])
    with pytest.raises(DataError, match="multi-hot"):
        LabelRelevance([0.5], [0])
    with pytest.raises(DataError, match="do not fit"):
        LabelRelevance([0], [[0, 1]])
    with pytest.raises(DataError, match="bool"):
        MatrixRelevance([[1, 0]])
    with pytest.raises(UsageError, match="radius or rank"):
        precision_recall_curve(ZERO, ZERO, one, by="depth")
    with pytest.raises(UsageError, match="1 or more"):
        precision_recall_curve(ZERO, ZERO, one, by="rank", ranks=[0])
