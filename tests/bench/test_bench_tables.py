"""Tables of results, in Markdown and HTML."""

import pytest

from kinbits.bench import Comparison
from kinbits.bench.tables import html, markdown


def row(method, bits, seed, value):
    place = {"protocol": "p", "backbone": "b", "direction": "image to image"}
    return place | {"method": method, "bits": bits, "seed": seed, "map@all": value}


def test_tables_show_mean_deviation_and_interval_and_the_best_in_bold():
    rows = [row("a", "16", s, v) for s, v in zip("012", ("0.5", "0.6", "0.7"), strict=True)]
    rows += [row("b", "16", "0", "0.4"), row("a", "8", "0", "0.1"), row("features", "float", "0", "0.9")]
    (table,) = Comparison.from_rows(rows, "map@all")
    assert table.bits == ("8", "16")
    cells = dict(table.rows)
    assert (cells["a"][1].mean, cells["a"][1].deviation) == pytest.approx((0.6, 0.1))
    assert cells["a"][1].halfwidth == pytest.approx(4.302653 * 0.1 / 3**0.5)  # Student's t with 2 degrees of freedom
    assert [cell and cell.best for cell in cells["a"]] == [True, True]
    assert cells["b"][0] is None
    lines = table.markdown().splitlines()
    assert "| a | **0.100** | **0.600 ± 0.100** |" in lines
    assert "| b | - | 0.400 |" in lines
    assert "| features | 0.900 | 0.900 |" in lines  # what has no bits stands in every column, and wins no prize


def test_the_page_needs_nothing_from_elsewhere_and_escapes_names():
    found = Comparison.from_rows([row("<b>x</b>", "8", "0", "0.5")], "map@all")
    shown = html("<t>", found, "note")
    assert "<b>x" not in shown
    assert "&lt;b&gt;x" in shown
    assert "<td title='1 runs: 0.5000' class=best>0.500</td>" in shown
    assert "http" not in shown
    assert "<script" not in shown
    assert markdown("t", found, "note").startswith("# t\n\nnote\n\n**p, b: tie-aware map@all**")
