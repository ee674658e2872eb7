"""What a robustness report prints and writes."""

import json
import re

import numpy as np
import pytest

from kinbits.attacks import build_attack
from kinbits.robustness import measure_robustness, table


@pytest.fixture(scope="module")
def report(fitted, splits):
    attacks = [build_attack("noise"), build_attack("pgd", steps=4)]
    return measure_robustness(fitted, splits, edits=("brightness 0.6", "grey"), attacks=attacks, curve=(2 / 255,))


@pytest.fixture(scope="module")
def written(report, tmp_path_factory):
    html, numbers, _ = report.save(tmp_path_factory.mktemp("report") / "new")
    return html.read_text(), json.loads(numbers.read_text())


def test_the_table_fits_a_terminal_edits_first(report):
    shown = str(report)
    assert max(map(len, shown.splitlines())) <= 80
    lines = [line.strip() for line in shown.splitlines()]
    places = [lines.index(heading) for heading in ("everyday edits", "attacks", "other budgets", "bounds")]
    assert places == sorted(places)
    assert f"{report['grey'].map:.3f}" in shown
    assert "2nd" not in shown  # no second model


def test_the_short_form_is_one_line(report):
    assert "\n" not in repr(report)
    assert f"clean {report['clean'].map:.4f}" in repr(report)
    with pytest.raises(KeyError):
        report["gray"]


def test_json_holds_every_number_and_no_picture(report, written):
    told = written[1]
    assert [row["name"] for row in told["rows"]] == [row.name for row in report.rows]
    assert told["rows"][1]["map"] == report.rows[1].map
    assert told["curves"]["noise"][0] == [0.0, report["clean"].map]
    assert "data:image" not in json.dumps(told)


def test_the_first_5000_hits_have_columns_where_there_are_more(report, monkeypatch):
    assert "@5000" not in str(report)  # 27 items: the columns would be the same
    for row in report.rows:
        assert (row.map_5000, row.target_map_5000) == (row.map, row.target_map)
    monkeypatch.setattr(table, "FIRST", 5)
    heads = str(report).splitlines()[2].split()
    assert heads == ["mAP", "@5000", "lost", "t-mAP", "max", "RMSE", "SSIM", "ms"]
    assert "not shown: t@5000" in str(report)  # names need their place
    assert max(map(len, str(report).splitlines())) <= 80
    assert "t@5000" in report._repr_html_()


def test_the_precisions_of_queries_are_kept_and_their_mean_is_the_map(report):
    for row in report.rows:
        assert len(row.precisions) == len(report.queries) == report.facts["queries"]
        assert np.mean(row.precisions) == pytest.approx(row.map, abs=1e-12)
    assert "precisions" not in report.to_json()


def test_the_page_reaches_for_nothing_outside(written):
    text = written[0]
    assert "<script" not in text
    for address in re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"')\s>]+)""", text):
        assert address.startswith(("data:", "#")), address


def test_the_page_shows_numbers_examples_and_the_purpose(report, written):
    text = written[0]
    for row in report.rows:
        assert f"<td>{row.map:.3f}</td>" in text
    assert "<h3>grey</h3>" in text
    assert "<h3>pgd (steps=4)</h3>" in text
    assert "mAP against the budget" in text
    assert "no proof" in text
    assert "<b>blue" not in text
    assert "&lt;b&gt;blue" in text


def test_a_notebook_shows_the_table(report):
    html = report._repr_html_()
    assert f"<td>{report['grey'].map:.3f}</td>" in html
    assert "<h3>" not in html
