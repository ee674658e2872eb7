"""A live service: what it answers, refuses, and never does."""

import base64
import io
import json
import os
import signal
import subprocess
import sys
import time

import httpx2
import numpy as np
import pytest
from live import WRITE, encoded, picture, problem
from PIL import Image

from kinbits import hamming
from kinbits.index import Index
from kinbits.model import HashModel

BITS = 32


def asked(http, **body):
    answer = http.post("/v1/search", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


class TestSearch:
    def test_every_way_to_name_a_photo_finds_it(self, http, place):
        data = (place / "photos" / "p3.png").read_bytes()
        code = hamming.to_hex(Index.open(place / "photos.index").to_codes(ids="p3.png").codes)[0]
        ways = [
            {"image": base64.b64encode(data).decode()},
            {"id": "p3.png"},
            {"code": code},
            {"code_base64": base64.b64encode(bytes.fromhex(code)).decode()},
        ]
        expected = asked(http, query=ways[1], k=4)["hits"]
        index = Index.open(place / "photos.index")
        assert expected == [
            {"id": hit["id"], "distance": hit["distance"], "columns": {"year": hit["year"]}}
            for hit in index.search(hamming.from_hex([code])[0], k=4)
        ]
        for way in ways:
            assert asked(http, query=way, k=4)["hits"] == expected
        raw = http.post("/v1/search?k=4", content=data, headers={"Content-Type": "image/png"})
        assert raw.json()["hits"] == expected

    def test_a_batch_gives_the_answers_of_its_queries(self, http):
        queries = [{"id": f"p{number}.png"} for number in range(3)]
        together = asked(http, queries=queries, k=3, where="year >= 2002", codes=True)
        alone = [asked(http, query=query, k=3, where="year >= 2002", codes=True) for query in queries]
        assert [one["hits"] for one in together["results"]] == [one["hits"] for one in alone]
        assert all(hit["columns"]["year"] >= 2002 and len(hit["code"]) == 8 for one in alone for hit in one["hits"])
        assert asked(http, queries=[])["results"] == []

    def test_radius_and_asymmetric_distance(self, http, place):
        index = Index.open(place / "photos.index")
        query = [place / "photos" / "p1.png"]
        found = asked(http, query={"id": "p1.png"}, radius=9)["hits"]
        assert [hit["id"] for hit in found] == index.search(query, radius=9)[0].ids.tolist()
        image = base64.b64encode(query[0].read_bytes()).decode()
        real = asked(http, query={"image": image}, k=5, distance="asymmetric")["hits"]
        assert [hit["id"] for hit in real] == index.search(query, k=5, distance="asymmetric")[0].ids.tolist()

    @pytest.mark.parametrize(
        ("body", "status", "told"),
        [
            ({}, 400, "give query or queries"),
            ({"query": {}}, 400, "give one of id, code"),
            ({"query": {"id": "p1.png", "code": "00"}}, 400, "not id and code"),
            ({"query": {"id": "p1.png"}, "limit": 3}, 400, "limit"),
            ({"query": {"id": "p1.png"}, "k": -1}, 400, "k"),
            ({"query": {"id": "p1.png"}, "k": 1001}, 400, "up to 1000 hits"),
            ({"query": {"id": "p1.png"}, "where": "yaer = 1"}, 400, "yaer"),
            ({"query": {"id": "p1.png"}, "index": "other"}, 404, "no index 'other'"),
            ({"query": {"id": "gone.png"}}, 404, "'gone.png' is not in the index"),
            ({"query": {"code": "0011"}}, 422, "32-bit codes have 8"),
            ({"query": {"code": "zz"}}, 422, "hex"),
            ({"query": {"text": "a dog"}}, 400, "text"),
            ({"query": {"image": "?"}}, 400, "base64"),
            ({"query": {"image": base64.b64encode(b"no image").decode()}}, 422, "cannot be read"),
            ({"query": {"vector": [1.0, 2.0]}}, 400, "no model that encodes a vector"),
            ({"queries": [{"id": "p1.png"}] * 9}, 413, "up to 8"),
            ({"queries": [{"id": "p1.png"}, {"text": "x"}]}, 400, "several kinds"),
            ({"query": {"tables": {"shape": [8, 16], "data": "AAAA"}}, "distance": "asymmetric"}, 400, "no tables"),
        ],
    )
    def test_what_cannot_be_asked_is_a_problem_with_its_remedy(self, http, body, status, told):
        assert told in problem(http.post("/v1/search", json=body), status)

    def test_other_bodies_are_refused(self, http):
        headers = {"Content-Type": "text/html"}
        assert "send application/json" in problem(http.post("/v1/search", content=b"x", headers=headers), 400)
        assert "JSON" in problem(
            http.post("/v1/search", content=b"{", headers={"Content-Type": "application/json"}), 400
        )
        assert problem(http.get("/v1/search"), 405)
        assert problem(http.get("/v2"), 404)


class TestItems:
    def test_an_item_and_its_thumbnail(self, http):
        item = http.get("/v1/items/p2.png").json()
        assert (item["id"], len(item["code"]), item["index"]) == ("p2.png", 8, "photos")
        answer = http.get("/v1/thumbnails/p2.png?size=32")
        image = Image.open(io.BytesIO(answer.content))
        assert (image.format, max(image.size)) == ("JPEG", 32)
        assert b"secret" not in answer.content

    @pytest.mark.parametrize("name", ["../private.png", "%2e%2e/private.png", "/etc/hostname.png", "link.png"])
    def test_no_file_outside_the_folders_is_served(self, service, http, name):
        answer = http.get(f"/v1/thumbnails/{name}")
        assert answer.status_code in (404, 422)
        served = service.service.indexes["photos"]
        assert served.file_of(name, {}) is None
        assert served.file_of("x", {"path": name}) is None
        assert served.file_of("p1.png", {}) is not None

    def test_changes_need_the_token_and_are_on_disk(self, http, place):
        item = {"id": "new", "code": "0f0f0f0f", "columns": {"year": 1999}}
        assert "read-only" not in problem(http.post("/v1/items", json={"items": [item]}), 401)
        wrong = {"Authorization": "Bearer " + "x" * 20}
        problem(http.post("/v1/items", json={"items": [item]}, headers=wrong), 401)
        token = {"Authorization": f"Bearer {WRITE}"}
        done = http.post("/v1/items", json={"items": [item]}, headers=token).json()
        assert (done["added"], done["items"]) == (1, 14)
        assert Index.open(place / "photos.index").to_codes(ids="new").columns["year"] == [1999]
        assert "upsert" in problem(http.post("/v1/items", json={"items": [item]}, headers=token), 400)
        again = http.post("/v1/items", json={"items": [item], "upsert": True}, headers=token).json()
        assert again["replaced"] == 1
        for body, status in (({"ids": ["gone"]}, 422), ({}, 400), ({"where": "year >> 3"}, 400)):
            problem(http.request("DELETE", "/v1/items", json=body, headers=token), status)
        assert http.request("DELETE", "/v1/items", json={"ids": ["new"]}, headers=token).json()["deleted"] == 1
        image = {"id": "photo", "image": base64.b64encode(encoded(picture(77))).decode()}
        assert http.post("/v1/items", json={"items": [image]}, headers=token).json()["added"] == 1
        assert asked(http, query={"id": "photo"}, k=1)["hits"][0]["distance"] == 0
        http.request("DELETE", "/v1/items", json={"where": "year = null", "ids": None}, headers=token)
        http.request("DELETE", "/v1/items", json={"ids": ["photo"]}, headers=token)

    def test_codes_are_those_of_the_model(self, http, place):
        data = (place / "photos" / "p5.png").read_bytes()
        found = http.post("/v1/encode", content=data, headers={"Content-Type": "image/png"}).json()
        model = HashModel.from_pretrained(place / "model")
        assert found["codes"] == hamming.to_hex(model.encode([data]))
        assert (found["bits"], found["fingerprint"]) == (BITS, model.fingerprint)
        problem(http.post("/v1/encode", json={"items": [{"code": "00"}]}), 400)


def test_changes_of_the_folder_are_followed(service, http, place):
    other = Index.open(place / "photos.index")
    other.add(np.zeros((1, 4), np.uint8), ids=["from elsewhere"], metadata={"year": [1]})
    end = time.monotonic() + 10
    while time.monotonic() < end and http.get("/v1/items/from elsewhere").status_code != 200:
        time.sleep(0.05)
    assert http.get("/v1/items/from elsewhere").json()["columns"]["year"] == 1
    other.delete("from elsewhere")


def test_the_interface_is_described_with_examples(http):
    found = http.get("/v1/openapi.json").json()
    search = found["paths"]["/v1/search"]["post"]["requestBody"]["content"]["application/json"]
    assert search["schema"]["properties"]["k"]["description"]
    assert search["examples"]["a text"]["value"]["query"] == {"text": "a dog on grass"}
    text = json.dumps(found)
    assert all(text.count(f'"{name}"') for name in ("/v1/items", "/v1/encode", "/v1/indexes", "/metrics"))
    numbers = http.get("/metrics").text
    assert 'kinbits_index_items{index="photos"}' in numbers


def test_the_command_serves_until_it_is_told_to_end(place):
    script = [sys.executable, "-m", "kinbits", "serve", f"mine={place / 'photos.index'}"]
    environment = {**os.environ, "KINBITS_SERVE_PORT": "0", "KINBITS_SERVE_MAX_K": "5", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(script, stderr=subprocess.PIPE, env=environment, text=True)
    try:
        url = next(line.split()[-1] for line in process.stderr if line.startswith("serving at"))
        assert [one["name"] for one in httpx2.get(f"{url}/v1/indexes").json()["indexes"]] == ["mine"]
        assert "up to 5" in problem(httpx2.post(f"{url}/v1/search", json={"query": {"id": "p1.png"}, "k": 6}), 400)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.communicate()
