"""Values of queries are kept for each row of the results, small and in step with the CSV file."""

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from kinbits.bench import Experiment, bench, load_results
from kinbits.bench.query_values import QueryValues
from kinbits.errors import ArtefactError
from kinbits.methods import get_method
from kinbits.metrics import RankingResult


def row(config, values, metric="map@all", direction="image to image"):
    result = RankingResult({metric: np.asarray(values, float)}, 0, {}, "expected")
    return {"config": config, "direction": direction, "per_query": result}


def test_values_come_back_to_three_digits_with_holes(tmp_path):
    kept = QueryValues(tmp_path / "x.csv", "acg@100")
    rows = [row("a", [0.12345, np.nan, 1.0], "acg@100"), row("a", [2.5], "acg@100", "text to image")]
    kept.write(rows, rows)
    assert (tmp_path / "x.queries.parquet").exists()
    found = kept.read()
    np.testing.assert_array_equal(found["a", "image to image"], [0.123, np.nan, 1.0])
    np.testing.assert_array_equal(found["a", "text to image"], [2.5])
    assert QueryValues(tmp_path / "x.csv", "map@all").read() == {}


def test_values_of_rows_that_are_gone_are_dropped(tmp_path):
    kept = QueryValues(tmp_path / "x.csv", "map@all")
    first, second = row("a", [0.1]), row("b", [0.2])
    kept.write([first], [first])
    kept.write([second], [first, second])
    assert {config for config, _ in kept.read()} == {"a", "b"}
    kept.write([], [second])
    assert {config for config, _ in kept.read()} == {"b"}


def test_a_thousand_queries_take_less_than_two_kilobytes(tmp_path):
    kept = QueryValues(tmp_path / "x.csv", "map@all")
    rows = [row(str(number), np.random.default_rng(number).random(1000)) for number in range(20)]
    kept.write(rows, rows)
    assert kept.path.stat().st_size < 20 * 2000


def test_a_damaged_file_is_named_with_what_to_do(tmp_path):
    kept = QueryValues(tmp_path / "x.csv", "map@all")
    kept.path.write_bytes(b"PAR1 no")
    with pytest.raises(ArtefactError, match=r"x\.queries\.parquet cannot be read .*delete it"):
        kept.read()


@pytest.mark.parametrize(
    "changed",
    [
        {"values": [["high", "low"]]},
        {"values": [0.5]},
        {"values": [[70_000]]},
        {"values": [None]},
        {"config": [None]},
        {"config": [["a"]]},
        {"direction": None},
    ],
)
def test_a_file_of_another_form_is_named_with_what_to_do(tmp_path, changed):
    kept = QueryValues(tmp_path / "x.csv", "map@all")
    columns = {"config": ["a"], "direction": ["image to image"], "metric": ["map@all"], "values": [[500, 1000]]}
    for change in ({}, changed):
        table = {name: cells for name, cells in (columns | change).items() if cells is not None}
        parquet.write_table(pa.table(table), kept.path)
        if not change:  # as other programs write it, with other types of text and numbers
            np.testing.assert_array_equal(kept.read()["a", "image to image"], [0.5, 1])
    with pytest.raises(ArtefactError, match=r"x\.queries\.parquet cannot be read .*delete it"):
        kept.read()


def test_a_run_keeps_what_its_rows_are_means_of(small, tmp_path, monkeypatch):
    small |= {"methods": ["lsh"], "bits": [8], "seeds": [0], "training": {}}
    path, experiment = tmp_path / "x.csv", Experiment.from_dict(small)
    results = bench(experiment, path).results

    def means():
        return {config: values.mean() for (config, _), values in results.query_values.read().items()}

    before = means()
    assert before == pytest.approx({one["config"]: float(one["map@all"]) for one in results}, abs=5e-4)
    monkeypatch.setattr(get_method("lsh"), "version", 2)
    results = bench(experiment, path).results  # the row of lsh is replaced, and its values too
    after = means()
    assert after.keys() == {one["config"] for one in results} != before.keys()
    without = Experiment.from_dict(small | {"baselines": False})
    load_results(without, path, prune=True)
    assert len(means()) == 1
