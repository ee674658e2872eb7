"""The service does what its description says, for requests that schemathesis makes of it.

``KINBITS_SCHEMA_EXAMPLES=100`` makes more of them for each address than the usual run does.
"""

import importlib.util
import os
import subprocess
import sys

import httpx2
import pytest
from live import WRITE, live, problem

from kinbits.index import Index

EXAMPLES = os.environ.get("KINBITS_SCHEMA_EXAMPLES", "5")
# A schema cannot say everything: what fits it may still name no item, or give two queries where one is allowed.
SETTINGS = """
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "404", "409", "413", "422", "429"]
"""


def test_every_reference_of_the_description_leads_to_a_part(http):
    described = http.get("/v1/openapi.json").json()
    parts = described.get("components", {}).get("schemas", {})

    def references(part):
        if isinstance(part, dict):
            yield from [part["$ref"]] if "$ref" in part else []
        for one in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
            yield from references(one)

    assert {one.removeprefix("#/components/schemas/") for one in references(described)} <= set(parts)
    body = described["paths"]["/v1/search"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert "vector" in str(body["properties"]["queries"])


def test_the_methods_of_an_address_are_told(http):
    for address, methods in (("/healthz", "GET"), ("/v1/items", "DELETE, GET, POST")):
        answer = http.request("TRACE", address, headers={"Authorization": f"Bearer {WRITE}"})
        assert (answer.status_code, answer.headers["allow"]) == (405, methods)


@pytest.mark.parametrize("upsert", [0, "no"])
def test_a_number_is_not_true_or_false(http, upsert):
    token = {"Authorization": f"Bearer {WRITE}"}
    answer = http.post("/v1/items", json={"items": [], "upsert": upsert}, headers=token)
    assert "upsert" in problem(answer, 400)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("schemathesis") is None, reason="needs schemathesis")
def test_requests_made_of_the_description_are_answered_as_it_says(place, tmp_path):
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    Index.open(place / "photos.index").save(tmp_path / "photos.index")  # the requests may change it
    command = [sys.executable, "-m", "schemathesis.cli", "run", "--checks", "all", "--seed", "1", "--no-color"]
    command += ["--max-examples", EXAMPLES, "--continue-on-failure", "--warnings", "off"]
    command += ["-H", f"Authorization: Bearer {WRITE}"]
    with live(tmp_path, {"photos": tmp_path / "photos.index"}, max_upload_mb=0.2, max_megapixels=0.01) as running:
        address = f"{running.url}/v1/openapi.json"
        done = subprocess.run([*command, address], capture_output=True, text=True, cwd=tmp_path, timeout=280)
        assert done.returncode == 0, done.stdout
        assert httpx2.get(f"{running.url}/readyz").status_code == 200
