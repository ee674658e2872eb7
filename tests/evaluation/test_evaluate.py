"""Reports: the right numbers, the right neighbours beside them, in every form."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import kinbits
from kinbits import DataError, HashModel, PlatformError, UsageError, metrics
from kinbits.backbones import load_backbone
from kinbits.data import GroundTruth, LabelSpace, split_folder
from kinbits.heads import ProductHead
from kinbits.model import Tower

WIDTH, CLASSES = 32, 4


def splits(labels=True, rows=400):
    rng = np.random.default_rng(0)
    known = np.arange(rows) % CLASSES
    noise = rng.normal(size=(rows, 4)) @ rng.normal(size=(4, WIDTH))
    found = rng.normal(size=(CLASSES, WIDTH))[known] + noise + 0.5 * rng.normal(size=(rows, WIDTH))
    return split_folder(kinbits.open_dataset(found.astype(np.float32), labels=known), seed=0)


@pytest.fixture(scope="module")
def report():
    data = splits()
    model = kinbits.fit(data.train, method="orthohash", bits=24, epochs=30, progress=False, cache=None)
    return kinbits.evaluate(model, data), model, data


def test_the_first_row_is_the_models_own_number(report):
    shown, model, data = report
    codes = [model.encode(part) for part in (data.query, data.database)]
    relevance = metrics.LabelRelevance(data.query.labels, data.database.labels)
    expected = metrics.evaluate(*codes, relevance, ["map@all"])["map@all"]
    assert shown.rows[0].name == "orthohash"
    assert shown.rows[0].values["map@all"] == pytest.approx(expected, abs=1e-12)


def test_baselines_stand_beside_it_and_learning_pays(report):
    shown = report[0]
    assert [row.name for row in shown.rows[1:]] == ["lsh", "pca", "pca-rotation", "itq", "features (cosine)"]
    assert shown["orthohash"].values["map@all"] > shown["itq"].values["map@all"] > 0.25


def test_real_valued_queries_have_a_row_of_their_own(report):
    _, model, data = report
    shown = kinbits.evaluate(model, data, asymmetric=True, baselines=False)
    assert [row.name for row in shown.rows] == ["orthohash", "orthohash (asymmetric)"]
    signs = model.encode(data.database, output="bits") * 2.0 - 1
    products = model.encode(data.query, output="logits") @ signs.T
    relevance = metrics.LabelRelevance(data.query.labels, data.database.labels)
    names = ["map@all", "precision@100"]
    wanted = metrics.evaluate_scores(lambda start, stop: products[start:stop], relevance, names)
    for name in names:
        assert shown.rows[1].values[name] == pytest.approx(wanted[name], abs=1e-5)
    assert "precision@r2" not in shown.rows[1].values
    assert "orthohash (asymmetric)" in str(shown)


def test_product_codes_are_ranked_by_their_tables(tmp_path):
    data = splits()
    head = ProductHead(WIDTH, 32, 16)
    head.books.normal_(generator=torch.Generator().manual_seed(0))
    model = HashModel({"image": Tower(load_backbone("features", dim=WIDTH), head)})
    with pytest.raises(
        UsageError, match=r"this model makes 32-bit product codes \(8 parts of 16 words\); leave at out"
    ):
        kinbits.evaluate(model, data, at=["precision=0.9"])
    shown = kinbits.evaluate(model, data, details=True)
    queries, items = (torch.from_numpy(model.encode(part, output="logits")) for part in (data.query, data.database))
    distances = torch.cdist(queries, head.decode(head.codes_of(items))).square().numpy()
    relevance = metrics.LabelRelevance(data.query.labels, data.database.labels)
    wanted = metrics.evaluate_scores(lambda start, stop: -distances[start:stop], relevance, ["map@all"])
    own = shown.rows[0]
    assert own.values["map@all"] == pytest.approx(wanted["map@all"], abs=1e-4)
    assert own.bits == 32
    assert "precision@r2" not in own.values
    assert not own.operating_points
    assert shown.rows[1].by_radius  # bits of the baselines have a radius
    assert own.curve
    low, high = own.intervals["map@all"]
    assert low <= own.values["map@all"] <= high
    assert f"{own.values['map@all']:.4f}"[1:] in str(shown).replace(" ", "")
    page = shown.save(tmp_path)[0].read_text()
    assert "bits</figcaption>" not in page


def test_a_report_prints_within_80_columns_and_becomes_json(report):
    shown = report[0]
    lines = str(shown).splitlines()
    assert max(map(len, lines)) <= 80
    assert "expected value" in str(shown)
    told = json.loads(shown.to_json())
    assert told["protocol"] == "folder"
    assert told["rows"][0]["values"].keys() == {"map@all", "map@1000", "precision@100", "precision@r2"}
    assert told["fingerprint"] == report[1].fingerprint


def test_a_report_is_one_line_in_a_list_and_a_table_in_a_notebook(report):
    shown = report[0]
    own = shown.rows[0].values
    assert repr(shown) == (
        f"Report(folder: orthohash, map@all={own['map@all']:.4f}, map@1000={own['map@1000']:.4f}, "
        f"precision@100={own['precision@100']:.4f}, precision@r2={own['precision@r2']:.4f}; 6 rows)"
    )
    text = shown._repr_html_()
    assert f"<td>{own['map@all']:.4f} <small>" in text
    assert text.count("<tr") == 1 + len(shown.rows)
    assert "expected value" in text


def test_queries_without_an_item_in_the_radius_are_told_in_plain_words(report):
    shown = report[0]
    own = replace(shown.rows[0], empty_balls={"precision@r2": 0.25, "recall@r2": 0.0})
    told = replace(shown, rows=[own]).caption
    assert "25% of the queries have no item within the radius, and count as 0 in precision@r2" in told
    assert "recall@r2" not in told


def test_each_class_has_its_numbers_and_intervals(report):
    shown, model, data = report
    codes = [model.encode(part) for part in (data.query, data.database)]
    relevance = metrics.LabelRelevance(data.query.labels, data.database.labels)
    result = metrics.evaluate(*codes, relevance, shown.metrics)
    told = json.loads(shown.to_json())["classes"]
    assert [one["name"] for one in told] == [str(name) for name in data.query.label_space.names]
    for number, one in enumerate(told):
        own = result.per_query["map@all"][data.query.labels == number]
        assert one["queries"] == len(own)
        assert one["values"]["map@all"] == pytest.approx(own.mean(), abs=1e-12)
    expected = metrics.by_class(result, data.query.labels)
    assert [one["intervals"] for one in told] == [{k: list(v) for k, v in one.intervals.items()} for one in expected]


def test_operating_points_are_measured_for_every_row_that_has_codes(report):
    _, model, data = report
    shown = kinbits.evaluate(model, data, metric_names=["mrr"], at=["precision=.90", "recall=0.8", "precision=0.9"])
    codes = [model.encode(part) for part in (data.query, data.database)]
    relevance = metrics.LabelRelevance(data.query.labels, data.database.labels)
    expected = [metrics.operating_point(*codes, relevance, target) for target in ("precision=0.9", "recall=0.8")]
    assert shown.rows[0].operating_points == expected
    assert [len(row.operating_points) for row in shown.rows] == [2, 2, 2, 2, 2, 0]
    told = json.loads(shown.to_json())["rows"][0]["operating_points"][0]
    assert (told["target"], told["radius"]) == ("precision=0.9", expected[0].radius)
    assert expected[0].chosen_on + expected[0].queries == len(data.query)
    lines = str(shown).splitlines()
    assert max(map(len, lines)) <= 80
    (own,) = [line for line in lines if line.split()[1:2] == ["orthohash"] and str(expected[0].pairs) in line]
    assert f"{expected[0].precision:.4f}" in own


def test_a_target_that_cannot_be_read_is_refused_before_anything_is_measured(report):
    _, model, data = report
    with pytest.raises(UsageError, match=r"write e\.g\. precision=0\.95"):
        kinbits.evaluate(model, replace(data, query=None), at="0.95")


def test_several_labels_count_in_each_of_their_classes(report):
    _, model, data = report

    def several(part):
        first = np.eye(CLASSES, dtype=np.int64)[part.labels]
        space = LabelSpace(("a", "b", "c", "d"), multi=True)
        return replace(part, labels=first | np.roll(first, 1, axis=1), label_space=space)

    shown = kinbits.evaluate(
        model, replace(data, query=several(data.query), database=several(data.database)), baselines=False
    )
    counts = np.bincount(data.query.labels, minlength=CLASSES)
    assert [one.queries for one in shown.classes] == (counts + np.roll(counts, 1)).tolist()


def test_a_report_is_saved_in_all_forms(report, tmp_path):
    page, numbers, curves = report[0].save(tmp_path / "new" / "folder")
    assert [path.name for path in (page, numbers, curves)] == ["report.html", "report.json", "pr-curves.png"]
    assert json.loads(numbers.read_text()) == json.loads(report[0].to_json())
    assert page.read_text().startswith("<!doctype html>")
    assert curves.stat().st_size > 10_000


def test_a_report_cannot_be_saved_below_a_file(report, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(PlatformError, match="choose another folder"):
        report[0].save(tmp_path / "file" / "folder")


def test_the_plot_is_a_picture(report, tmp_path):
    with Image.open(report[0].plot(tmp_path / "curves.png")) as image:
        assert image.width > 600


def test_data_without_labels_is_refused(report):
    model = report[1]
    bare = kinbits.open_dataset(np.zeros((50, WIDTH), np.float32))
    data = report[2]
    with pytest.raises(DataError, match="no labels"):
        kinbits.evaluate(model, replace(data, query=bare, database=bare))


def test_more_bits_than_features_leave_out_what_cannot_exist_and_say_so(tmp_path):
    data = splits()
    model = kinbits.fit(data.train, bits=48, epochs=2, progress=False, cache=None)
    shown = kinbits.evaluate(model, data, metric_names=["map@all"])
    names = [row.name for row in shown.rows]
    assert "itq" not in names
    assert "lsh" in names
    (told,) = json.loads(shown.to_json())["notes"]
    assert told.startswith("pca, pca-rotation, itq left out")
    assert "as there are features, 32," in told
    assert told.endswith("48")
    assert "itq left out" in " ".join(str(shown).split())
    assert max(map(len, str(shown).splitlines())) <= 80
    assert "itq left out" in shown.html(tmp_path / "page.html").read_text()


def test_nothing_is_said_to_be_left_out_where_nothing_is(report):
    _, model, data = report
    shown = kinbits.evaluate(model, data, metric_names=["map@all", "precision@100"])
    assert json.loads(shown.to_json())["notes"] == []


def test_cuts_beyond_the_database_are_told(report):
    _, model, data = report
    few = replace(data, database=data.database.select(np.arange(95)))
    shown = kinbits.evaluate(model, few, baselines=False)
    told = (
        "the database has only 95 items: missing places count as misses in precision@100, and all items count in "
        "map@1000"
    )
    assert shown.notes == [told]
    assert told in " ".join(str(shown).split())
    assert shown.rows[0].values["map@1000"] == shown.rows[0].values["map@all"]
    assert shown.rows[0].values["precision@100"] <= 0.95


def test_two_cuts_of_one_metric_can_be_told_apart_in_80_columns(report):
    _, model, data = report
    names = ["map@all", "map@1000", "precision@100", "precision@1000", "recall@100", "recall@1000"]
    shown = str(kinbits.evaluate(model, data, metric_names=names, baselines=False))
    assert max(map(len, shown.splitlines())) <= 80
    cuts = next(line for line in shown.splitlines() if "@all" in line)
    assert [part for part in cuts.split() if "@" in part] == ["@all", "@1000", "@100", "@1000", "@100", "@1000"]
    assert shown.count("precision") >= 2


def test_answers_that_are_listed_count_instead_of_labels(report):
    _, model, data = report
    rows = len(data.database)
    truth = GroundTruth.from_rows([[query % rows] for query in range(len(data.query))], database=rows)
    shown = kinbits.evaluate(model, replace(data, ground_truth=truth), metric_names=["map@all"], baselines=False)
    codes = model.encode(data.query), model.encode(data.database)
    relevance = metrics.ListRelevance([[query % rows] for query in range(len(data.query))], rows)
    assert shown.rows[0].values["map@all"] == metrics.evaluate(*codes, relevance, ["map@all"])["map@all"]


def test_a_protocols_own_metrics_are_measured_unless_others_are_asked_for(report):
    _, model, data = report
    own = replace(data, protocol=replace(data.protocol, metrics=("map@50", "mrr")))
    assert kinbits.evaluate(model, own, baselines=False).metrics == ["map@50", "mrr"]
    assert kinbits.evaluate(model, own, metric_names=["hit@3"], baselines=False).metrics == ["hit@3"]


@pytest.mark.parametrize("difficulty", ["easy", "medium", "hard", None])
def test_the_difficulty_says_which_listed_answers_count(report, difficulty, tmp_path):
    _, model, data = report
    queries, items = len(data.query), len(data.database)
    easy, hard, junk = ([[(place + query) % items] for query in range(queries)] for place in (0, 7, 20))
    truth = GroundTruth.from_rows(easy, hard, junk, database=items)
    graded = replace(data, ground_truth=truth)
    shown = kinbits.evaluate(
        model, graded, metric_names=["map-revisited"], difficulty=difficulty, baselines=False, details=True
    )
    relevant, left_out = truth.split(difficulty or "medium")
    codes = model.encode(data.query), model.encode(data.database)
    expected = metrics.evaluate(*codes, metrics.ListRelevance(relevant, items, junk=left_out), ["map-revisited"])
    assert shown.rows[0].values == dict(expected)
    assert shown.facts["difficulty"] == (difficulty or "medium")
    assert f"on folder ({difficulty or 'medium'})" in shown.html(tmp_path / "page.html").read_text()


def test_a_difficulty_is_refused_where_answers_are_not_graded(report):
    _, model, data = report
    plain = GroundTruth.from_rows([[0]] * len(data.query), database=len(data.database))
    for splits in (data, replace(data, ground_truth=plain)):
        with pytest.raises(UsageError, match=r"are not graded as easy and hard .* leave the difficulty 'hard' out"):
            kinbits.evaluate(model, splits, difficulty="hard")
    with pytest.raises(UsageError, match="unknown difficulty 'tough'"):
        kinbits.evaluate(model, data, difficulty="tough")


def test_a_protocol_without_a_training_part_has_no_baselines_but_the_features(report):
    _, model, data = report
    bare = replace(data, train=data.train.select(np.arange(0)))
    shown = kinbits.evaluate(model, bare, metric_names=["map@all"])
    assert [row.name for row in shown.rows] == ["orthohash", "features (cosine)"]
    assert shown.notes == [
        "lsh, pca, pca-rotation, itq left out: they are fitted on the training part, and that of folder has 0 images"
    ]


def test_a_class_tree_is_counted_by_the_metrics_that_know_one(report):
    _, model, data = report
    tree = LabelSpace.with_levels(("a", "b", "c", "d"), [((0, 0, 1, 1), ("ab", "cd"))])
    grown = replace(
        data, query=replace(data.query, label_space=tree), database=replace(data.database, label_space=tree)
    )
    plain = kinbits.evaluate(model, data, metric_names=["map@all"], baselines=False).rows[0].values
    shown = kinbits.evaluate(model, grown, metric_names=["map@all", "mahp@50"], baselines=False).rows[0].values
    assert shown["map@all"] == plain["map@all"]
    assert 0 < shown["mahp@50"] <= 1


def test_fewer_training_images_than_bits_are_a_note_and_no_warning_per_baseline(recwarn):
    data = splits(rows=80)
    model = kinbits.fit(data.train, method="lsh", bits=32, progress=False)
    few = data.__class__(data.train.select(np.arange(20)), data.query, data.database, data.protocol)
    notes = kinbits.evaluate(model, few, metric_names=["map@all"]).notes
    assert notes == ["bits of pca and itq beyond 19 are arbitrary with 20 training images"]
    assert not [one for one in recwarn if "principal axes" in str(one.message)]
