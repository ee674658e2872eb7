import numpy as np
import pytest

from kinbits._errors import DataError, UsageError
from kinbits.data import LabelSpace

TREE = LabelSpace.with_levels(
    ("cat", "dog", "oak", "car"),
    [((0, 0, 1, 2), ("mammal", "plant", "vehicle")), ((0, 0, 1), ("living", "thing"))],
)


def test_single_label_relevance_is_equality_and_unlabelled_matches_nothing():
    space = LabelSpace(("a", "b"))
    got = space.relevance(np.array([0, 1, -1]), np.array([1, 0, -1]))
    assert got.tolist() == [[False, True, False], [True, False, False], [False, False, False]]


def test_multi_label_grades_count_shared_labels():
    space = LabelSpace(("a", "b", "c"), multi=True)
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 2, (7, 3)), rng.integers(0, 2, (9, 3))
    naive = [[sum(x * y for x, y in zip(p, q, strict=True)) for q in b] for p in a]
    assert space.grades(a.astype(np.uint8), b.astype(np.uint8)).tolist() == naive
    assert (space.relevance(a, b) == (np.array(naive) > 0)).all()


def test_many_shared_labels_do_not_overflow_the_byte():
    space = LabelSpace(tuple(map(str, range(400))), multi=True)
    ones = np.ones((1, 400), np.uint8)
    assert space.grades(ones, ones).tolist() == [[400]]


def test_class_similarity_follows_the_height_of_the_lowest_common_node():
    # Heights: classes 0, mammal 1, living 2, root 3.
    got = TREE.class_similarity()
    assert np.allclose(got[0], [1, 2 / 3, 1 / 3, 0])
    assert np.allclose(got, got.T)
    assert np.allclose(np.diag(got), 1)


def test_uneven_tree_measures_the_longest_way_down():
    # Nodes: 0 a, 1 b, 2 c | 3 inner over a and b (height 1), root over 3 and c (height 2).
    space = LabelSpace(("a", "b", "c"), parents=(3, 3, -1, -1), parent_names=("inner",))
    assert np.allclose(space.class_similarity(), [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]])


def test_class_similarity_agrees_with_a_walk_through_the_tree():
    rng = np.random.default_rng(1)
    classes, inner = 12, 6
    above = [int(rng.integers(-1, node)) if node else -1 for node in range(inner)]
    parents = [classes + int(rng.integers(inner)) for _ in range(classes)]
    parents += [-1 if p < 0 else classes + p for p in above]
    space = LabelSpace(tuple(map(str, range(classes))), False, tuple(parents), tuple("xyzuvw"))

    def chain(node):
        return [node] if node < 0 else [node, *chain(parents[node])]

    def height(node):
        return max(chain(leaf).index(node) for leaf in range(classes) if node in chain(leaf))

    got = space.class_similarity()
    for a in range(classes):
        for b in range(classes):
            lowest = next(node for node in chain(a) if node in chain(b))
            assert got[a, b] == pytest.approx(1 - height(lowest) / height(-1))


def test_without_hierarchy_classes_are_alike_only_to_themselves():
    assert (LabelSpace(("a", "b", "c")).class_similarity() == np.eye(3)).all()


def test_descriptions_name_the_kind():
    assert "hierarchy" in TREE.describe()
    assert "multi-label" in LabelSpace(("a",), multi=True).describe()


@pytest.mark.parametrize(
    ("parents", "reason"),
    [((2, 2), "entries"), ((1, 2, -1), "parent must be"), ((2, 5, -1), "parent must be")],
)
def test_broken_trees_are_refused(parents, reason):
    with pytest.raises(UsageError, match=reason):
        LabelSpace(("a", "b"), parents=parents, parent_names=("p",))


def test_cycles_are_refused():
    with pytest.raises(UsageError, match="cycle"):
        LabelSpace(("a",), parents=(1, 2, 1), parent_names=("p", "q"))


def test_level_tables_must_fit():
    with pytest.raises(UsageError, match="hierarchy level"):
        LabelSpace.with_levels(("a", "b"), [((0,), ("x",))])
    with pytest.raises(UsageError, match="hierarchy level"):
        LabelSpace.with_levels(("a", "b"), [((0, 3), ("x",))])


def test_labels_of_the_wrong_shape_are_refused():
    with pytest.raises(DataError, match="multi-hot"):
        LabelSpace(("a", "b"), multi=True).relevance(np.zeros(3, int), np.zeros(3, int))
    with pytest.raises(DataError, match="int"):
        LabelSpace(("a", "b")).relevance(np.zeros((3, 2)), np.zeros(3))
