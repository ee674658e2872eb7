"""What is relevant to what on a protocol: by its labels, its class tree, or its own lists."""

from __future__ import annotations

from kinbits.data import DIFFICULTIES, Dataset, Difficulty, Splits
from kinbits.errors import DataError, UsageError, unknown_name
from kinbits.metrics import GradedRelevance, HierarchyRelevance, LabelRelevance, ListRelevance


def relevance_of(
    splits: Splits,
    queries: Dataset | None = None,
    items: Dataset | None = None,
    *,
    difficulty: Difficulty = "medium",
) -> GradedRelevance:
    """Return the relevance that a protocol defines.

    Lists of answers count where the protocol has them, without junk; labels count otherwise. With a tree of classes,
    `hp` and `mahp` also count how near two classes are. Relevant is still the same class.

    Args:
        splits: The protocol.
        queries: Its queries or some of them; None for all.
        items: Its database or a part of it; None for all.
        difficulty: Which of the listed answers count, see `GroundTruth`. Labels have no difficulty.

    Raises:
        DataError: If there are neither labels nor lists.
    """
    queries, items = queries or splits.query, items or splits.database
    if splits.ground_truth is not None:
        truth = splits.ground_truth.select(splits.query.rows_of(queries), splits.database.rows_of(items))
        positives, junk = truth.split(difficulty)
        return ListRelevance(positives, len(items), junk=junk)
    if queries.labels is None or items.labels is None:
        raise DataError(f"protocol {splits.protocol.name} has no labels, so nothing says which images are relevant")
    space = queries.label_space
    labelled = queries.labels.ndim == 1 and min(queries.labels.min(initial=0), items.labels.min(initial=0)) >= 0
    if space is not None and space.parents is not None and labelled:
        return HierarchyRelevance(queries.labels, items.labels, space.parents, space.classes)
    return LabelRelevance(queries.labels, items.labels)


def chosen_difficulty(splits: Splits, asked: Difficulty | None) -> Difficulty | None:
    """Return the difficulty by which a protocol's answers are measured: the one asked for, or medium.

    Args:
        splits: The protocol.
        asked: The difficulty that was asked for, or None.

    Returns:
        The difficulty; None where the answers have no grades.

    Raises:
        UsageError: If the difficulty is unknown, or the answers have no grades.
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
