"""Duplicates over HTTP: pages of groups, thumbnails, decisions on disk, and what is refused."""

import io
import json
import re
import threading

import httpx2
import pytest
from live import WRITE, live, problem
from PIL import Image
from served_album import ODD, make_served_album

from kinbits.cli import main
from kinbits.dedupe import Decisions, DedupeReport, apply_decisions
from kinbits.errors import ArtefactError, DataError, UsageError
from kinbits.serving import ServeSettings
from kinbits.serving.app import Tokens
from kinbits.serving.problems import Refused

TOKEN = {"Authorization": f"Bearer {WRITE}"}


@pytest.fixture
def album(tmp_path):
    return make_served_album(tmp_path)


@pytest.fixture
def running(album, tmp_path):
    with live(tmp_path, {"photos": album.index}, duplicates=[str(album.report)], image_roots=[str(album.root)]) as made:
        yield made


@pytest.fixture
def http(running):
    with httpx2.Client(base_url=running.url, timeout=30) as client:
        yield client


def decide(http, number, headers=TOKEN, **body):
    version = http.get(f"/v1/duplicates/{number}").json()["version"]
    return http.post(f"/v1/duplicates/{number}", json={"version": version, **body}, headers=headers)


def chosen(found):
    return [file["decision"] for file in found["files"]]


class TestGroups:
    def test_a_page_has_the_groups_of_the_report(self, http, album):
        found = http.get("/v1/duplicates").json()
        report = DedupeReport.open(album.report)
        assert [[file["path"] for file in one["files"]] for one in found["groups"]] == [
            [item.path for item in one] for one in report
        ]
        assert [one["kind"] for one in found["groups"]] == ["bytes", "bytes", "copies"]
        assert [one["why"] for one in found["groups"]][2] == "most pixels"
        assert found["images"] is True
        assert found["totals"] == {"removed": 0, "removed_bytes": 0, "kept": 0, "undecided": 3}
        assert {kind: about["groups"] for kind, about in found["kinds"].items()} == {"bytes": 2, "copies": 1}
        assert (found["count"], found["place"], found["previous"], found["next"]) == (3, 0, None, None)
        odd = found["groups"][2]["files"][1]
        assert (odd["path"], odd["shown"], odd["similarity"]) == (ODD, ODD.replace("\udcff", "\\udcff"), 0.9)
        assert str(album.root) not in json.dumps(found)
        assert http.get("/v1/indexes").json()["indexes"][0]["duplicates"] is True

    def test_pages_go_forth_and_back(self, tmp_path):
        album = make_served_album(tmp_path / "many", more=5)
        options = {"duplicates": [str(album.report)], "image_roots": [str(album.root)]}
        with live(tmp_path, {"photos": album.index}, **options) as running:

            def read(**wishes):
                found = httpx2.get(f"{running.url}/v1/duplicates", params={"limit": 3, **wishes}).json()
                return [one["group"] for one in found["groups"]], found["previous"], found["next"], found["place"]

            assert read() == ([0, 1, 2], None, 3, 0)
            assert read(start=3) == ([3, 4, 5], 3, 6, 3)
            assert read(start=6) == ([6, 7], 6, None, 6)
            assert read(before=6) == ([3, 4, 5], 3, 6, 3)
            assert read(before=2) == ([0, 1], None, 2, 0)
            assert read(kind="copies") == ([7], None, None, 0)
            assert read(start=99) == ([], None, None, 0)

    def test_groups_without_a_decision(self, http):
        assert decide(http, 0, best=True).status_code == 200
        found = http.get("/v1/duplicates", params={"undecided": True}).json()
        assert [one["group"] for one in found["groups"]] == [1, 2]
        assert found["count"] == found["totals"]["undecided"] == 2

    def test_a_large_group_is_read_in_parts(self, http, running, monkeypatch):
        monkeypatch.setattr("kinbits.serving.duplicates.FILES_OF_GROUP", 2)
        found = http.get("/v1/duplicates").json()["groups"][0]
        assert (found["size"], len(found["files"])) == (3, 2)
        rest = http.get("/v1/duplicates/0", params={"start": 2}).json()
        assert [file["file"] for file in rest["files"]] == [2]
        assert rest["version"] == found["version"]
        decided = decide(http, 0, best=True)
        assert decided.json()["totals"]["removed"] == 2

    def test_a_thumbnail_is_of_the_file_whether_the_index_has_it_or_not(self, http, album):
        for file in http.get("/v1/duplicates/2").json()["files"]:
            answer = http.get(f"/{file['thumbnail']}&size=32")
            image = Image.open(io.BytesIO(answer.content))
            assert (image.format, max(image.size)) == ("JPEG", 32)
            assert image.size[0] / image.size[1] == pytest.approx(file["width"] / file["height"], 0.05)

    def test_no_other_file_is_shown(self, running, http, album, tmp_path):
        (album.root / "big.png").unlink()
        (album.root / "big.png").symlink_to(tmp_path / "report.png")
        Image.new("RGB", (9, 9)).save(tmp_path / "report.png")
        assert "outside the folders of images" in problem(http.get("/v1/duplicates/2/0/thumbnail"), 404)
        report = DedupeReport.open(album.report)
        values = json.loads(report.to_json())
        values["groups"][2]["items"][0]["path"] = "../report.png"
        (album.report / "report.json").write_text(json.dumps(values))
        assert "does not stay below" in problem(http.get("/v1/duplicates/2/0/thumbnail"), 422)
        assert http.get("/v1/duplicates/2").json()["files"][0]["note"] == "the path does not stay below the folder"

    def test_images_outside_the_roots_are_not_shown(self, album, tmp_path):
        (tmp_path / "other").mkdir()
        options = {"duplicates": [str(album.report)], "image_roots": [str(tmp_path / "other")]}
        with live(tmp_path, {"photos": album.index}, **options) as running:
            answer = httpx2.get(f"{running.url}/v1/duplicates/0/0/thumbnail")
            assert "--image-roots names more" in problem(answer, 404)
            assert httpx2.get(f"{running.url}/v1/duplicates").json()["images"] is False
            assert re.search(r'<p id="no-images" class="panel">', httpx2.get(f"{running.url}/duplicates").text)


class TestDecisions:
    def test_they_are_those_that_apply_carries_out(self, http, album, tmp_path, capsys):
        answer = decide(http, 0, decisions={"0": "keep", "1": "remove"}).json()
        assert chosen(answer["group"]) == ["keep", "remove", None]
        assert answer["totals"]["removed"] == 1
        made = Decisions.open(album.decisions)
        assert {path: file.decision for path, file in made.files.items()} == {
            "trip/0.jpg": "keep",
            "again 0.jpg": "remove",
            "third 0.jpg": None,
        }
        assert all(file.sha256 for file in made.files.values())
        assert decide(http, 2, best=True).status_code == 200
        code = main(["dedupe", "apply", str(album.decisions), "--move-to", str(tmp_path / "aside"), "--dry-run"])
        assert (code, "3 files" in capsys.readouterr().out) == (0, True)
        done = apply_decisions(album.decisions, move_to=tmp_path / "aside")
        assert {file.path for file in done.done} == {"again 0.jpg", ODD, "trip/1.jpg"}
        assert not done.refused
        assert http.get("/v1/duplicates/0").json()["files"][1]["note"] == "it is missing"

    def test_a_file_of_two_groups_has_one_decision(self, http, album):
        answer = decide(http, 2, decisions={"2": "remove"}).json()
        assert answer["others"] == [1]
        assert chosen(http.get("/v1/duplicates/1").json()) == ["remove", None, None]
        assert {one.kind for one in Decisions.open(album.decisions).groups} == {"bytes", "copies"}

    def test_a_decision_is_taken_back(self, http, album):
        decide(http, 0, best=True)
        answer = decide(http, 0, decisions={"0": None, "1": None, "2": None}).json()
        assert chosen(answer["group"]) == [None] * 3
        assert Decisions.open(album.decisions).groups == ()

    def test_the_later_of_two_people_does_not_overwrite_the_first(self, http):
        version = http.get("/v1/duplicates/0").json()["version"]
        first = {"version": version, "decisions": {"0": "keep", "1": "remove"}}
        assert http.post("/v1/duplicates/0", json=first, headers=TOKEN).status_code == 200
        second = {"version": version, "decisions": {"0": "remove"}}
        answer = http.post("/v1/duplicates/0", json=second, headers=TOKEN)
        assert "its files are now: keep, remove, undecided. Read it again" in problem(answer, 409)
        assert answer.json()["type"] == "urn:kinbits:changed"
        assert chosen(http.get("/v1/duplicates/0").json()) == ["keep", "remove", None]
        assert decide(http, 0, decisions={"0": None, "2": "keep"}).status_code == 200

    def test_many_people_at_once_lose_nothing(self, running, http, album):
        answers = []

        def one(number, place):
            with httpx2.Client(base_url=running.url, timeout=30) as client:
                while (answer := decide(client, number, decisions={str(place): "keep"})).status_code == 409:
                    pass
                answers.append(answer.status_code)

        threads = [threading.Thread(target=one, args=(number, place)) for number in range(3) for place in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [200] * 9
        assert all(file.decision == "keep" for file in Decisions.open(album.decisions).files.values())

    def test_nothing_left_needs_a_confirmation(self, http, album):
        everything = {"0": "remove", "1": "remove", "2": "remove"}
        answer = decide(http, 0, decisions=everything)
        assert "no file of group 0 would be left" in problem(answer, 409)
        assert answer.json()["type"] == "urn:kinbits:nothing-left"
        assert not album.decisions.exists()
        assert decide(http, 0, decisions=everything, remove_all=True).status_code == 200
        assert [one.remove_all for one in Decisions.open(album.decisions).groups] == [True]

    def test_a_kept_copy_elsewhere_is_enough(self, http, album):
        decide(http, 2, best=True)  # trip/1.jpg goes, and big.png, the better copy, stays
        assert decide(http, 1, decisions={"1": "remove", "2": "remove"}).status_code == 200
        assert {one.kind: one.remove_all for one in Decisions.open(album.decisions).groups} == {
            "bytes": True,
            "copies": False,
        }

    def test_a_changed_file_is_told_and_not_decided_on(self, http, album):
        (album.root / "trip/0.jpg").write_bytes(b"other")
        assert http.get("/v1/duplicates/0").json()["files"][0]["note"] == "it has changed since the search"
        told = problem(decide(http, 0, decisions={"0": "remove"}), 422)
        assert told == "trip/0.jpg: it has changed since the search; search again to decide on it"
        assert chosen(decide(http, 0, best=True).json()["group"]) == [None, "keep", "remove"]

    def test_decisions_of_another_program_are_followed(self, http, album):
        decide(http, 0, best=True)
        assert main(["dedupe", "decide", str(album.report), "--kinds", "copies"]) == 0
        found = http.get("/v1/duplicates").json()
        assert [chosen(one) for one in found["groups"]] == [
            [None] * 3,
            ["remove", None, None],
            ["keep", "remove", "remove"],
        ]
        assert decide(http, 0, best=True).status_code == 200
        assert Decisions.open(album.decisions).files["big.png"].decision == "keep"

    @pytest.mark.parametrize(
        ("body", "status", "told"),
        [
            ({"decisions": {"0": "delete"}}, 400, "decisions.0: Input should be 'keep' or 'remove'"),
            ({"decisions": {"3": "keep"}}, 400, "group 0 has the files 0 to 2, and no file 3"),
            ({"decisions": {"-1": "keep"}}, 400, "no file -1"),
            ({"decisions": {"x": "keep"}}, 400, "decisions.x"),
            ({}, 400, "give decisions, or best: true"),
            ({"best": True, "decisions": {}}, 400, "give decisions, or best: true"),
            ({"best": True, "version": "old"}, 409, "its files are now"),
            ({"best": True, "keep": 0}, 400, "unknown field 'keep'"),
        ],
    )
    def test_what_cannot_be_decided_names_the_remedy(self, http, body, status, told):
        assert told in problem(decide(http, 0, **body), status)

    def test_the_version_is_needed(self, http):
        assert "version" in problem(http.post("/v1/duplicates/0", json={"best": True}, headers=TOKEN), 400)

    def test_the_token_is_needed(self, http, album, tmp_path):
        for headers in ({}, {"Authorization": "Bearer another-token-123"}):
            assert "token to write" in problem(decide(http, 0, headers=headers, best=True), 401)
        assert not album.decisions.exists()

    def test_a_service_without_a_token_to_write_says_so(self):
        with pytest.raises(Refused, match="start it with --write-token-file") as refused:
            Tokens(ServeSettings()).check("", write=True)
        assert refused.value.status == 403


class TestReports:
    def test_there_is_no_group_or_report(self, http, album, tmp_path):
        for address in ("/v1/duplicates/3", "/v1/duplicates/-1", "/v1/duplicates/3/0/thumbnail"):
            assert "it has 3, numbered from 0" in problem(http.get(address), 404)
        assert "has no file 7" in problem(http.get("/v1/duplicates/0/7/thumbnail"), 404)
        body = {"version": "x", "best": True}
        assert "no group 3" in problem(http.post("/v1/duplicates/3", json=body, headers=TOKEN), 404)
        with live(tmp_path, {"photos": album.index}) as bare:
            assert "--duplicates REPORT" in problem(httpx2.get(f"{bare.url}/v1/duplicates"), 404)

    def test_each_index_has_its_report(self, tmp_path):
        one, other = make_served_album(tmp_path / "one"), make_served_album(tmp_path / "other", more=1)
        indexes = {"one": one.index, "other": other.index, "bare": one.index}
        with live(tmp_path, indexes, duplicates=[f"one={one.report}", f"other={other.report}/report.json"]) as running:
            for name, count in (("one", 3), ("other", 4)):
                found = httpx2.get(f"{running.url}/v1/duplicates", params={"index": name}).json()
                assert found["count"] == count
            assert "name the index" in problem(httpx2.get(f"{running.url}/v1/duplicates"), 400)
            answer = httpx2.get(f"{running.url}/v1/duplicates?index=bare")
            assert "--duplicates bare=REPORT" in problem(answer, 404)

    def test_a_report_that_cannot_be_used_ends_the_command(self, album, tmp_path):
        def start(*given, indexes=("photos",)):
            with live(tmp_path, {name: album.index for name in indexes}, duplicates=given):
                pass

        with pytest.raises(ArtefactError, match="search first"):
            start(str(tmp_path / "none"))
        with pytest.raises(UsageError, match="no index 'other'"):
            start(f"other={album.report}")
        with pytest.raises(UsageError, match="two reports"):
            start(str(album.report), str(album.report))
        with pytest.raises(UsageError, match="INDEX=REPORT"):
            start(str(album.report), indexes=("a", "b"))
        album.root.rename(tmp_path / "moved")
        with pytest.raises(DataError, match="cannot be opened"):
            start(str(album.report))

    def test_a_new_report_is_followed_and_old_versions_are_refused(self, http, album):
        version = http.get("/v1/duplicates/0").json()["version"]
        report = DedupeReport.open(album.report)
        DedupeReport(report.root, report.groups[1:]).save(album.report)
        assert http.get("/v1/duplicates").json()["count"] == 2
        body = {"version": version, "best": True}
        assert "Read it again" in problem(http.post("/v1/duplicates/0", json=body, headers=TOKEN), 409)

    def test_decisions_on_another_report_are_kept(self, http, album):
        decide(http, 0, best=True)
        report = DedupeReport.open(album.report)
        DedupeReport(report.root, report.groups[1:]).save(album.report)
        told = problem(http.get("/v1/duplicates"), 409)
        assert "decides on another report" in told
        assert "move it away" in told
        album.decisions.rename(album.report / "done.json")
        assert http.get("/v1/duplicates").json()["count"] == 2


def test_the_interface_is_described_with_examples(http):
    paths = http.get("/v1/openapi.json").json()["paths"]
    body = paths["/v1/duplicates/{group}"]["post"]["requestBody"]["content"]["application/json"]
    assert body["examples"]["no duplicates"]["value"]["decisions"] == {"0": "keep", "1": "keep"}
    answers = paths["/v1/duplicates/{group}"]["post"]["responses"]
    assert {"200", "401", "403", "404", "409"} <= answers.keys()
    assert answers["200"]["content"]["application/json"]["example"]["group"]["version"]
    assert http.get("/v1/duplicates").status_code == 200
    assert 'route="/v1/duplicates"' in http.get("/metrics").text


def test_the_page_without_javascript_shows_groups_and_decisions(http, album):
    decide(http, 2, best=True)
    answer = http.get("/duplicates")
    html = answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert re.findall(r"<script[^>]*>", html) == ['<script type="module" src="static/duplicates.js">']
    assert not re.search(r"<style|\sstyle=|\son\w+=|//", html)
    assert html.count('<section class="group"') == 3
    assert html.count('<span class="mark right state">') == 4
    assert "best: most pixels" in html
    assert "<b>" not in html
    for name in re.findall(r'(?:src|href)="(static/[^"]+)"', html):
        assert http.get(f"/{name}").status_code == 200
    for image in re.findall(r'<img src="(v1/[^"]+)"', html):
        assert http.get(f"/{image.replace('&amp;', '&')}").headers["content-type"] == "image/jpeg"
    assert 'href="duplicates">Duplicates' in http.get("/").text
    assert http.get("/duplicates?kind=copies").text.count('<section class="group"') == 1
    for query, status in (("kind=twins", 400), ("start=-1x", 400), ("index=%3Cb%3E", 404)):
        refused = http.get(f"/duplicates?{query}")
        assert refused.status_code == status
        assert "<b>" not in refused.text


def test_a_service_with_a_token_shows_nothing_of_its_duplicates(album, tmp_path):
    (tmp_path / "read.token").write_text("a-token-that-may-read")
    options = {"duplicates": [str(album.report)], "token_file": tmp_path / "read.token"}
    with live(tmp_path, {"private": album.index}, **options) as running:
        page = httpx2.get(f"{running.url}/duplicates")
        assert page.status_code == 200
        assert "trip" not in page.text
        assert "private" not in page.text
        problem(httpx2.get(f"{running.url}/v1/duplicates"), 401)
        problem(httpx2.get(f"{running.url}/v1/duplicates/0/0/thumbnail"), 401)
