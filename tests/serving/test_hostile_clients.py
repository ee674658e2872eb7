"""Clients that mean harm: slow, with huge headers, without an end, or with addresses that lead elsewhere."""

import hmac
import socket
import time
from urllib.parse import urlsplit

import httpx2
import pytest
import uvicorn
from live import WRITE, live, problem

from kinbits.index import Index
from kinbits.serving import serve


def connected(service):
    where = urlsplit(service.url)
    return socket.create_connection((where.hostname, where.port), timeout=10)


def answer_of(connection):
    """Return everything that the service sends until it closes the connection."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def test_slow_clients_hold_nobody_else(service, http):
    """Each sends a byte from time to time, in its headers or in its body; there are more than may wait."""
    head = b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    slow = [connected(service) for _ in range(200)]
    for number, one in enumerate(slow):
        one.sendall(head + (b"X-Slow: " if number % 2 else b"Content-Length: 1000\r\n\r\n"))
    taken = []
    for _ in range(10):
        for one in slow:
            one.sendall(b" ")
        started = time.monotonic()
        assert http.post("/v1/search", json={"query": {"id": "p1.png"}}).status_code == 200
        taken.append(time.monotonic() - started)
    assert sorted(taken)[5] < 1
    for one in slow:
        one.close()


def test_a_body_without_an_end_is_given_up(place):
    with live(place, {"photos": Index.open(place / "photos.index")}, timeout=0.5) as running:
        with connected(running) as slow:
            slow.sendall(b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")
            assert slow.recv(1000).startswith(b"HTTP/1.1 504")
        assert running.service.metrics.busy._value.get() == 0


@pytest.mark.parametrize("header", [b"X-Huge: " + b"x" * 10**6, b"\r\n".join([b"X-Many: x"] * 10**5)])
def test_huge_headers_are_refused(service, http, header):
    with connected(service) as one:
        try:
            one.sendall(b"GET /v1/indexes HTTP/1.1\r\nHost: localhost\r\n" + header + b"\r\n\r\n")
            assert answer_of(one).startswith(b"HTTP/1.1 400")
        except ConnectionError:  # closed before all was sent
            pass
    assert http.get("/v1/indexes").status_code == 200


def test_the_server_bounds_headers_and_sends_answers_at_once(place, monkeypatch):
    """httptools would take headers of any size; asyncio waits with small answers on a socket that does not name TCP."""
    ran = []
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: ran.append((self.config.http, sockets[0].proto)))
    monkeypatch.setattr("kinbits.serving.logs.write_logs", lambda: None)
    serve(place / "photos.index", port=0)
    assert ran == [("h11", socket.IPPROTO_TCP)]


@pytest.mark.parametrize("length", ["-1", "1e9", "0x10", "9" * 30, "5, 6"])
def test_a_length_that_is_none_is_refused(service, length):
    with connected(service) as one:
        one.sendall(f"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode())
        assert answer_of(one).split()[1] in (b"400", b"413")


@pytest.mark.parametrize(
    "name", ["..%2f..%2fphotos.index", "%00", "a%00b.png", "C:%5Cp1.png", "%ff%fe", "." * 5000, "~"]
)
def test_ids_are_names_and_never_paths(http, name):
    for address in (f"/v1/items/{name}", f"/v1/thumbnails/{name}", f"/v1/indexes/{name}", f"/static/{name}"):
        assert http.get(address).status_code == 404
    for address in ("/v1/items?id=", "/v1/items?id=p1.png&index="):
        problem(http.get(f"{address}{name}"), 404)


def test_tokens_are_compared_in_constant_time(place, monkeypatch):
    """Every comparison of a token is one of `hmac`, which takes as long for a wrong one as for a right one."""
    compared = []

    def compare(given, token):
        compared.append(token)
        return genuine(given, token)

    genuine = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", compare)
    (place / "hostile.token").write_text("a-token-that-may-read")
    index = {"photos": Index.open(place / "photos.index")}
    with live(place, index, token_file=place / "hostile.token") as running:
        for token in ("-", "a", WRITE[:-1], WRITE + "x", "\xe9" * 30):
            header = {"Authorization": f"Bearer {token}".encode("latin-1")}
            problem(httpx2.get(f"{running.url}/v1/indexes", headers=header), 401)
            problem(httpx2.post(f"{running.url}/v1/items", json={"items": []}, headers=header), 401)
    assert compared.count(WRITE.encode()) == 10
    assert compared.count(b"a-token-that-may-read") == 5
