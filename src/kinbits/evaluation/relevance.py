"""What is relevant to what on a protocol: by its labels, its class tree, or its own lists."""

from __future__ import annotations

from kinbits.data import DIFFICULTIES, Dataset, Difficulty, Splits
from kinbits.errors import DataError, UsageError, unknown_name
from kinbits.metrics import GradedRelevance, HierarchyRelevance, LabelRelevance, ListRelevance


def judged(
    splits: Splits,
    queries: Dataset | None = None,
    items: Dataset | None = None,
    *,
    difficulty: Difficulty = "medium",
) -> GradedRelevance:
    """Return the relevance that a protocol defines.

    Where it lists what answers each query, the lists count, without junk; else labels do. A tree of classes adds how
    near two classes stand, which `hp` and `mahp` count; what is relevant stays the same class.

    Args:
        splits: The protocol.
        queries: Its queries, or those of them that could be read.
        items: Its database, or the readable part of it.
        difficulty: Which of the listed answers count, see `GroundTruth`; of no matter where labels do.

    Raises:
        DataError: There are neither labels nor lists.
    """
    queries, items = queries or splits.query, items or splits.database
    if splits.ground_truth is not None:
        truth = splits.ground_truth.select(splits.query.rows_of(queries), splits.database.rows_of(items))
        positives, junk = truth.split(difficulty)
        return ListRelevance(positives, len(items), junk=junk)
    if queries.labels is None or items.labels is None:
        raise DataError(f"protocol {splits.protocol.name} has no labels, so nothing says which images are relevant")
    space = queries.space
    labelled = queries.labels.ndim == 1 and min(queries.labels.min(initial=0), items.labels.min(initial=0)) >= 0
    if space is not None and space.parents is not None and labelled:
        return HierarchyRelevance(queries.labels, items.labels, space.parents, space.classes)
    return LabelRelevance(queries.labels, items.labels)


def chosen_difficulty(splits: Splits, asked: Difficulty | None) -> Difficulty | None:
    """Return which grading of its answers a protocol is measured by: the one asked for, else medium.

    Returns:
        None where the answers have no grades.

    Raises:
        UsageError: For an unknown difficulty, or one of answers without grades.
    """
    if asked not in (None, *DIFFICULTIES):
        raise unknown_name("difficulty", str(asked), DIFFICULTIES)
    if splits.ground_truth is not None and splits.ground_truth.graded:
        return asked or "medium"
    if asked is not None:
        raise UsageError(
            f"the answers of {splits.protocol.name} are not graded as easy and hard (those of roxford5k and rparis6k "
            f"are); leave the difficulty '{asked}' out"
        )
    return None
