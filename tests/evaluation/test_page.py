"""The report page: complete in one file, right in its details, and drawn by a browser."""

import re
import shutil
import subprocess
from html import escape

import numpy as np
import pytest
from PIL import Image

import kinbits


@pytest.fixture(scope="module")
def html(pictures_report, tmp_path_factory):
    return pictures_report[0].html(tmp_path_factory.mktemp("page") / "report.html")


def test_the_page_reaches_for_nothing_outside(html):
    text = html.read_text()
    assert "<script" not in text
    for address in re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"')\s>]+)""", text):
        assert address.startswith(("data:", "#")), address
    assert "@import" not in text


def test_names_from_the_data_are_shown_and_not_obeyed(html):
    text = html.read_text()
    assert "<b>red" not in text
    assert "&lt;b&gt;red&lt;/b&gt;" in text


def test_every_number_stands_with_its_interval(pictures_report, html):
    shown, text = pictures_report[0], html.read_text()
    for row in shown.rows:
        for name, value in row.values.items():
            assert f"{value:.4f}" in text
            if row.bits is not None:
                low, high = row.intervals[name]
                assert low <= value <= high
                assert f"{low:.3f} to {high:.3f}" in text


def test_operating_points_stand_with_their_intervals(pictures_report, html):
    shown, text = pictures_report[0], html.read_text()
    assert "Operating points" in text
    for row in shown.rows:
        for point in row.operating_points:
            if point.radius is None:
                assert f"no radius reaches it; highest: {point.chosen_value:.4f}" in text
            else:
                low, high = point.precision_interval
                assert f"<td>{point.precision:.4f} <small>{low:.3f} to {high:.3f}</small></td>" in text
                assert f"<td>{point.pairs:,}</td>" in text


def test_classes_stand_with_their_queries_and_intervals_lowest_first(pictures_report, html):
    shown, text = pictures_report[0], html.read_text()
    table = text[text.index("<h2>Classes</h2>") :]
    table = table[: table.index("</table>")]
    found = re.findall(
        r"<th scope=.row.>(.*?)</th><td>(\d+)</td><td>([\d.]+) <small>([\d.]+) to ([\d.]+)</small>", table
    )
    told = [(name, int(queries), float(value)) for name, queries, value, _, _ in found]
    expected = sorted(shown.classes, key=lambda one: one.values["map@all"])
    assert told == [(escape(one.name), one.queries, round(one.values["map@all"], 4)) for one in expected]
    assert {queries for _, queries, _ in told} == {16}
    assert all(float(low) <= float(value) <= float(high) for _, _, value, low, high in found)


def test_models_of_two_lengths_are_compared(pictures_report, html):
    assert [row.name for row in pictures_report[0].rows[:2]] == ["orthohash, 16 bits", "orthohash, 8 bits"]
    assert [row.bits for row in pictures_report[0].rows[:2]] == [16, 8]
    assert "against code length" in html.read_text()


def test_ids_of_two_charts_do_not_meet(html):
    ids = re.findall(r'\bid="([^"]+)"', html.read_text())
    assert len(ids) == len(set(ids))


def test_a_report_without_details_is_a_page_too(pictures_report, tmp_path):
    shown = kinbits.evaluate(pictures_report[1][0], pictures_report[2], baselines=False)
    text = shown.html(tmp_path / "short.html").read_text()
    assert "Worst queries" not in text
    assert f"{shown.rows[0].values['map@all']:.4f}" in text


def test_a_page_that_cannot_be_written_says_so(pictures_report):
    with pytest.raises(kinbits.PlatformError, match=r"report\.html cannot be written"):
        pictures_report[0].html("/proc/report.html")
    with pytest.raises(kinbits.PlatformError, match=r"curves\.png cannot be written"):
        pictures_report[0].plot("/proc/curves.png")


@pytest.mark.slow
def test_a_browser_draws_the_page_without_a_network(html, tmp_path):
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("needs Debian's chromium")
    shot = tmp_path / "page.png"
    done = subprocess.run(
        [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--window-size=1280,1600",
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--screenshot={shot}",
            html.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with Image.open(shot) as drawn:
        assert drawn.size == (1280, 1600)
        shades = np.asarray(drawn.convert("L"))
    assert (shades > 250).mean() > 0.5  # paper
    ink = (shades < 100).any(axis=1)
    assert ink[:200].any()  # the title
    assert ink[800:].any()  # and what stands far below it
