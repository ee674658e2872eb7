"""The report page: complete in one file, right in its details, and drawn by a browser."""

import re
import shutil
import subprocess
from html import escape

import numpy as np
import pytest
from PIL import Image

import kinbits
from kinbits import metrics
from kinbits.data import split_folder
from kinbits.evaluation.report.class_table import shown_classes
from kinbits.evaluation.report.examples import Confusion, confusion, examples
from kinbits.metrics import ClassResult

CLASSES = ("<b>red</b>", "green", "blue")


def pictures(rows=240):
    rng = np.random.default_rng(0)
    labels = np.arange(rows) % 3
    images = rng.integers(0, 150, (rows, 32, 32, 3), dtype=np.uint8)
    images[np.arange(rows), :, :, labels] += 60
    return kinbits.open_dataset(images, labels=[CLASSES[label] for label in labels])


@pytest.fixture(scope="module")
def report():
    data = split_folder(pictures(), seed=0, query=0.2)
    options = {"backbone": "convnet-small", "progress": False, "cache": None}
    models = [kinbits.fit(data.train, bits=bits, epochs=2, **options) for bits in (16, 8)]
    at = ["precision=0.5", "precision=1"]
    return kinbits.evaluate(models[0], data, compare_with=models[1:], details=True, at=at), models, data


@pytest.fixture(scope="module")
def html(report, tmp_path_factory):
    return report[0].html(tmp_path_factory.mktemp("page") / "report.html")


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


def test_every_number_stands_with_its_interval(report, html):
    shown, text = report[0], html.read_text()
    for row in shown.rows:
        for name, value in row.values.items():
            assert f"{value:.4f}" in text
            if row.bits is not None:
                low, high = row.intervals[name]
                assert low <= value <= high
                assert f"{low:.3f} to {high:.3f}" in text


def test_operating_points_stand_with_their_intervals(report, html):
    shown, text = report[0], html.read_text()
    assert "Operating points" in text
    for row in shown.rows:
        for point in row.operating_points:
            if point.radius is None:
                assert f"no radius reaches it; highest: {point.chosen_value:.4f}" in text
            else:
                low, high = point.precision_interval
                assert f"<td>{point.precision:.4f}<small>{low:.3f} to {high:.3f}</small></td>" in text
                assert f"<td>{point.pairs:,}</td>" in text


def test_classes_stand_with_their_queries_and_intervals_lowest_first(report, html):
    shown, text = report[0], html.read_text()
    table = text[text.index("<h2>Classes</h2>") :]
    table = table[: table.index("</table>")]
    found = re.findall(
        r"<th scope=.row.>(.*?)</th><td>(\d+)</td><td>([\d.]+)<small>([\d.]+) to ([\d.]+)</small>", table
    )
    told = [(name, int(queries), float(value)) for name, queries, value, _, _ in found]
    expected = sorted(shown.classes, key=lambda one: one.values["map@all"])
    assert told == [(escape(one.name), one.queries, round(one.values["map@all"], 4)) for one in expected]
    assert {queries for _, queries, _ in told} == {16}
    assert all(float(low) <= float(value) <= float(high) for _, _, value, low, high in found)


def test_a_table_of_very_many_classes_names_the_lowest_and_says_so():
    many = [ClassResult(f"c{number}", 5, {"mrr": number / 200}, {"mrr": (0.0, 1.0)}) for number in range(150)]
    odd = [ClassResult("few", 1, {"mrr": 0.0}, {}), ClassResult("none", 0, {}, {})]
    shown, note = shown_classes([*many, *odd], ["mrr"], "model")
    assert [one.name for one in shown] == ["c0", "few", *(f"c{number}" for number in range(1, 99))]
    assert "the other 51 of 151 classes are in the JSON report" in note
    assert "fewer than 5 queries have no interval" in note
    assert "without a relevant item: none." in note


def test_models_of_two_lengths_are_compared(report, html):
    assert [row.name for row in report[0].rows[:2]] == ["orthohash, 16 bits", "orthohash, 8 bits"]
    assert [row.bits for row in report[0].rows[:2]] == [16, 8]
    assert "against code length" in html.read_text()


def test_ids_of_two_charts_do_not_meet(html):
    ids = re.findall(r'\bid="([^"]+)"', html.read_text())
    assert len(ids) == len(set(ids))


def test_a_report_without_details_is_a_page_too(report, tmp_path):
    shown = kinbits.evaluate(report[1][0], report[2], baselines=False)
    text = shown.html(tmp_path / "short.html").read_text()
    assert "Worst queries" not in text
    assert f"{shown.rows[0].values['map@all']:.4f}" in text


def test_a_page_that_cannot_be_written_says_so(report):
    with pytest.raises(kinbits.PlatformError, match=r"report\.html cannot be written"):
        report[0].html("/proc/report.html")
    with pytest.raises(kinbits.PlatformError, match=r"curves\.png cannot be written"):
        report[0].plot("/proc/curves.png")


def test_best_and_worst_are_that_and_their_marks_are_true(report):
    _, (model, _), data = report
    codes = model.encode(data.query), model.encode(data.database)
    relevance = metrics.LabelRelevance(data.query.labels, data.database.labels)
    scores = metrics.evaluate(*codes, relevance, ["map@all"]).per_query["map@all"]
    best, worst = examples(data.query, data.database, codes, scores, relevance)
    assert best[0].score == scores.max()
    assert worst[0].score == scores.min()
    assert best[0].score >= best[-1].score >= worst[-1].score >= worst[0].score
    for shown in (*best, *worst):
        assert len(shown.neighbours) == 10
        for hit in shown.neighbours:
            assert hit.relevant == (hit.label == shown.label)
            assert hit.picture.startswith("data:image/webp;base64,")
        assert [hit.distance for hit in shown.neighbours] == sorted(hit.distance for hit in shown.neighbours)


def test_queries_of_one_code_are_shown_once(report):
    _, (model, _), data = report
    same = np.zeros((len(data.query), 2), np.uint8)
    relevance = metrics.LabelRelevance(data.query.labels, data.database.labels)
    best, worst = examples(
        data.query, data.database, (same, model.encode(data.database)), np.ones(len(same)), relevance
    )
    assert (len(best), len(worst)) == (1, 0)


def test_confusion_counts_the_classes_of_the_hits(report):
    data = report[2]
    nearest = np.stack([np.flatnonzero(data.database.labels == 0)[:2]] * len(data.query))
    found = confusion(data.query, data.database, nearest)
    np.testing.assert_array_equal(found.shares, [[1, 0, 0]] * 3)
    name = [str(one) for one in data.label_space.names]
    assert found.worst() == [(name[1], name[0], 1.0), (name[2], name[0], 1.0)]


def test_a_class_without_queries_has_no_share_and_is_no_confusion():
    found = Confusion(("a", "b"), np.array([[0.5, 0.5], [np.nan, np.nan]]))
    assert found.worst() == [("a", "b", 0.5)]


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
