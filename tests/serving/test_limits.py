"""Limits of a live service, many requests at once, and what keeps strangers out."""

import base64
import threading
import time

import httpx2
import pytest
from live import WRITE, encoded, live, picture, problem
from PIL import Image

from kinbits.index import Index
from kinbits.serving import Client, ServeSettings


class TestAnswersUnderLoad:
    def test_each_change_tells_what_it_did(self, service, http):
        token, told = {"Authorization": f"Bearer {WRITE}"}, []

        def add(number):
            items = [{"id": f"many-{number}-{row}", "code": "00000000"} for row in range(number + 1)]
            told.append(
                (number + 1, httpx2.post(f"{service.url}/v1/items", json={"items": items}, headers=token).json())
            )

        threads = [threading.Thread(target=add, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [answer["added"] for _, answer in told] == [count for count, _ in told]
        ids = [f"many-{number}-{row}" for number in range(6) for row in range(number + 1)]
        while ids:
            some, ids = ids[:8], ids[8:]
            assert http.request("DELETE", "/v1/items", json={"ids": some}, headers=token).status_code == 200

    def test_a_list_above_the_limit_is_counted_before_it_is_read(self, http):
        for body in ('{"items": [' + "1," * 50_000 + "1]}", '{"queries": [' + "{}," * 30_000 + "{}]}"):
            started = time.monotonic()
            address = "/v1/encode" if "items" in body else "/v1/search"
            answer = http.post(address, content=body, headers={"Content-Type": "application/json"})
            assert "in one request; up to 8 are answered" in problem(answer, 413)
            assert time.monotonic() - started < 2

    def test_a_refused_batch_of_images_leaves_no_work(self, service, http):
        good = base64.b64encode(encoded(picture(3))).decode()
        bad = {"image": base64.b64encode(b"no image").decode()}
        problem(http.post("/v1/encode", json={"items": [bad, *[{"image": good}] * 7]}), 422)
        end = time.monotonic() + 10
        while service.service._decoders._free.qsize() < 1 and time.monotonic() < end:
            time.sleep(0.01)
        assert service.service._decoders._free.qsize() == 1

    @pytest.mark.parametrize(
        ("queries", "told"),
        [
            ([{"code_base64": "AAAA"}, {"code_base64": "AAAAAAAA"}], "a code has 3 bytes; 32-bit codes have 4"),
            ([{"tables": {"shape": [1, 1], "data": "AAAAAA=="}}], "tables of shape (1, 1)"),
        ],
    )
    def test_codes_and_tables_of_another_size_are_refused(self, http, queries, told):
        assert told in problem(http.post("/v1/search", json={"queries": queries}), 422)


class TestLimits:
    def test_a_large_body_is_refused_before_it_is_read(self, http):
        body = b"x" * 300_000
        assert "0.2 MB" in problem(http.post("/v1/search", content=body, headers={"Content-Type": "image/png"}), 413)

        def parts():
            for _ in range(30):
                yield body[:10_000]

        assert "0.2 MB" in problem(http.post("/v1/search", content=parts(), headers={"Content-Type": "image/png"}), 413)

    def test_a_large_image_is_refused_by_its_header(self, http):
        data = encoded(Image.new("RGB", (4000, 4000)), compress_level=9)
        assert len(data) < 200_000
        told = problem(http.post("/v1/search", content=data, headers={"Content-Type": "image/png"}), 422)
        assert "4000 x 4000 pixels, and 0.01 megapixels are allowed" in told

    def test_a_decoder_that_dies_is_replaced(self, service, http):
        data = encoded(picture(1))
        for worker in service.service._decoders._workers:
            worker._process.kill()
        statuses = {
            http.post("/v1/encode", content=data, headers={"Content-Type": "image/png"}).status_code for _ in "12"
        }
        assert statuses <= {200, 422}
        assert http.post("/v1/encode", content=data, headers={"Content-Type": "image/png"}).status_code == 200

    def test_a_full_queue_says_when_to_come_again(self, place):
        with live(place, {"photos": Index.open(place / "photos.index")}, max_queue=1, timeout=2) as running:
            index, slow = running.service.indexes["photos"].index, threading.Event()

            def waits(*given, **how):
                slow.wait(5)
                return Index.search(index, *given, **how)

            index.search = waits
            body = {"query": {"id": "p1.png"}}
            answers = []
            first = threading.Thread(
                target=lambda: answers.append(httpx2.post(f"{running.url}/v1/search", json=body, timeout=20))
            )
            first.start()
            while not running.service.metrics.busy._value.get():
                time.sleep(0.01)
            refused = httpx2.post(f"{running.url}/v1/search", json=body)
            assert "which is the limit" in problem(refused, 429)
            assert int(refused.headers["retry-after"]) >= 1
            assert httpx2.get(f"{running.url}/healthz").status_code == 200
            first.join()
            slow.set()
            assert "more than 2 s" in problem(answers[0], 504)

    def test_images_of_several_requests_are_encoded_together(self, service, http):
        data = encoded(picture(8))

        def send():
            answer = httpx2.post(
                f"{service.url}/v1/encode", content=data, headers={"Content-Type": "image/png"}, timeout=30
            )
            assert answer.status_code == 200

        before = service.service.metrics.encoded._sum.get()
        threads = [threading.Thread(target=send) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert service.service.metrics.encoded._sum.get() - before == 12


class TestSafety:
    def test_headers_of_every_answer(self, http):
        for answer in (http.get("/v1/indexes"), http.get("/nowhere"), http.get("/v1/thumbnails/p1.png")):
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["content-security-policy"].startswith("default-src 'none'")
            assert "access-control-allow-origin" not in answer.headers
            assert "set-cookie" not in answer.headers
            assert "server" not in answer.headers or "uvicorn" not in answer.headers["server"]

    def test_another_host_is_refused(self, http):
        problem(http.get("/v1/indexes", headers={"Host": "evil.example"}), 421)
        assert http.get("/v1/indexes", headers={"Host": "localhost:1"}).status_code == 200
        assert http.get("/healthz", headers={"Host": "evil.example"}).status_code == 200

    def test_tokens(self, place):
        (place / "read.token").write_text("a-token-that-may-read\n")
        index = {"photos": Index.open(place / "photos.index")}
        with live(place, index, token_file=place / "read.token", cors_origins=["https://a.example"]) as running:
            problem(httpx2.get(f"{running.url}/v1/indexes"), 401)
            problem(httpx2.get(f"{running.url}/metrics"), 401)
            assert httpx2.get(f"{running.url}/healthz").status_code == 200
            for token in ("a-token-that-may-read", WRITE):
                header = {"Authorization": f"Bearer {token}"}
                assert httpx2.get(f"{running.url}/v1/indexes", headers=header).status_code == 200
            header = {"Authorization": "Bearer a-token-that-may-read"}
            problem(httpx2.post(f"{running.url}/v1/items", json={"items": []}, headers=header), 401)
            asks = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
            allowed = httpx2.options(f"{running.url}/v1/search", headers=asks)
            assert allowed.headers["access-control-allow-origin"] == "https://a.example"
            with Client(running.url, token="a-token-that-may-read") as client:
                assert len(client.search([place / "photos" / "p1.png"], k=3)[0]) == 3

    def test_one_name_is_not_its_letters(self, place):
        assert ServeSettings(image_roots=str(place)).image_roots == (str(place),)

    def test_settings_that_open_a_service_are_asked_for(self, tmp_path):
        with pytest.raises(ValueError, match="other machines could search without a token"):
            ServeSettings(host="0.0.0.0")
        assert ServeSettings(host="0.0.0.0", no_auth=True).open_to_strangers
        (tmp_path / "short").write_text("abc")
        with pytest.raises(ValueError, match="16 characters"), live(tmp_path, token_file=tmp_path / "short"):
            pass
