import numpy as np
import pytest
from tiny import picture

from kinbits.data import BadImage, CroppedItems, GroundTruth
from kinbits.errors import DataError, UsageError

TRUTH = GroundTruth.from_rows([[4, 0], []], [[1], [3]], [[5], []], database=6)


@pytest.mark.parametrize(
    ("difficulty", "relevant", "junk", "answered"),
    [
        ("easy", [[0, 4], []], [[1, 5], [3]], 1),
        ("medium", [[0, 1, 4], [3]], [[5], []], 2),
        ("hard", [[1], [3]], [[0, 4, 5], []], 2),
    ],
)
def test_the_three_gradings_of_revisited_oxford(difficulty, relevant, junk, answered):
    found = TRUTH.split(difficulty)
    assert [[rows.tolist() for rows in lists] for lists in found] == [relevant, junk]
    assert all(rows.dtype == np.int64 for lists in found for rows in lists)
    assert TRUTH.answered(difficulty) == answered


def test_no_row_is_relevant_and_junk_in_any_grading():
    for difficulty in ("easy", "medium", "hard"):
        for relevant, junk in zip(*TRUTH.split(difficulty), strict=True):
            assert not set(relevant) & set(junk)


def test_plain_lists_need_no_grades():
    truth = GroundTruth.from_rows([[2, 1], [0]], database=3)
    assert truth.split("medium")[0][0].tolist() == truth.split("easy")[0][0].tolist() == [1, 2]
    assert truth.answered("hard") == 0
    assert TRUTH.graded
    assert not truth.graded
    assert truth.describe() == "2 of 2 queries have an answer, 3 in all"


@pytest.mark.parametrize(
    ("lists", "reason"),
    [
        (([[0]], [[1], [2]], [[]]), "1 easy, 2 hard, 1 junk"),
        (([[6]], [[]], [[]]), "query 0 names row 6 of a database of 6"),
        (([[-1]], [[]], [[]]), "out of|names row"),
        (([[0], [2]], [[], [3]], [[], [2]]), "query 1 lists database row 2 more than once"),
    ],
)
def test_ground_truth_that_contradicts_itself_is_refused(lists, reason):
    with pytest.raises(DataError, match=reason):
        GroundTruth.from_rows(*lists, database=6)


def test_answers_follow_rows_that_are_left_out_or_moved():
    kept = TRUTH.select(np.array([1, 0]), np.array([5, 4, 3, 1]))
    assert [[rows.tolist() for rows in lists] for lists in (kept.easy, kept.hard, kept.junk)] == [
        [[], [1]],
        [[2], [3]],
        [[], [0]],
    ]
    assert (len(kept), kept.database) == (2, 4)


def test_another_difficulty_names_the_three():
    with pytest.raises(UsageError, match="easy, hard, medium"):
        TRUTH.split("extreme")


def test_rectangles_are_part_of_the_fingerprint_and_survive_selection(tmp_path):
    paths = [tmp_path / f"{n}.png" for n in range(3)]
    for seed, path in enumerate(paths):
        picture(seed).save(path)
    boxes = np.array([[2, 1, 8, 6], [np.nan] * 4, [50, 50, 60, 60]])
    items = CroppedItems(paths, boxes)
    chosen = items.select(np.array([1, 0]))
    assert [chosen.image(0).size, chosen.image(1).size] == [(12, 8), (6, 5)]
    assert np.array_equal(np.asarray(items.image(0)), np.asarray(picture(0))[1:6, 2:8])
    assert CroppedItems(paths, boxes + 1).fingerprint != items.fingerprint == CroppedItems(paths, boxes).fingerprint
    with pytest.raises(BadImage, match="outside the image of 12 x 8"):
        items.image(2)
