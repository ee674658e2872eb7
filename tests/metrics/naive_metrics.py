"""Metrics of one strict ranking, written down naively: what the closed forms are tested against."""

import math


def measure(name, ranked):
    """``ranked``: the grade of each item, nearest first; relevant is what has a grade above 0."""
    name, _, variant = name.partition("/")
    family, _, cut = name.partition("@")
    k = int(cut) if cut.isdigit() else len(ranked)
    return FAMILIES[family](ranked, k, variant) if variant else FAMILIES[family](ranked, k)


def average_precision(ranked, k, denominator="min"):
    relevant = [grade > 0 for grade in ranked]
    total = sum(sum(relevant[:i]) / i for i in range(1, min(k, len(ranked)) + 1) if relevant[i - 1])
    over = {"min": min(sum(relevant), k), "all": sum(relevant), "retrieved": sum(relevant[:k])}[denominator]
    return total / over if over else 0.0


def ndcg(ranked, k):
    def dcg(grades):
        return sum((2**grade - 1) / math.log2(1 + rank) for rank, grade in enumerate(grades[:k], 1))

    return dcg(ranked) / dcg(sorted(ranked, reverse=True))


def weighted(ranked, k):
    hits = [i for i in range(1, min(k, len(ranked)) + 1) if ranked[i - 1] > 0]
    return sum(sum(ranked[:i]) / i for i in hits) / min(sum(g > 0 for g in ranked), k)


def revisited(ranked, _):
    total, hits = 0.0, 0
    for rank, grade in enumerate(ranked):
        if grade > 0:
            total += ((hits / rank if rank else 1.0) + (hits + 1) / (rank + 1)) / 2
            hits += 1
    return total / hits


def hierarchical(ranked, k):
    return sum(ranked[:k]) / sum(sorted(ranked, reverse=True)[:k])


def reciprocal(ranked, _):
    return 1 / (1 + next(i for i, grade in enumerate(ranked) if grade > 0))


def r_precision(ranked, _):
    relevant = [grade > 0 for grade in ranked]
    return sum(relevant[: sum(relevant)]) / sum(relevant)


FAMILIES = {
    "map": average_precision,
    "precision": lambda ranked, k: sum(g > 0 for g in ranked[:k]) / k,
    "recall": lambda ranked, k: sum(g > 0 for g in ranked[:k]) / sum(g > 0 for g in ranked),
    "hit": lambda ranked, k: float(any(g > 0 for g in ranked[:k])),
    "mrr": reciprocal,
    "rprecision": r_precision,
    "map-revisited": revisited,
    "ndcg": ndcg,
    "acg": lambda ranked, k: sum(ranked[:k]) / k,
    "wmap": weighted,
    "hp": hierarchical,
    "mahp": lambda ranked, k: sum(hierarchical(ranked, i) for i in range(1, k + 1)) / k,
}
