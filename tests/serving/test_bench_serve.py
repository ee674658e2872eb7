"""The benchmark of the service: its clients, its rival, and the ledger that finds lost changes and wrong answers."""

import asyncio
import importlib
from pathlib import Path

import numpy as np
import pytest
from live import live

from kinbits import hamming
from kinbits.index import Index

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CODES = np.random.default_rng(0).integers(0, 256, (300, 8), dtype=np.uint8)


@pytest.fixture(autouse=True)
def on_the_path(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with live(tmp_path_factory.mktemp("bench"), {"codes": Index.create(bits=64).add(CODES)}) as running:
        yield running


@pytest.fixture
def port(service):
    return int(service.url.rpartition(":")[2])


@pytest.fixture
def ledger():
    return importlib.import_module("_ledger").Ledger(CODES)


class TestLoad:
    def test_clients_measure_answers(self, port):
        load = importlib.import_module("_load")
        codes = hamming.to_hex(CODES[:3])
        asked = [load.request_of("POST", "/v1/search", {"query": {"code": code}, "k": 2}) for code in codes]
        found = load.measure(port, asked, clients=4, seconds=0.2)
        assert found.rate > 0
        assert 0 < found.p50 <= found.p99 < 10
        assert load.distances_of(load.ask_once(port, asked[0]).json())[0] == 0

    def test_an_answer_that_is_none_stops_the_run(self, port):
        load = importlib.import_module("_load")
        with pytest.raises(SystemExit, match="status 404"):
            load.measure(port, [load.request_of("GET", "/nowhere")], clients=1, seconds=0.1)

    def test_a_service_that_is_gone_is_told(self):
        load, servers = importlib.import_module("_load"), importlib.import_module("_servers")
        with pytest.raises(load.GoneError):
            load.ask_once(servers.free_port(), load.request_of("GET", "/"))


def test_the_rival_finds_the_same_distances():
    """Asked without a network, as the framework of both services allows."""
    naive = importlib.import_module("naive_service")

    class Model:
        def encode(self, items):
            return np.packbits(np.asarray(items) > 0, axis=1)

    app = naive.create_app(CODES, Model())
    query = np.unpackbits(CODES[5])[None] * 2.0 - 1
    truth = Index.create(bits=64).add(CODES).search(CODES[5], k=4)
    routes = {route.path: route.endpoint for route in app.routes}
    for asked in ({"code": hamming.to_hex(CODES[5:6])[0]}, {"vector": query[0].tolist()}):
        hits = routes["/search"](naive.Asked(**asked, k=4))["hits"]
        assert [hit["distance"] for hit in hits] == truth.distances.tolist()
        assert hits[0]["id"] == 5


class TestLedger:
    def test_a_change_without_an_answer_may_have_happened(self, ledger):
        item = importlib.import_module("_ledger").Item("00" * 8, 1)
        stored = dict(enumerate(next(iter(ledger.possible(row))) for row in range(len(CODES))))
        ledger.send({1000: item})
        assert ledger.lost(stored) == ledger.lost({**stored, 1000: item}) == []
        assert ledger.certain(1000) is None
        ledger.acknowledge({1000: item})
        assert ledger.certain(1000) == item
        assert ledger.lost(stored) == [1000]
        ledger.send({1000: None})
        ledger.acknowledge({1000: None})
        assert ledger.lost({**stored, 1000: item}) == [1000]
        assert ledger.lost({**stored, 7: item}) == [7]
        assert ledger.lost({**stored, 2000: item}) == [2000]

    def test_wrong_answers_are_found(self, ledger):
        distances = importlib.import_module("_ledger").bit_distances(CODES[0], CODES)
        rows = np.argsort(distances, kind="stable")[:5].tolist()
        codes = hamming.to_hex(CODES[rows])
        hits = [
            {"id": row, "distance": int(distances[row]), "code": code} for row, code in zip(rows, codes, strict=True)
        ]
        fault = ledger.fault_of_nearest
        assert fault(CODES[0], hits, 5) == ""
        assert "different hits in order" in fault(CODES[0], hits[::-1], 5)
        assert "different hits in order" in fault(CODES[0], hits[:4], 5)
        far = int(np.argmax(distances))
        last = {"id": far, "distance": int(distances[far]), "code": hamming.to_hex(CODES[far : far + 1])[0]}
        assert "were not found" in fault(CODES[0], [*hits[:4], last], 5)
        assert "another code or distance" in fault(CODES[0], [*hits[:4], {**hits[4], "code": "00" * 8}], 5)
        assert ledger.fault_at_zero(0, hits[:1]) == ""
        assert "was not found" in ledger.fault_at_zero(0, [])
        assert "was found" in ledger.fault_at_zero(5000, [{"id": 5000, "distance": 0}])
        assert ledger.fault_of_item(5000, None) == ""
        assert ledger.fault_of_item(0, None)


@pytest.mark.slow
def test_a_short_run_with_a_kill_loses_nothing(tmp_path, monkeypatch):
    faults = importlib.import_module("_faults")
    monkeypatch.setattr(faults, "FIXED", 500)
    monkeypatch.setattr(faults, "SETTLES", 0.0)
    counts = faults.Faults(tmp_path, 4).run()
    assert counts.passed, counts
    assert counts.kills
    assert min(counts.acknowledged) > 0
    assert counts.checked
    assert "answers wrong" in faults.faults_table(counts)


def test_connections_are_closed(port):
    load = importlib.import_module("_load")

    async def ask():
        with load.Connection(port) as one:
            return [(await one.ask(load.request_of("GET", "/healthz"))).status for _ in "12"]

    assert asyncio.run(ask()) == [200, 200]
