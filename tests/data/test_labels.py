import numpy as np
import pytest

from kinbits.data import LabelSpace
from kinbits.errors import UsageError

TREE = LabelSpace.with_levels(
    ("cat", "dog", "oak", "car"),
    [((0, 0, 1, 2), ("mammal", "plant", "vehicle")), ((0, 0, 1), ("living", "thing"))],
)


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
