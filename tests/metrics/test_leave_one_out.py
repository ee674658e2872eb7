"""Every item searches all others, and never finds itself."""

import numpy as np
import pytest

from kinbits import hamming
from kinbits.errors import DataError
from kinbits.metrics import LabelRelevance, LeaveOneOut, ListRelevance, MatrixRelevance, evaluate

N = 37
METRICS = ["map@all", "map@5", "precision@3", "recall@4", "ndcg@all"]


def relevances():
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 5, N)
    several = rng.random((N, 4)) < 0.4
    matrix = rng.random((N, N)) < 0.3
    lists = [np.flatnonzero(row) for row in matrix]
    junk = [np.flatnonzero(~row)[:2] for row in matrix]
    return {
        "labels": LabelRelevance(labels, labels),
        "sets of labels": LabelRelevance(several, several),
        "matrix": MatrixRelevance(matrix),
        "lists": ListRelevance(lists, N, junk=junk),
    }


@pytest.mark.parametrize("kind", list(relevances()))
@pytest.mark.parametrize("ties", ["expected", "best", "stable"])
def test_the_numbers_are_those_of_a_database_without_the_query(kind, ties):
    whole = relevances()[kind]
    codes = hamming.pack(np.random.default_rng(1).random((N, 6)) < 0.5)
    metrics = [one for one in METRICS if one != "ndcg@all" or ties == "expected"]
    found = evaluate(codes, codes, LeaveOneOut(whole), metrics, ties=ties)
    each = {name: [] for name in metrics}
    for row in range(N):
        others = np.delete(np.arange(N), row)
        one = _without(whole, row, others)
        if one is None:
            continue
        alone = evaluate(codes[[row]], codes[one[1]], one[0], metrics, ties=ties)
        for name in metrics:
            each[name].append(alone[name])
    for name in metrics:
        assert found[name] == pytest.approx(np.mean(each[name]), rel=1e-9), name
    assert found.excluded == N - len(each["map@all"])


def _without(whole, row, others):
    """Return the relevance of one query to the items that are left, and these; None if nothing is relevant."""
    levels = whole.levels(row, row + 1)[0][others]
    kept = others[levels < len(whole.scale.grades)]
    levels = levels[levels < len(whole.scale.grades)]
    if not levels.any():
        return None
    most = int(levels.max())  # as many shared labels as the level says
    return LabelRelevance(np.ones((1, most), bool), np.arange(most) < levels[:, None]), kept


def test_another_number_of_queries_is_refused():
    with pytest.raises(DataError, match="3 queries and 2 items"):
        LeaveOneOut(LabelRelevance([0, 1, 0], [0, 1]))
