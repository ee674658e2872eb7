"""Marks of a table: the best, and what a paired test over queries does not tell from it."""

import numpy as np
import pytest

from kinbits.bench import Comparison
from kinbits.bench.tables import html

QUERIES = np.linspace(0.2, 0.8, 10)


def compared(methods, *, checksums=("s",), without=()):
    """Compare methods, given as the values of each seed and the mean difference of each query from `QUERIES`."""
    rows, per_query = [], {}
    for label, (seeds, gaps) in methods.items():
        for seed, value in enumerate(seeds):
            config = f"{label}{seed}"
            row = {"protocol": "p", "backbone": "b", "direction": "d", "method": label, "bits": "8", "seed": str(seed)}
            split = checksums[len(rows) % len(checksums)]
            rows.append(row | {"map@all": str(value), "config": config, "split_checksum": split})
            if label not in without:
                own = np.asarray(gaps) + (seed - (len(seeds) - 1) / 2) * 0.1  # seeds differ, their mean is the gap
                per_query[config, "d"] = QUERIES[: len(gaps)] + own
    (table,) = Comparison.from_rows(rows, "map@all", per_query=per_query)
    return table


def marks(table):
    return {label: (cell.best, cell.near) for label, (cell,) in table.rows}


def test_a_steady_gain_is_told_apart_although_seeds_overlap_and_an_unsteady_one_is_not():
    steady = compared({"shc": ([0.5, 0.6, 0.7], [0.0] * 10), "csq": ([0.49, 0.59, 0.69], [-0.01] * 10)})
    assert marks(steady) == {"shc": (True, False), "csq": (False, False)}
    (cell,) = dict(steady.rows)["csq"]
    assert cell.p_value == pytest.approx(2 / 2**10, abs=0.002)  # of all tosses, only two reach ten equal signs
    unsteady = compared({"shc": ([0.5, 0.6, 0.7], [0.0] * 10), "csq": ([0.49, 0.59, 0.69], [0.1, -0.12] * 5)})
    assert marks(unsteady) == {"shc": (True, False), "csq": (False, True)}
    assert unsteady.markdown().splitlines()[-1] == "| csq | 0.590 ± 0.100 † |"
    assert unsteady.legend == (
        "Bold: the best mean of the methods in a group. "
        "†: not significantly below it in a paired randomization test over queries (p ≥ 0.05, Holm)."
    )
    shown = html("t", [unsteady], "")
    assert "0.590 ± 0.100<span class='near'>†</span></td>" in shown
    assert shown.count(unsteady.legend) == 1


def test_the_more_rivals_the_more_it_takes():
    six = {"shc": ([0.6], [0.0] * 6), "csq": ([0.5], [-0.1] * 6)}  # p = 2/64 for each rival
    assert marks(compared(six))["csq"] == (False, False)
    more = compared(six | {"dch": ([0.5], [-0.1] * 6), "dsh": ([0.5], [-0.1] * 6)})
    assert marks(more) == {"shc": (True, False), **dict.fromkeys(("csq", "dch", "dsh"), (False, True))}
    assert dict(more.rows)["csq"][0].p_value == pytest.approx(3 * 2 / 64, abs=0.03)
    other_group = compared(six | {"itq": ([0.5], [-0.1] * 6), "lsh": ([0.4], [-0.2] * 6)})
    assert marks(other_group)["csq"] == (False, False)


def test_baselines_are_compared_with_the_best_supervised_method_and_may_be_better():
    unsteady, steady = [0.1, -0.12] * 5, [-0.2] * 10
    plain = {"softmax": ([0.59], unsteady), "softmax-quantization": ([0.4], steady), "itq": ([0.1], steady)}
    table = compared({"shc": ([0.6], [0.0] * 10), "csq": ([0.4], steady), **plain})
    assert [group.name for group in table.groups] == ["training-free", "baselines", "supervised"]
    assert marks(table) == {
        "itq": (False, False),  # alone
        "softmax": (False, True),
        "softmax-quantization": (False, False),
        "shc": (True, False),
        "csq": (False, False),
    }
    assert "Baselines and supervised methods are compared as one group." in table.legend
    better = compared({"shc": ([0.4], steady), "softmax": ([0.6], [0.0] * 10)})
    assert marks(better) == {"softmax": (True, False), "shc": (False, False)}


def test_what_has_no_values_per_query_is_not_tested():
    methods = {name: ([mean], [gap] * 4) for name, mean, gap in (("shc", 0.6, 0), ("csq", 0.5, -1), ("dch", 0.4, -2))}
    partly = compared(methods, without=["dch"])
    assert marks(partly) == {"shc": (True, False), "csq": (False, True), "dch": (False, False)}
    assert partly.legend.endswith("Some methods are not tested: their values per query are missing.")
    other_queries = methods | {"csq": ([0.5], [-1] * 3)}
    for untested in (
        compared(methods, without=["shc"]),
        compared(methods, checksums=("one", "other")),
        compared(other_queries),
    ):
        assert marks(untested) == {"shc": (True, False), "csq": (False, False), "dch": (False, False)}
        assert untested.legend.endswith("No test: values per query are missing.")
