"""Pairs that may be bursts: by EXIF time, or by the numbers of a camera."""

import numpy as np
import pytest

from kinbits.dedupe.bursts import burst_pairs

SAME = (640, 480)


@pytest.mark.parametrize(
    ("one", "two", "is_burst"),
    [
        (("a/x.jpg", 10.0, SAME), ("a/y.jpg", 12.5, SAME), True),
        (("a/x.jpg", 10.0, SAME), ("a/y.jpg", 14.0, SAME), False),  # too late
        (("a/x.jpg", 10.0, SAME), ("b/y.jpg", 11.0, SAME), False),  # another folder
        (("a/x.jpg", 10.0, SAME), ("a/x-edited.jpg", 10.0, SAME), False),  # an edited copy keeps the time
        (("a/IMG_0001.jpg", 10.0, SAME), ("a/IMG_0002.jpg", 10.0, SAME), True),
        (("a/IMG_0001.jpg", None, SAME), ("a/IMG_0003.jpg", None, SAME), True),
        (("a/IMG_0001.jpg", None, SAME), ("a/IMG_0009.jpg", None, SAME), False),
        (("a/IMG_0001.jpg", None, SAME), ("a/IMG_0002.jpg", None, (320, 240)), False),  # a smaller copy
        (("a/IMG_0001.jpg", 10.0, SAME), ("a/IMG_0002.jpg", 99.0, SAME), False),
        (("a/IMG_0001.jpg", None, SAME), ("a/DSC_0002.jpg", None, SAME), False),
        (("a/IMG_0001.jpg", None, SAME), ("a/IMG_0001 (2).jpg", None, SAME), False),
    ],
)
def test_which_pairs_are_bursts(one, two, is_burst):
    paths, taken, sizes = zip(one, two, strict=True)
    times = np.array([np.nan if time is None else time for time in taken], float)
    first, second = burst_pairs(paths, times, np.array(sizes))
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == ([(0, 1)] if is_burst else [])


def test_each_pair_is_there_once_and_long_series_stay_small():
    names = [f"a/IMG_{number:04}.jpg" for number in range(1000)]
    first, second = burst_pairs(names, np.arange(1000) * 0.1, np.full((1000, 2), 9))
    assert (first < second).all()
    assert len(set(zip(first.tolist(), second.tolist(), strict=True))) == len(first) <= 8000
