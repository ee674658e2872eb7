"""The simulation of many shards against closed forms, and the tables of docs/scale.md against what they are made of."""

import csv
import importlib
import itertools
from pathlib import Path

import numpy as np
import pytest

EXPERIMENTS = Path(__file__).parent.parent / "experiments"
RESULTS = EXPERIMENTS.parent / "results"
QUERIES = 100_000


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(EXPERIMENTS)
    return importlib.import_module("scale_simulation")


@pytest.fixture
def costs(script):
    return importlib.import_module("_scale_costs")


@pytest.mark.parametrize("shards", [1, 10, 100])
def test_the_slowest_of_exponential_times_is_as_the_formula_says(script, shards):
    found, repeated = script.simulate(lambda rng, count: rng.exponential(1.0, count), shards, QUERIES, seed=0)
    assert repeated == 0
    assert found.mean() == pytest.approx(sum(1 / n for n in range(1, shards + 1)), rel=0.01)
    for q in (0.5, 0.95, 0.99):
        assert np.quantile(found, q) == pytest.approx(-np.log1p(-(q ** (1 / shards))), rel=0.02)


@pytest.mark.parametrize("shards", [1, 10, 50])
def test_repeated_requests_of_two_possible_times_are_as_the_formula_says(script, shards):
    fast, slow, share, after = 1.0, 20.0, 0.04, 3.0

    def draw(rng, count):
        return np.where(rng.random(count) < share, slow, fast)

    found, repeated = script.simulate(draw, shards, QUERIES, seed=1, hedge_after=after)
    assert set(found.tolist()) == {fast, after + fast, slow}
    assert repeated == pytest.approx(share, rel=0.05)
    assert np.mean(found == fast) == pytest.approx((1 - share) ** shards, abs=0.006)
    assert np.mean(found <= after + fast) == pytest.approx((1 - share**2) ** shards, abs=0.006)
    once, _ = script.simulate(draw, shards, QUERIES, seed=1)
    assert np.mean(once == fast) == pytest.approx((1 - share) ** shards, abs=0.006)


def test_a_replica_does_not_help_where_its_answer_comes_later(script):
    found, repeated = script.simulate(lambda rng, count: np.full(count, 5.0), 3, 10, seed=0, hedge_after=1.0)
    assert (found == 5.0).all()
    assert repeated == 1.0


def test_times_of_a_shard_are_measured_ones_some_slow_and_all_with_the_network(script):
    draw = script.shard_times(np.array([1.0, 2.0]), network=0.25, slow_share=0.1, slow_times=7.0)
    values, counts = np.unique(draw(np.random.default_rng(0), QUERIES), return_counts=True)
    assert values.tolist() == [1.25, 2.25, 7.25, 14.25]
    assert counts / QUERIES == pytest.approx([0.45, 0.45, 0.05, 0.05], abs=0.005)
    never = script.shard_times(np.array([1.0]), network=0.0, slow_share=0.0)
    assert script.hedging_time(never) == 1.0


def test_a_request_is_repeated_after_the_stated_share_of_answers(script):
    times = np.arange(1, 1001) / 10
    draw = script.shard_times(times, network=0.0, slow_share=0.0)
    after = script.hedging_time(draw)
    assert after == pytest.approx(np.quantile(times, script.HEDGE_AT), rel=0.01)
    _, repeated = script.simulate(draw, 10, QUERIES, seed=2, hedge_after=after)
    assert repeated == pytest.approx(1 - script.HEDGE_AT, rel=0.05)


def test_the_nearest_random_code_is_where_a_ball_is_large_enough(costs):
    for bits, items in itertools.product((4, 8), (1, 3, 16, 100, 256)):
        weights = np.unpackbits(np.arange(2**bits, dtype=np.uint8)[:, None], axis=1).sum(1)  # distances to the code 0
        expected = next(r for r in range(bits + 1) if items * (weights <= r).sum() / 2**bits >= 1)
        assert costs.nearest_random(bits, items) == expected


@pytest.mark.parametrize("name", ["encode", "bits", "nodes", "plan", "bytes"])
def test_tables_are_made_of_the_present_rates(name, costs):
    if name == "bytes" and not (RESULTS / "scale-bytes.csv").exists():
        pytest.skip("not measured yet")
    written = (RESULTS / f"scale-{name}.md").read_text()
    assert getattr(costs, f"{name}_table")() == written, "run experiments/scale_simulation.py"


def test_the_table_of_latencies_is_made_of_the_measured_times(script, monkeypatch):
    if not (RESULTS / "scale-latencies.csv").exists():
        pytest.skip("not measured yet")
    written = (RESULTS / "scale-latency.md").read_text()
    monkeypatch.setattr(script, "SHARDS", (1, 10))  # those of 1,000 shards take long
    assert set(script.latency_table().splitlines()) <= set(written.splitlines())


def test_hours_bytes_and_nodes_are_arithmetic(costs, monkeypatch):
    monkeypatch.setattr(costs, "scan_rate", lambda: 10e9)
    assert costs.scan_nodes(10**9, 64, 100.0) == 8  # 8 GB, at 1 GB in 100 ms
    assert costs.memory_nodes(2 * 24 * 2**30 * 0.8 + 1) == 3
    assert costs.encoding_row(30 * 24 * 3600 * 50, "x", 25.0)[-1] == "2"
    assert (costs.powers(10**9), costs.powers(3 * 10**7)) == ("10^9", "3·10^7")


def test_it_measures_a_machine_and_writes_all_tables(script, costs, tmp_path, monkeypatch):
    for source in RESULTS.glob("bench-*.md"):
        (tmp_path / source.name).write_text(source.read_text())
    for module in (script, costs):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    monkeypatch.setattr(costs, "STORED", 1000)
    monkeypatch.setattr(script, "SHARDS", (1, 4))
    monkeypatch.setattr(script, "QUERIES", 500)
    monkeypatch.setattr("sys.argv", ["x", "--measure", "--codes", "2000", "--bits", "64", "128", "--searches", "40"])
    script.main()
    with (tmp_path / "scale-latencies.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    searches = [row for row in rows if row["what"] != "merge"]
    assert [(row["what"], row["bits"]) for row in searches] == [
        ("scan", "64"),
        ("search tables", "64"),
        ("scan", "128"),
    ]
    assert {len(row["ms"].split()) for row in searches} == {40}
    assert all(row["commit"] and row["hardware"] for row in rows)
    text = (tmp_path / "scale-latency.md").read_text()
    assert text.count("**Shards of 2,000 codes") == 3
    assert sum(line.startswith(("| 1 |", "| 4 |")) for line in text.splitlines()) == 6
    kept = (tmp_path / "scale-bytes.md").read_text().splitlines()
    number, texts = (
        next(float(row.split(" | ")[1]) for row in kept if name in row) for name in ("number as", "text of")
    )
    assert number > 8 + 8 - 0.1  # a code of 64 bits, and an int64 id
    assert texts > 8  # what 20 characters take beyond 8 bytes
