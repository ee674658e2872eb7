"""Rows that stay on disk: indexing reads what an array in memory would give."""

import operator
import pickle
from functools import partial

import numpy as np
import pytest

from kinbits import DataError
from kinbits.data import MappedRows, finite_rows, select_rows

WHOLE = np.arange(60, dtype=np.float32).reshape(20, 3)
PARTS = [WHOLE[:7], WHOLE[7:7], WHOLE[7:8], WHOLE[8:]]


@pytest.mark.parametrize(
    "rows",
    [slice(None), slice(3, 15), slice(18, 2, -5), np.array([19, 0, 7, 7]), [6, 8], WHOLE[:, 0] % 2 == 0, 5, -1],
    ids=str,
)
def test_indexing_reads_the_rows_of_an_array(rows):
    found = MappedRows(PARTS)[rows]
    np.testing.assert_array_equal(found, WHOLE[rows])
    assert found.dtype == WHOLE.dtype


def test_views_choose_among_the_rows_of_views():
    view = MappedRows(PARTS).select(np.array([15, 2, 9, 4])).select(np.array([3, 0]))
    np.testing.assert_array_equal(view, WHOLE[[4, 15]])
    assert (view.shape, view.nbytes, len(view)) == ((2, 3), 24, 2)
    np.testing.assert_array_equal(view[1], WHOLE[15])
    with pytest.raises(IndexError):
        view[2]


def test_a_change_is_applied_to_what_is_read():
    view = MappedRows(PARTS).changed(lambda read: read[:, :2]).select(np.array([5, 1]))
    view = view.changed(lambda read: read.astype(np.float64) * 2)
    assert (view.shape, view.dtype) == ((2, 2), np.float64)
    np.testing.assert_array_equal(view, 2.0 * WHOLE[[5, 1], :2])


def test_a_copy_of_another_process_reads_the_same():
    view = MappedRows(PARTS).changed(partial(operator.mul, 2)).select(np.array([9, 0]))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(view)), 2 * WHOLE[[9, 0]])


def test_indices_mean_what_they_mean_for_an_array_or_are_refused():
    rows = MappedRows(PARTS)
    np.testing.assert_array_equal(rows[[-1, -20, 3]], WHOLE[[-1, -20, 3]])
    for wrong in ([20], [-21], (0, 1), np.ones(19, bool)):
        with pytest.raises(IndexError):
            rows[wrong]


@pytest.mark.parametrize("other", [np.ones((2, 4), np.float32), np.ones((2, 3))])
def test_parts_of_another_width_or_dtype_are_refused(other):
    with pytest.raises(DataError, match="one width and dtype"):
        MappedRows([WHOLE, other])


def test_rows_of_a_memory_map_are_a_view_and_those_of_an_array_a_copy(tmp_path):
    np.save(tmp_path / "a.npy", WHOLE)
    mapped = select_rows(np.load(tmp_path / "a.npy", mmap_mode="r"), np.array([4, 2]))
    assert isinstance(mapped, MappedRows)
    copied = select_rows(WHOLE, np.array([4, 2]))
    assert isinstance(copied, np.ndarray)
    np.testing.assert_array_equal(mapped, copied)


def test_rows_that_are_not_finite_as_float32_are_found_on_disk_too():
    rows = np.ones((9, 2))
    rows[[2, 7], 1] = np.nan, 1e300
    expected = [row not in (2, 7) for row in range(9)]
    assert finite_rows(rows).tolist() == expected
    assert finite_rows(MappedRows([rows[:4], rows[4:]])).tolist() == expected
