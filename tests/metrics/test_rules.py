"""What counts, what is left out, and what is refused."""

import numpy as np
import pytest

from kinbits.data import GroundTruth, LabelSpace
from kinbits.errors import DataError, UsageError
from kinbits.metrics import (
    HierarchyRelevance,
    LabelRelevance,
    ListRelevance,
    MatrixRelevance,
    NeighbourRelevance,
    evaluate,
    evaluate_scores,
    parse_metric,
    precision_recall_curve,
)

ZERO, FAR = np.zeros((1, 1), np.uint8), np.full((1, 1), 255, np.uint8)


def random_case(queries=12, database=300):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (queries + database, 4), dtype=np.uint8)
    labels = rng.integers(0, 5, queries + database)
    return codes[:queries], codes[queries:], LabelRelevance(labels[:queries], labels[queries:])


def test_queries_without_relevant_items_are_left_out_and_counted():
    codes = np.concatenate([ZERO, ZERO, FAR])
    result = evaluate(codes[:2], codes, LabelRelevance([0, 9], [0, 1, 1]), ["map@all", "recall@1"])
    assert result.excluded == 1
    assert result["map@all"] == pytest.approx(0.75)
    assert np.isnan(result.per_query["map@all"]).tolist() == [False, True]


def test_no_query_with_an_answer_is_an_error_rather_than_a_number():
    for measure in (
        lambda: evaluate(ZERO, FAR, LabelRelevance([0], [1]), ["map@all"]),
        lambda: precision_recall_curve(ZERO, FAR, LabelRelevance([0], [1])),
    ):
        with pytest.raises(DataError, match="no query has a relevant item"):
            measure()


def test_an_empty_ball_counts_zero_and_its_share_is_reported():
    queries = np.concatenate([ZERO, FAR])
    result = evaluate(queries, ZERO, LabelRelevance([0, 0], [0]), ["precision@r2", "recall@r2"])
    assert result["precision@r2"] == 0.5
    assert result["recall@r2"] == 0.5
    assert result.empty_balls == {"precision@r2": 0.5, "recall@r2": 0.5}


def test_a_list_longer_than_the_database_counts_the_missing_places_as_misses():
    result = evaluate(ZERO, ZERO, LabelRelevance([0], [0]), ["precision@4", "recall@4", "map@4"])
    assert dict(result) == {"precision@4": 0.25, "recall@4": 1.0, "map@4": 1.0}


def test_a_radius_beyond_the_code_length_takes_in_everything():
    result = evaluate(ZERO, np.concatenate([ZERO, FAR]), LabelRelevance([0], [0, 1]), ["precision@r999"])
    assert result["precision@r999"] == 0.5


def test_unlabelled_items_answer_nothing():
    assert not LabelRelevance([-1, 0], [-1, -1]).block(0, 2).any()


def test_multi_label_items_are_relevant_if_they_share_a_label():
    relevance = LabelRelevance(np.array([[1, 1, 0], [0, 0, 0]]), np.array([[0, 1, 1], [0, 0, 1]]))
    assert relevance.block(0, 2).tolist() == [[True, False], [False, False]]


def test_multi_label_items_are_graded_by_the_number_of_labels_they_share():
    rng = np.random.default_rng(0)
    queries, items = rng.integers(0, 2, (7, 5)), rng.integers(0, 2, (9, 5))
    naive = [[sum(x * y for x, y in zip(a, b, strict=True)) for b in items] for a in queries]
    relevance = LabelRelevance(queries, items)
    assert relevance.scale.grades[relevance.levels(0, 7)].tolist() == naive
    assert relevance.block(0, 7).tolist() == (np.array(naive) > 0).tolist()


def test_more_shared_labels_than_a_byte_counts_are_counted():
    ones = np.ones((1, 400), np.uint8)
    relevance = LabelRelevance(ones, ones)
    assert relevance.scale.grades[relevance.levels(0, 1)].tolist() == [[400]]


def test_xor_mask_and_bit_order_do_not_change_the_numbers():
    queries, codes, relevance = random_case()
    names = ["map@all", "map@50", "precision@10", "precision@r2"]
    expected = dict(evaluate(queries, codes, relevance, names))
    mask = np.array([3, 77, 200, 129], np.uint8)
    assert dict(evaluate(queries ^ mask, codes ^ mask, relevance, names)) == expected
    assert dict(evaluate(queries[:, ::-1], codes[:, ::-1], relevance, names)) == expected


def test_blocks_of_queries_do_not_change_the_numbers():
    queries, codes, relevance = random_case()
    names = ["map@all", "precision@r2"]
    whole = dict(evaluate(queries, codes, relevance, names))
    curve = precision_recall_curve(queries, codes, relevance, by="rank")
    assert dict(evaluate(queries, codes, relevance, names, cells=3000)) == pytest.approx(whole)
    blocked = precision_recall_curve(queries, codes, relevance, by="rank", cells=3000)
    np.testing.assert_allclose(blocked.precision, curve.precision)


def test_a_result_reads_as_a_dict_and_prints_its_numbers():
    result = evaluate(ZERO, ZERO, LabelRelevance([0], [0]), ["MAP@All"])
    assert dict(result) == {"map@all": 1.0}
    assert "map@all=1.0000" in repr(result)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mpa@all", "did you mean map"),
        ("map", "map@1000"),
        ("map@-1", "cannot be read"),
        ("map@r2", "not a radius"),
        ("precision@all", "the same for every ranking"),
        ("recall@0", "1 item or more"),
        ("map@0", "1 item or more"),
        ("mrr@5", "has no cut; write mrr"),
        ("f1@10", "at a radius, not a list length; e.g. f1@r2"),
        ("ndcg@r2", "not a radius; e.g. ndcg@1000"),
        ("hit", "e.g. hit@1000"),
        ("map@10/most", "unknown definition 'most' of map"),
    ],
)
def test_a_wrong_name_says_what_to_write(name, message):
    with pytest.raises(UsageError, match=message):
        parse_metric(name)


def test_other_wrong_arguments_are_named():
    one = LabelRelevance([0], [0])
    with pytest.raises(UsageError, match="expected, best, worst, stable, random"):
        evaluate(ZERO, ZERO, one, ["map@all"], ties="sorted")
    with pytest.raises(UsageError, match="no metric"):
        evaluate(ZERO, ZERO, one, [])
    with pytest.raises(UsageError, match="scores have no radius"):
        evaluate_scores(lambda start, stop: np.zeros((1, 1)), one, ["precision@r2"])
    with pytest.raises(DataError, match="NaN"):
        evaluate_scores(lambda start, stop: np.full((1, 1), np.nan), one, ["map@all"])
    with pytest.raises(DataError, match=r"\(1, 2\)"):
        evaluate_scores(lambda start, stop: np.zeros((1, 2)), one, ["map@all"])
    with pytest.raises(DataError, match="relevance for"):
        evaluate(ZERO, np.concatenate([ZERO, FAR]), one, ["map@all"])
    with pytest.raises(DataError, match="multi-hot"):
        LabelRelevance([0.5], [0])
    with pytest.raises(DataError, match="do not fit"):
        LabelRelevance([0], [[0, 1]])
    with pytest.raises(DataError, match="bool"):
        MatrixRelevance([[1, 0]])
    with pytest.raises(UsageError, match="radius or rank"):
        precision_recall_curve(ZERO, ZERO, one, by="depth")
    with pytest.raises(UsageError, match="macro or micro"):
        precision_recall_curve(ZERO, ZERO, one, average="weighted")
    with pytest.raises(UsageError, match="1 or more"):
        precision_recall_curve(ZERO, ZERO, one, by="rank", ranks=[0])


def test_labels_and_codes_of_different_length_are_told_apart_by_number():
    with pytest.raises(DataError, match="codes of 1 queries and 2 items, but relevance for 1 and 1"):
        evaluate(ZERO, np.concatenate([ZERO, FAR]), LabelRelevance([0], [0]), ["map@all"])
    with pytest.raises(DataError, match="2 bytes wide, but 1 are needed"):
        evaluate(np.zeros((1, 2), np.uint8), ZERO, LabelRelevance([0], [0]), ["map@all"])


def test_an_empty_database_or_no_query_at_all_is_an_error():
    nothing = np.zeros((0, 1), np.uint8)
    with pytest.raises(DataError, match="the database is empty"):
        evaluate(ZERO, nothing, LabelRelevance([0], np.zeros(0, int)), ["map@all"])
    with pytest.raises(DataError, match="the set of queries is empty"):
        evaluate(nothing, ZERO, LabelRelevance(np.zeros(0, int), [0]), ["map@all"])


def test_labels_that_are_no_labels_are_refused():
    with pytest.raises(DataError, match="NaN is no label, write -1"):
        LabelRelevance([np.nan], [0])
    with pytest.raises(DataError, match="other numbers than 0 and 1"):
        LabelRelevance([[0, 2]], [[0, 1]])


def test_a_metric_that_needs_one_class_per_item_refuses_several():
    with pytest.raises(DataError, match="several labels have no one place"):
        HierarchyRelevance([[1, 0]], [[1, 0]], [-1, -1], 2)
    with pytest.raises(UsageError, match="mahp@3' needs a HierarchyRelevance; LabelRelevance was given"):
        evaluate(ZERO, ZERO, LabelRelevance([[1]], [[1]]), ["mahp@3"])
    with pytest.raises(UsageError, match="needs a NeighbourRelevance"):
        evaluate(ZERO, ZERO, LabelRelevance([0], [0]), ["ann-recall@1"])


@pytest.mark.parametrize(
    ("parents", "classes", "labels", "message"),
    [
        ([], 0, [0], "0 nodes cannot have 0 classes"),
        ([-1], 2, [0], "1 nodes cannot have 2 classes"),
        ([1, 2, 1], 1, [0], "never ends"),
        ([5], 1, [0], "leaves the tree"),
        ([1, -1, -1], 2, [0], "node 0 is below the class 1"),
        ([2, 2, -1], 2, [2], "the tree has classes 0..1"),
        ([2, 2, -1], 2, [-1], "labels go from -1"),
    ],
)
def test_a_hierarchy_that_is_no_tree_is_refused(parents, classes, labels, message):
    with pytest.raises((UsageError, DataError), match=message):
        HierarchyRelevance(labels, [0], parents, classes)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ListRelevance([[0, 3]], 3), "rows from 0 to 3, the database has 0..2"),
        (lambda: ListRelevance([[0]], 3, junk=[[0]]), "listed as relevant and as junk"),
        (lambda: ListRelevance([[0]], 3, junk=[]), "1 queries, but of junk for 0"),
        (lambda: ListRelevance([[0.5]], 3), "whole numbers"),
        (lambda: NeighbourRelevance([[0, 0]], 3), "names a neighbour twice"),
        (lambda: NeighbourRelevance([[3]], 3), "the database has 0..2"),
        (lambda: NeighbourRelevance([0], 3), "nearest first"),
    ],
)
def test_lists_that_cannot_be_are_refused(make, message):
    with pytest.raises((UsageError, DataError), match=message):
        make()


def test_more_neighbours_than_are_known_cannot_be_recalled():
    with pytest.raises(UsageError, match="needs 2 true neighbours of each query, but 1 are given"):
        evaluate(ZERO, ZERO, NeighbourRelevance([[0]], 1), ["ann-recall@2"])


def test_the_difficulties_of_revisited_oxford_differ_in_what_is_junk():
    truth = GroundTruth.from_rows([[0]], [[1]], [[2]], database=4)
    query, codes = ZERO, np.array([[0b1111], [0b111], [0b1], [0b11]], np.uint8)  # junk first, then other, hard, easy
    found = {}
    for name in ("easy", "medium", "hard"):
        positives, junk = truth.split(name)
        found[name] = evaluate(query, codes, ListRelevance(positives, 4, junk=junk), ["map@all"])["map@all"]
    assert found == pytest.approx({"easy": 1 / 2, "medium": (1 / 2 + 2 / 3) / 2, "hard": 1 / 2})


def test_a_query_without_positives_is_skipped_where_lists_are_empty():
    relevance = ListRelevance([[0], []], 1)
    result = evaluate(np.concatenate([ZERO, ZERO]), ZERO, relevance, ["map-revisited"])
    assert (result["map-revisited"], result.excluded) == (1.0, 1)


def test_labels_and_the_matrix_of_their_relevance_give_the_same_numbers():
    queries, codes, labels = random_case()
    matrix = MatrixRelevance(labels.block(0, len(queries)))

    class OnlyBlocks:
        """A relevance of somebody else's."""

        queries, database = labels.queries, labels.database
        block = staticmethod(labels.block)

    names = ["map@all", "map@50", "precision@r2", "mrr", "ndcg@10"]
    for ties in ("expected", "best", "stable"):
        found = dict(evaluate(queries, codes, labels, names, ties=ties))
        assert dict(evaluate(queries, codes, matrix, names, ties=ties)) == pytest.approx(found)
        assert dict(evaluate(queries, codes, OnlyBlocks(), names, ties=ties)) == pytest.approx(found)


def test_lists_and_the_matrix_of_their_relevance_give_the_same_numbers():
    queries, codes, labels = random_case()
    lists = ListRelevance([np.flatnonzero(row) for row in labels.block(0, len(queries))], len(codes))
    names = ["map@all", "map-revisited", "precision@r9", "hit@3"]
    assert dict(evaluate(queries, codes, lists, names)) == pytest.approx(dict(evaluate(queries, codes, labels, names)))


def test_class_numbers_too_large_to_count_give_the_same_numbers():
    queries, codes, small = random_case()
    labels = np.concatenate([small._query, small._kinds[small._sets]]).astype(np.int64)
    large = LabelRelevance(*np.split(labels * 10**12, [len(queries)]))
    assert dict(evaluate(queries, codes, large, ["map@all"])) == dict(evaluate(queries, codes, small, ["map@all"]))


def test_threads_and_a_seed_do_what_they_say():
    queries, codes, relevance = random_case()
    one, two = (evaluate(queries, codes, relevance, ["map@all"], threads=n)["map@all"] for n in (1, 3))
    assert one == two
    first, again, other = (
        evaluate(queries >> 6, codes >> 6, relevance, ["map@all"], ties="random", seed=seed)["map@all"]
        for seed in (1, 1, 2)
    )
    assert first == again != other


def test_micro_curves_pool_the_counts():
    queries = np.concatenate([ZERO, FAR])
    codes = np.concatenate([ZERO, ZERO, ZERO, FAR])
    curve = precision_recall_curve(queries, codes, LabelRelevance([0, 1], [0, 1, 1, 1]), average="micro")
    assert curve.precision[0] == pytest.approx(2 / 4)
    assert curve.recall[0] == pytest.approx(2 / 4)
    macro = precision_recall_curve(queries, codes, LabelRelevance([0, 1], [0, 1, 1, 1]))
    assert macro.precision[0] == pytest.approx((1 / 3 + 1) / 2)


def test_a_tree_of_uneven_depth_measures_the_longest_way():
    # cat below animal below thing; rock below thing; moon below the root
    relevance = HierarchyRelevance([0, 1, 2], [0, 1, 2], [3, 4, -1, 4, -1], 3)
    table = relevance.scale.grades[relevance.levels(0, 3)]
    np.testing.assert_allclose(table, [[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 1]])


def naive_similarity(parents, classes):
    """Walk up from both classes; the height of a node is its longest way down to a class."""

    def chain(node):
        return [node] if node < 0 else [node, *chain(parents[node])]

    chains = [chain(leaf) for leaf in range(classes)]

    def height(node):
        return max(chain.index(node) for chain in chains if node in chain)

    lowest = [[next(node for node in a if node in b) for b in chains] for a in chains]
    return [[1 - height(node) / height(-1) for node in row] for row in lowest]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("whole", [True, False])
def test_the_similarity_of_classes_is_that_of_a_walk_through_any_tree(seed, whole):
    rng = np.random.default_rng(seed)
    classes, inner = 7, 5
    above = [int(rng.integers(-1, node)) for node in range(inner)]  # a parent stands before its child
    parents = [int(rng.integers(0, inner)) + classes for _ in range(classes)]
    parents += [node + classes if node >= 0 else -1 for node in above]
    unused = sorted(set(range(classes, classes + inner)) - set(parents))
    if whole:  # each inner node has a class below it
        parents[: len(unused)] = unused
    space = LabelSpace(tuple("abcdefg"), parents=tuple(parents), parent_names=tuple("vwxyz"))
    every = np.arange(classes)
    relevance = HierarchyRelevance(every, every, parents, classes)
    expected = naive_similarity(parents, classes)
    np.testing.assert_array_equal(relevance.scale.grades[relevance.levels(0, classes)], expected)
    np.testing.assert_array_equal(space.class_similarity(), expected)


def test_inner_nodes_without_classes_change_nothing():
    # x above both classes; y is empty, and so is z, which stands first and far from the root.
    bare = HierarchyRelevance([0, 1], [0, 1], [2, 2, -1], 2)
    for parents in ([2, 2, -1, -1], [3, 3, 4, -1, 5, -1]):
        found = HierarchyRelevance([0, 1], [0, 1], parents, 2)
        np.testing.assert_array_equal(found.scale.grades[found.levels(0, 2)], bare.scale.grades[bare.levels(0, 2)])
    space = LabelSpace.with_levels(("a", "b"), [((0, 0), ("x", "y"))])
    assert space.class_similarity().tolist() == [[1, 0.5], [0.5, 1]]
