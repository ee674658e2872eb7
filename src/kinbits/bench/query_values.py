"""The value of each query in each trial, which paired tests compare: a Parquet file next to the results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kinbits._util import file_aside, one_line, open_arrow
from kinbits.errors import ArtefactError, platform_error
from kinbits.metrics import RankingResult

if TYPE_CHECKING:
    import pyarrow as pa

PER_QUERY = "per_query"  # the values in a measured row
SCALE = 1000  # steps of the file: finer ones compress badly, and would not change a mean over queries
NOT_COUNTED = np.iinfo(np.uint16).max

COLUMNS = ["config", "direction", "metric", "values"]

Floats = NDArray[np.float64]
Row = Mapping[str, Any]
Key = tuple[str, str]  # config, direction


class QueryValues:
    """Values of one metric, a list for each row of the results, rounded to 0.001.

    Rows and lists belong together by ``config`` and ``direction``. The file is small, so that it can be committed:
    about 1.3 bytes per query and row.

    Args:
        results: The CSV file of the results; the values are in ``NAME.queries.parquet``, which need not exist.
        metric: Name of the metric.
    """

    def __init__(self, results: Path, metric: str) -> None:
        self.path, self.metric = results.with_suffix(".queries.parquet"), metric

    def read(self) -> dict[Key, Floats]:
        """Return the values, float64 ``(q,)`` by config and direction, with NaN for queries that do not count.

        Returns:
            Nothing if there is no file, or if it holds another metric.

        Raises:
            ArtefactError: If the file is damaged, or has another form.
        """
        if not self.path.exists():
            return {}
        import pyarrow as pa
        from pyarrow import parquet

        try:
            with open_arrow(self.path) as file:
                table = parquet.read_table(file).select(COLUMNS).cast(_schema())
            if any(column.null_count for column in table.columns):
                raise ValueError("a cell is empty")
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise ArtefactError(
                f"{self.path} cannot be read ({one_line(error)}); delete it to write tables without tests"
            ) from None
        rows = zip(*(column.to_numpy() for column in table.columns), strict=True)
        return {(config, way): _decoded(steps) for config, way, metric, steps in rows if metric == self.metric}

    def write(self, measured: Iterable[Row], rows: Sequence[Row]) -> None:
        """Add values, and drop those of rows that are no longer in the results.

        Args:
            measured: New rows, with a `RankingResult` below ``per_query``; others have no values.
            rows: All rows that the results will have.

        Raises:
            ArtefactError: If the file is damaged.
            PlatformError: If the file cannot be written.
        """
        old = self.read()
        new = {_key(row): row[PER_QUERY].per_query[self.metric] for row in measured if self._has_values(row)}
        present = {_key(row) for row in rows}
        kept = {key: values for key, values in {**old, **new}.items() if key in present}
        if not new and kept.keys() == old.keys():
            return
        self._save(kept)

    def _has_values(self, row: Row) -> bool:
        result = row.get(PER_QUERY)
        return isinstance(result, RankingResult) and self.metric in result.per_query

    def _save(self, values: Mapping[Key, Floats]) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        rows = [(*key, self.metric, _encoded(one)) for key, one in values.items()]
        arrays = [pa.array([row[place] for row in rows], kind) for place, kind in enumerate(_schema().types)]
        try:
            with file_aside(self.path) as aside:
                parquet.write_table(pa.table(arrays, names=COLUMNS), aside, compression="zstd")
        except OSError as error:
            raise platform_error(f"{self.path} cannot be written", error) from None


def _schema() -> pa.Schema:
    import pyarrow as pa

    types = [pa.string(), pa.string(), pa.string(), pa.list_(pa.uint16())]
    return pa.schema(list(zip(COLUMNS, types, strict=True)))


def _key(row: Row) -> Key:
    return str(row["config"]), str(row["direction"])


def _encoded(values: Floats) -> np.ndarray:
    steps = np.clip(np.rint(np.nan_to_num(values) * SCALE), 0, NOT_COUNTED - 1)
    return np.where(np.isnan(values), NOT_COUNTED, steps).astype(np.uint16)


def _decoded(steps: np.ndarray) -> Floats:
    return np.where(steps == NOT_COUNTED, np.nan, steps / SCALE)
