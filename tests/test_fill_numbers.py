"""Tables in documents are filled from files of results."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from kinbits.bench import QueryValues
from kinbits.metrics import RankingResult

SCRIPT = Path(__file__).parent.parent / "experiments" / "fill_numbers.py"
MEANS = {"features (cosine)": 0.25, "lsh": 0.1, "itq": 0.2, "orthohash": 0.3, "csq": 0.4, "shc": 0.6, "dch": 0.5}
PAGE = "# Title\n\n<!-- numbers: tiny map@all: best 2, orthohash -->\nold\n<!-- /numbers -->\n\nText\n"


def answers(label):
    """Return the value of each query; those of dch are sometimes above the best."""
    return np.tile([0.7, 0.3], 4) if label == "dch" else np.full(8, MEANS[label])


@pytest.fixture
def fill(tmp_path, monkeypatch):
    """Return a function that fills a README from a tiny file of results, and returns the new lines."""
    script = runpy.run_path(str(SCRIPT))
    monkeypatch.setitem(script["main"].__globals__, "ROOT", tmp_path)
    (tmp_path / "results").mkdir()
    rows = [
        {"protocol": "grocery-store", "backbone": "b", "direction": "image to image", "method": label, "seed": "0"}
        | {"bits": "float" if "cosine" in label else "16", "map@all": str(mean), "seconds": "1", "config": label}
        for label, mean in MEANS.items()
    ]
    lines = [",".join(rows[0]), *(",".join(row[name] for name in rows[0]) for row in rows)]
    (tmp_path / "results" / "tiny.csv").write_text("\n".join(lines) + "\n")
    measured = [
        row | {"per_query": RankingResult({"map@all": answers(row["method"])}, 0, {}, "expected")} for row in rows
    ]
    QueryValues(tmp_path / "results" / "tiny.csv", "map@all").write(measured, rows)

    def filled(page):
        (tmp_path / "README.md").write_text(page)
        assert script["main"]() == 0
        return (tmp_path / "README.md").read_text().splitlines()

    return filled


def test_the_best_of_each_group_and_named_methods_stand_in_a_short_table(fill):
    lines = fill(PAGE)
    assert lines[:3] == PAGE.splitlines()[:3]
    assert lines[3].startswith("**grocery-store (2,485 queries, 2,640 for training, 2,936 in the database), b: ")
    assert lines[5:-5] == [
        "| method | 16 bits |",
        "| --- | ---: |",
        "| **Training-free** | |",
        "| features (cosine) | 0.250 |",
        "| lsh | 0.100 |",
        "| itq | **0.200** |",
        "| **Supervised** | |",
        "| orthohash | 0.300 |",
        "| shc | **0.600** |",
        "| dch | 0.500 † |",
    ]
    assert "†: not significantly below it" in lines[-4]
    assert lines[-3:] == PAGE.splitlines()[-3:]
    assert fill("\n".join(lines)) == lines


def test_all_rows_are_shown_if_none_is_named_and_a_missing_script_table_is_told(fill):
    page = "<!-- numbers: tiny map@all -->\n<!-- /numbers -->\n<!-- numbers: none -->\n<!-- /numbers -->"
    lines = fill(page)
    assert [line.split(" | ")[0] for line in lines if "0." in line and "|" in line] == [f"| {one}" for one in MEANS]
    assert lines[-2] == "Not measured yet."
