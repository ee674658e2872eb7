"""The metadata table of a segment."""

import numpy as np
import pytest

from kinbits.index.filters import bind, parse_where
from kinbits.index.store import bitmap
from kinbits.index.store.metadata import MetadataTable


@pytest.mark.parametrize("limit", [-1, 0, 1, 10, 40, 90, 100])
@pytest.mark.parametrize("rows", [1, 15, 16, 17, 48, 49, 1000])
def test_few_and_many_rows_are_selected_alike(limit, rows):
    years = np.random.default_rng(rows).integers(0, 100, rows)
    years[20:200] = 0  # so that the statement changes between two blocks
    table = MetadataTable.from_rows({"year": "integer"}, [(year,) for year in years.tolist()])
    where = bind(parse_where(f"year<{limit}"), table.kinds)
    for _ in range(2):  # evaluated, and remembered
        found = bitmap.unpack(table.select(where, rows, sample=16, block=32), 0, rows)
        assert np.array_equal(found, years < limit)
