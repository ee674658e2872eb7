"""Examples of a report: the best and the worst queries, and the classes that are taken for each other."""

import numpy as np

from kinbits import metrics
from kinbits.evaluation import IMAGE_TO_IMAGE, Search
from kinbits.evaluation.report.examples import Confusion, confusion, examples


def test_best_and_worst_are_that_and_their_marks_are_true(pictures_report):
    _, (model, _), data = pictures_report
    codes = model.encode(data.query), model.encode(data.database)
    relevance = metrics.LabelRelevance(data.query.labels, data.database.labels)
    scores = metrics.evaluate(*codes, relevance, ["map@all"]).per_query["map@all"]
    best, worst = examples(Search(IMAGE_TO_IMAGE, data.query, data.database, codes, relevance), scores)
    assert best[0].score == scores.max()
    assert worst[0].score == scores.min()
    assert best[0].score >= best[-1].score >= worst[-1].score >= worst[0].score
    for shown in (*best, *worst):
        assert len(shown.neighbours) == 10
        for hit in shown.neighbours:
            assert hit.relevant == (hit.label == shown.label)
            assert hit.picture.startswith("data:image/webp;base64,")
        assert [hit.distance for hit in shown.neighbours] == sorted(hit.distance for hit in shown.neighbours)


def test_queries_of_one_code_are_shown_once(pictures_report):
    _, (model, _), data = pictures_report
    same = np.zeros((len(data.query), 2), np.uint8)
    relevance = metrics.LabelRelevance(data.query.labels, data.database.labels)
    search = Search(IMAGE_TO_IMAGE, data.query, data.database, (same, model.encode(data.database)), relevance)
    best, worst = examples(search, np.ones(len(same)))
    assert (len(best), len(worst)) == (1, 0)


def test_confusion_counts_the_classes_of_the_hits(pictures_report):
    data = pictures_report[2]
    nearest = np.stack([np.flatnonzero(data.database.labels == 0)[:2]] * len(data.query))
    found = confusion(data.query, data.database, nearest)
    np.testing.assert_array_equal(found.shares, [[1, 0, 0]] * 3)
    name = [str(one) for one in data.label_space.names]
    assert found.worst() == [(name[1], name[0], 1.0), (name[2], name[0], 1.0)]


def test_a_class_without_queries_has_no_share_and_is_no_confusion():
    found = Confusion(("a", "b"), np.array([[0.5, 0.5], [np.nan, np.nan]]))
    assert found.worst() == [("a", "b", 0.5)]
