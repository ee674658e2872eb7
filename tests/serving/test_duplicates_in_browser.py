"""A person reviews duplicates on the page of a service, and `kinbits dedupe apply` carries their decisions out."""

import httpx2
import pytest
from browser_helpers import COLOURS, IN_BROWSER, contrast, open_page, violations
from live import WRITE, live
from served_album import ODD, make_served_album

from kinbits.cli import main
from kinbits.dedupe import Decisions, DedupeReport

pytestmark = IN_BROWSER
READ = "a-token-that-may-read"


@pytest.fixture
def album(tmp_path):
    return make_served_album(tmp_path)


@pytest.fixture
def service(album, tmp_path):
    options = {"duplicates": [str(album.report)], "image_roots": [str(album.root)]}
    with live(tmp_path, {"photos": album.index}, **options) as running:
        yield running


@pytest.fixture
def context(browser):
    made = browser.new_context(viewport={"width": 1280, "height": 900}, timezone_id="UTC")
    made.set_default_timeout(20_000)
    yield made
    made.close()


@pytest.fixture
def page(context, service):
    made = open_review(context, service.url)
    yield made
    assert made.faults == []


def open_review(context, url, ready="button.yes, #token:not([hidden]), .note"):
    return open_page(context, url, "/duplicates", ready)


def give_token(page, token=WRITE):
    page.fill("#token-text", token)
    page.press("#token-text", "Enter")
    page.wait_for_selector("#token", state="hidden")


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


def focused(page):
    return page.evaluate("document.activeElement.getAttribute('aria-label')")


def counts(page, text):
    page.wait_for_function("t => document.getElementById('counts').textContent.startsWith(t)", arg=text)


def chosen(album):
    return {path: file.decision for path, file in Decisions.open(album.decisions).files.items()}


def test_keys_decide_and_apply_sees_it(page, album, tmp_path, capsys):
    give_token(page)
    assert focused(page).startswith("trip/0.jpg, best")
    press(page, "Shift+K", "ArrowRight", "r", "ArrowRight", "r")  # each at once, without waiting for the one before
    counts(page, "2 to remove")
    press(page, "j", "j", "b")
    counts(page, "4 to remove")
    assert page.inner_text("#counts").endswith("2 to keep · 0 groups undecided")
    assert page.inner_text(".card[aria-label^='trip/1.jpg, best'] .state") == "✗ remove"  # it is in two groups
    assert chosen(album) == {
        "trip/0.jpg": "keep",
        "again 0.jpg": "remove",
        "third 0.jpg": "remove",
        "trip/1.jpg": "remove",
        "again 1.jpg": None,
        "third 1.jpg": None,
        "big.png": "keep",
        ODD: "remove",
    }
    assert main(["dedupe", "apply", str(album.decisions), "--move-to", str(tmp_path / "aside"), "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("4 files")
    press(page, "u")
    counts(page, "2 to remove")
    page.click("#undo")
    counts(page, "1 to remove")


def test_what_needs_the_token_is_told(page, service):
    assert page.locator("button.yes").count() == 0
    press(page, "j", "r", "b")
    assert page.inner_text("#token-why") == "Decisions need the token to write."
    page.fill("#token-text", "a wrong token of someone")
    page.press("#token-text", "Enter")
    page.wait_for_selector("#trouble:not([hidden])")
    assert "send the token to write" in page.inner_text("#trouble")
    assert page.locator("button.yes").count() == 0
    give_token(page)
    assert page.is_hidden("#trouble")
    assert page.locator("button.yes").count() == 9
    assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    page.reload()
    page.wait_for_selector("#token:not([hidden])")
    page.faults[:] = [fault for fault in page.faults if "401" not in fault]


def test_the_last_file_of_a_group_needs_a_confirmation(page, album):
    give_token(page)
    press(page, "r", "ArrowRight", "r", "ArrowRight", "r")
    page.wait_for_selector("#ask[open]")
    assert page.evaluate("document.activeElement.id") == "ask-no"
    press(page, "Enter")
    counts(page, "2 to remove")
    press(page, "r")
    page.wait_for_selector("#ask[open]")
    page.click("#ask-yes")
    counts(page, "3 to remove")
    assert [one.remove_all for one in Decisions.open(album.decisions).groups] == [True]
    page.faults[:] = [fault for fault in page.faults if "409" not in fault]


def test_the_decision_of_another_person_is_shown_and_not_lost(page, service, album):
    give_token(page)
    address = f"{service.url}/v1/duplicates/0"
    version = httpx2.get(address).json()["version"]
    body = {"version": version, "decisions": {"1": "keep", "0": "remove"}}
    assert httpx2.post(address, json=body, headers={"Authorization": f"Bearer {WRITE}"}).status_code == 200
    press(page, "b")
    page.wait_for_selector("#trouble:not([hidden])")
    assert "its files are now: remove, keep, undecided" in page.inner_text("#trouble")
    assert page.inner_text(".card .state >> nth=1") == "✓ keep"
    assert chosen(album)["again 0.jpg"] == "keep"
    press(page, "b")
    counts(page, "2 to remove")
    assert chosen(album)["trip/0.jpg"] == "keep"
    page.faults[:] = [fault for fault in page.faults if "409" not in fault]


def test_a_new_report_is_shown(page, album):
    give_token(page)
    report = DedupeReport.open(album.report)
    DedupeReport(report.root, report.groups[1:]).save(album.report)
    press(page, "b")
    page.wait_for_selector("#trouble:not([hidden])")
    assert page.locator("section.group").count() == 2
    assert not album.decisions.exists()
    page.faults[:] = [fault for fault in page.faults if "409" not in fault]


def test_kinds_pages_and_the_address(browser, tmp_path):
    album = make_served_album(tmp_path, more=25)
    options = {"duplicates": [str(album.report)], "image_roots": [str(album.root)]}
    with live(tmp_path, {"photos": album.index}, **options) as running:
        context = browser.new_context()
        page = open_review(context, running.url)
        assert page.inner_text("#page") == "1 to 20 of 28"
        assert page.is_hidden("#back")
        page.click("#next")
        page.wait_for_function("() => document.getElementById('page').textContent === '21 to 28 of 28'")
        assert page.url.endswith("?start=20")
        page.select_option("#kind", "copies")
        page.wait_for_function("() => document.getElementById('page').textContent === '1 to 1 of 1'")
        page.wait_for_function("() => [...document.querySelectorAll('.thumb img')].every((one) => one.naturalWidth)")
        page.go_back()
        page.wait_for_function("() => document.getElementById('page').textContent === '21 to 28 of 28'")
        page.focus("#groups")
        press(page, "ArrowUp")
        page.wait_for_function("() => document.getElementById('page').textContent === '1 to 20 of 28'")
        assert focused(page).startswith("trip/19.jpg")
        give_token(page)
        press(page, "b")
        counts(page, "2 to remove")
        page.check("#open")
        page.wait_for_function("() => document.getElementById('page').textContent === '1 to 20 of 27'")
        assert page.faults == []
        context.close()


def test_a_service_with_a_token_shows_groups_by_it(context, album, tmp_path):
    (tmp_path / "read.token").write_text(READ)
    options = {"duplicates": [str(album.report)], "image_roots": [str(album.root)]}
    with live(tmp_path, {"photos": album.index}, token_file=tmp_path / "read.token", **options) as running:
        page = open_review(context, running.url, ready="#token:not([hidden])")
        assert page.locator("section.group").count() == 0
        page.fill("#token-text", WRITE)
        page.press("#token-text", "Enter")
        page.wait_for_selector("button.yes")
        page.wait_for_function("() => document.querySelector('.thumb img').naturalWidth")
        assert page.get_attribute(".thumb img >> nth=0", "src").startswith("blob:")
        press(page, "b")
        counts(page, "2 to remove")
        assert all("401" in fault for fault in page.faults)


def test_without_javascript(browser, service, album):
    assert main(["dedupe", "decide", str(album.report), "--kinds", "copies"]) == 0
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(service.url)
    page.click("#duplicates")
    assert page.locator("section.group").count() == 3
    assert page.locator("section.group >> nth=2 >> .card.keep").count() == 1
    assert page.inner_text("section.group >> nth=2 >> .mark >> nth=0") == "best: most pixels"
    page.select_option("#kind", "copies")
    page.click("#show")
    assert page.locator("section.group").count() == 1
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.querySelector('.thumb img').naturalWidth") > 0
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_everybody_can_use_it(page, scheme, width):
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": 800})
    assert violations(page) == []
    give_token(page)
    press(page, "b")
    counts(page, "2 to remove")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wide = page.evaluate(
        "[...document.querySelectorAll('main *')].filter((one) => one.checkVisibility() && "
        "one.getBoundingClientRect().right > innerWidth).map((one) => one.outerHTML)"
    )
    assert wide == []
    assert [pair for pair in page.evaluate(COLOURS) if contrast(*pair[1:]) < 4.5] == []
    press(page, "?")
    assert violations(page) == []
