"""What is left of an experiment is run, whatever fails on the way."""

import pytest

from kinbits.bench import Experiment, bench, runner


def made(given):
    return Experiment.from_dict(given)


def test_what_is_done_is_not_done_again(small, tmp_path, monkeypatch):
    small |= {"methods": ["orthohash"], "baselines": False}
    path = tmp_path / "x.csv"
    bench(made(small), path)
    before = path.read_text()
    monkeypatch.setattr(runner, "measure", lambda trial: pytest.fail(f"{trial} was made again"))
    bench(made(small), path)
    assert path.read_text() == before


def test_a_fault_in_a_method_does_not_stop_the_others(small, tmp_path, monkeypatch):
    def broken(trial):
        raise ZeroDivisionError("no such luck")

    monkeypatch.setattr(runner, "measure", broken)
    small |= {"methods": ["lsh"], "baselines": False, "bits": [8], "seeds": [0]}
    ran = bench(made(small), tmp_path / "x.csv")
    results, failures = ran.results, ran.failures
    assert len(results) == 0
    assert failures[0].reason == "ZeroDivisionError: no such luck"
