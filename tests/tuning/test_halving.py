"""Successive halving and the budget, on runs whose scores and times are made up."""

import itertools
import re

import numpy as np
import pytest

from kinbits import DataError
from kinbits.metrics import RankingResult
from kinbits.tuning.board import leaderboard
from kinbits.tuning.budget import Budget
from kinbits.tuning.candidates import Candidate
from kinbits.tuning.search import NOT_REACHED, Search

BASELINE = Candidate("itq", "default", 0)


class World:
    """Scores by candidate and epochs, and a clock that only runs while something is fitted."""

    def __init__(self, scores, cost=1.0, broken=None):
        self.scores, self.cost, self.broken = scores, cost, broken or {}
        self.now, self.runs = 100.0, []

    def clock(self):
        return self.now

    def run(self, candidate, epochs):
        self.runs.append((str(candidate), epochs))
        if candidate.method in self.broken:
            raise self.broken[candidate.method]
        cost = self.cost[candidate.method] if isinstance(self.cost, dict) else self.cost
        self.now += cost * epochs
        score = self.scores[str(candidate)]
        found = score(epochs) if callable(score) else score
        return RankingResult({"map@all": np.array([found, found])}, 0, {}, "expected")


def searched(world, candidates, seconds=None, **options):
    search = Search(world.run, Budget(seconds, world.clock), **options)
    search.try_all([BASELINE], candidates)
    return search


def candidates(names, epochs=40, recipe="default"):
    return [Candidate(name, recipe, epochs) for name in names]


def test_the_better_half_gets_twice_the_epochs():
    world = World({"itq": 0.1, "a": 0.5, "b": 0.6, "c": 0.2, "d": 0.3, "e": 0.4})
    search = searched(world, candidates("abcde"))
    quarter = [(name, 10) for name in "abcde"]
    assert world.runs == [("itq", 0), *quarter, ("a", 20), ("b", 20), ("e", 20), ("a", 40), ("b", 40)]
    assert [trial.round for trial in search.trials] == [0, 1, 1, 1, 1, 1, 2, 2, 2, 3, 3]
    assert (search.best.candidate.method, search.best.epochs) == ("b", 10)  # the first of equal scores
    assert search.untried == {}


def test_pinned_candidates_and_the_recipes_of_the_leading_method_stay():
    pinned = Candidate("p", "default", 40, pinned=True)
    slow = Candidate("a", "long", 40, {"lr": 0.1})
    others = candidates("abcd")
    late = lambda epochs: 0.9 if epochs == 40 else 0.05  # noqa: E731
    world = World({"itq": 0.1, "p": 0.01, "a": 0.8, "a, long": late, "b": 0.7, "c": 0.6, "d": 0.5})
    search = searched(world, [pinned, *others, slow])
    assert [run for run in world.runs if run[1] == 40] == [("p", 40), ("a", 40), ("a, long", 40)]
    assert (str(search.best.candidate), search.best.score) == ("a, long", 0.9)


def test_a_method_that_gets_worse_is_best_with_fewer_epochs():
    world = World({"itq": 0.05, "a": lambda epochs: 1 / epochs})
    search = searched(world, candidates("a"))
    assert (search.best.epochs, search.best.score) == (10, 0.1)
    assert searched(World({"itq": 0.2, "a": lambda epochs: 1 / epochs}), candidates("a")).best.candidate is BASELINE


def test_equal_epochs_of_two_rounds_are_run_once():
    world = World({"itq": 0.1, "a": 0.7, "free": 0.6})
    searched(world, [Candidate("a", "default", 2), Candidate("free", "default", 0)])
    assert world.runs == [("itq", 0), ("a", 1), ("free", 0), ("a", 2)]


def test_candidates_share_the_runs_that_they_have_in_common():
    by_epochs = lambda epochs: 0.7 if epochs == 20 else 0.5  # noqa: E731
    world = World({"itq": 0.1, "csq": by_epochs, "csq, short": by_epochs})
    search = searched(world, [Candidate("csq", "default", 40), Candidate("csq", "short", 20)])
    assert world.runs == [("itq", 0), ("csq", 10), ("csq, short", 5), ("csq", 20), ("csq", 40)]
    rows, best = leaderboard(search.trials, search.untried)
    assert [(row.method, row.recipe, row.epochs) for row in rows] == [("csq", "default", 20), ("itq", "default", 0)]
    assert (str(best.candidate), best.epochs, search.untried) == ("csq", 20, {})


@pytest.mark.parametrize(("seconds", "tried"), [(30, {"itq", "a"}), (33, {"itq", "a", "b"})])
def test_no_method_has_its_first_trial_in_the_last_tenth_of_the_time(seconds, tried):
    world = World({"itq": 0.1, "a": 0.5, "b": 0.4})
    search = searched(world, [Candidate("a", "default", 4 * 28), Candidate("b", "default", 4)], seconds, refit=0.0)
    assert {trial.candidate.method for trial in search.trials} == tried


def test_a_budget_may_count_from_an_earlier_time():
    budget = Budget(10.0, lambda: 107.0, started=105.0)
    assert (budget.spent, budget.left) == (2.0, 8.0)


@pytest.mark.parametrize(("seconds", "cost"), itertools.product((60, 100, 150, 333, 1000), (0.5, 1.0, 2.0)))
def test_the_budget_holds_with_the_last_fit(seconds, cost):
    names = "abcdefghij"
    world = World({"itq": 0.1, **{name: 0.2 + 0.01 * place for place, name in enumerate(names)}}, cost)
    search = searched(world, candidates(names), seconds, refit=1.5, overhead=3.0)
    spent = world.now - 100
    assert spent + 3.0 + 1.5 * search.best.seconds <= seconds
    assert spent >= 0.3 * seconds or not search.untried  # the time is used
    assert {one.method for one in search.untried} == set(names) - {trial.candidate.method for trial in search.trials}
    assert set(search.untried.values()) <= {NOT_REACHED}


def test_a_short_budget_runs_some_candidates_to_the_end():
    world = World({"itq": 0.1, **{name: 0.5 for name in "abcdefghijklmnopqrst"}})
    search = searched(world, candidates("abcdefghijklmnopqrst"), 300)
    assert {trial.epochs for trial in search.trials} == {0, 10, 20, 40}
    assert search.untried


def test_what_was_left_out_is_taken_up_when_time_remains():
    world = World(
        {"itq": 0.1, **{name: 0.5 for name in "abcdefgh"}}, {**dict.fromkeys("bcdefgh", 0.01), "a": 4.0, "itq": 0.0}
    )
    search = searched(world, candidates("abcdefgh"), 400)
    assert search.untried == {}  # nobody knew that they would be so quick


def test_a_pinned_candidate_is_tried_even_without_time():
    pinned = Candidate("p", "default", 40, pinned=True)
    search = searched(World({"itq": 0.1, "p": 0.5, "a": 0.6}), [pinned, *candidates("a")], 1)
    assert [(str(trial.candidate), trial.epochs) for trial in search.trials] == [("itq", 0), ("p", 10)]
    assert [one.method for one in search.untried] == ["a"]


def test_named_candidates_are_tried_once_even_without_time():
    named = [Candidate(name, "default", 40, named=True) for name in "ab"]
    search = searched(World({"itq": 0.1, "a": 0.5, "b": 0.6, "c": 0.7}), [*named, *candidates("c")], 1)
    assert [(str(trial.candidate), trial.epochs) for trial in search.trials] == [("itq", 0), ("a", 10), ("b", 10)]
    assert [one.method for one in search.untried] == ["c"]


def test_a_named_candidate_does_not_stay_for_its_name():
    named = Candidate("a", "default", 40, named=True)
    world = World({"itq": 0.1, "a": 0.2, "b": 0.6, "c": 0.7})
    searched(world, [named, *candidates("bc")])
    assert [name for name, epochs in world.runs if epochs == 20] == ["b", "c"]


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (DataError("b cannot"), "b cannot"),
        (ValueError("two\nlines"), r"ValueError: two lines \(test_halving.py:\d+\)"),
        (AssertionError(), r"AssertionError \(test_halving.py:\d+\)"),
    ],
)
def test_what_cannot_be_fitted_is_left_out_with_its_reason(error, why):
    search = searched(World({"itq": 0.1, "a": 0.5, "b": 0.4}, broken={"b": error}), candidates("ab"))
    (said,) = search.untried.values()
    assert re.fullmatch(why, said)
    assert search.best.candidate.method == "a"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError])
def test_what_is_no_fault_of_a_candidate_ends_the_search(error):
    with pytest.raises(error):
        searched(World({"itq": 0.1}, broken={"b": error()}), candidates("ab"[1:]))


def test_a_candidate_that_fails_in_a_later_round_keeps_its_score_with_a_note():
    def fails_late(epochs):
        return 0.9 if epochs == 10 else 1 / 0

    search = searched(World({"itq": 0.1, "csq": fails_late}), candidates(["csq"]))
    rows, best = leaderboard(search.trials, search.untried)
    assert [(row.method, row.rank) for row in rows] == [("csq", 1), ("itq", 2)]
    assert re.fullmatch(r"ZeroDivisionError: division by zero \(test_halving.py:\d+\)", rows[0].note)
    assert best.epochs == 10
