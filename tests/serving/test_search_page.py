"""The search page as a browser without JavaScript gets it: hits, problems, escaping, headers."""

import re

import httpx2
import numpy as np
import pytest
from classed import Space, classed_index
from live import live

from kinbits.encoding import CodesFile
from kinbits.index import Index

BAD = "<script>alert('1')</script>\"&"
TOKEN = "a-token-that-may-read"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def service(place):
    """Two indexes: one of names with columns, one of numbers that keeps concepts."""
    codes = np.arange(8, dtype=np.uint8)[:, None].repeat(4, 1)
    ids = [BAD, *(f"folder/{number}.png" for number in range(1, 8))]
    columns = {"label": ["it's", "<b>"] * 4, "year": [2000 + number for number in range(8)]}
    named = Index.create(None, CodesFile(codes, np.array(ids), 32, columns))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kinbits.backbones.class_space", lambda vocabulary: Space())
        with live(place, {"named": named, "classed": classed_index()}, max_k=50) as running:
            yield running


@pytest.fixture(scope="module")
def http(service):
    with httpx2.Client(base_url=service.url, timeout=30) as client:
        yield client


def names(html):
    return re.findall(r'<p class="name">(.*?)</p>', html)


def trouble(answer, status):
    assert answer.status_code == status, answer.text
    return re.search(r'role="alert">(.*?)</p>', answer.text, re.DOTALL)[1].strip()


def test_a_search_by_id_has_the_hits_of_the_index(service, http):
    query = {"index": "named", "id": "folder/3.png", "k": 3, "where": "year >= 2002"}
    html = http.get("/", params=query).text
    index = service.service.indexes["named"].index
    code = index.to_codes(ids=["folder/3.png"]).codes[0]
    assert names(html) == index.search(code, 3, where="year >= 2002").ids.tolist()
    assert re.findall(r'<p class="distance">(.*?)</p>', html)[0] == "0 bits"
    assert "<dt>year</dt><dd>2003</dd>" in html
    assert re.search(r'<p id="count".*?>3 hits</p>', html)
    assert 'href="?id=folder%2F3.png&amp;index=named&amp;k=3&amp;where=year' in html
    assert 'name="q" type="search" value="folder/3.png"' in html
    by_form = http.get("/", params={"index": "named", "by": "id", "q": "folder/3.png", "k": 3, "where": "year >= 2002"})
    assert names(by_form.text) == names(html)


def test_a_search_by_text_tells_the_classes(http):
    html = http.get("/", params={"index": "classed", "text": "5", "k": 1}).text
    assert names(html) == [str(2**60 + 5)]
    assert "<dt>class 5</dt><dd>75%</dd>" in html


def test_the_only_index_is_described(place):
    index = Index.create(None, CodesFile(np.zeros((1200, 4), np.uint8), np.arange(1200), 32, {}))
    with live(place, {"one": index}) as running:
        assert "1,200 items · 32 bits" in httpx2.get(running.url).text


def test_codes_numbers_as_ids_and_a_radius(http):
    html = http.get("/", params={"index": "named", "code": "02020202", "radius": "0"}).text
    assert names(html) == ["folder/2.png"]
    assert names(http.get("/", params={"index": "classed", "id": 2**60 + 1, "k": 1}).text) == [str(2**60 + 1)]


@pytest.mark.parametrize(
    ("query", "status", "told"),
    [
        ({"id": "gone"}, 404, "is not in the index"),
        ({"id": "gone", "index": "<i>"}, 404, "no index &#39;&lt;i&gt;&#39;"),
        ({"code": "zz"}, 422, "hex"),
        ({"code": "00000000", "k": "many"}, 400, "k: "),
        ({"code": "00000000", "k": "51"}, 400, "up to 50 hits"),
        ({"code": "00000000", "where": "yaer = 1"}, 400, "yaer"),
        ({"text": "1"}, 400, "text"),
        ({"index": "classed", "id": "x"}, 400, "are numbers"),
    ],
)
def test_a_problem_is_told_on_the_page_with_its_status(http, query, status, told):
    answer = http.get("/", params=query)
    assert told in trouble(answer, status)
    assert f"({status})" in trouble(answer, status)
    assert names(answer.text) == []


def test_all_that_comes_from_data_or_the_address_is_escaped(http):
    for query in ({"id": BAD}, {"id": BAD + "x"}, {"code": BAD}, {"id": BAD, "where": BAD}, {"id": BAD, "k": BAD}):
        html = http.get("/", params={"index": "named", **query}).text
        assert "<script>" not in html
        assert "<b>" not in html
        assert "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&#34;&amp;" in html


def test_the_page_loads_only_its_own_files(http):
    for address in ("/", "/?index=named&id=folder/1.png", "/?id=gone", "/static/page.js"):
        answer = http.get(address)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:;")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert "set-cookie" not in answer.headers
    html = http.get("/?index=named&id=folder/1.png").text
    assert re.findall(r"<script[^>]*>", html) == ['<script type="module" src="static/page.js">']
    assert "</script>" in html
    assert not re.search(r"<style|\sstyle=|\son\w+=|//", html)
    for name in re.findall(r'(?:src|href)="(static/[^"]+)"', html):
        assert http.get(f"/{name}").status_code == 200


def test_only_known_files_are_served(http):
    for name, kind in (("page.js", "text/javascript"), ("style.css", "text/css"), ("icon.svg", "image/svg+xml")):
        answer = http.get(f"/static/{name}")
        assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, kind)
    for name in ("index.html.j2", "..%2Fpages.py", "%2e%2e/pages.py", "", "page.js/", "%2Fetc%2Fhostname"):
        assert http.get(f"/static/{name}", follow_redirects=False).status_code in (404, 307), name


def test_another_host_gets_no_page(http):
    answer = http.get("/?index=named&id=folder/1.png", headers={"Host": "evil.example"})
    assert answer.status_code == 421
    assert "folder" not in answer.text


def test_a_service_with_a_token_shows_nothing_of_its_indexes(place):
    (place / "read.token").write_text(TOKEN)
    index = Index.create(None, CodesFile(np.zeros((2, 4), np.uint8), np.array(["secret-a", "secret-b"]), 32, {}))
    with live(place, {"private": index}, token_file=place / "read.token") as running:
        start = httpx2.get(running.url)
        assert start.status_code == 200
        assert httpx2.get(f"{running.url}/static/page.js").status_code == 200
        assert httpx2.get(f"{running.url}/v1/indexes").status_code == 401
        for query in ({"id": "secret-a"}, {"code": "00000000"}, {"id": "secret-a", "index": "private"}):
            answer = httpx2.get(running.url, params=query)
            assert "needs a token" in trouble(answer, 401)
            assert "private" not in start.text + answer.text.replace('value="private"', "")
            assert names(answer.text) == []
