"""A person reviews duplicates in a browser, with the keyboard alone; what they chose is carried out and undone."""

import pytest
from album import ODD, contents, group, make_album, write_picture
from browser_helpers import COLOURS, IN_BROWSER, contrast

from kinbits.dedupe import Decisions, DedupeReport, apply_decisions, undo_decisions, write_review

pytestmark = IN_BROWSER


@pytest.fixture
def album(tmp_path):
    return make_album(tmp_path)


@pytest.fixture
def context(browser):
    made = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True, timezone_id="UTC")
    made.set_default_timeout(20_000)
    yield made
    made.close()


@pytest.fixture
def page(album, context):
    (path,) = write_review(album.report, album.root.with_name("review.html"), then="Now carry it out.")
    made = open_page(context, path)
    yield made
    assert made.faults == []


def open_page(context, path):
    made = context.new_page()
    made.faults = []
    made.on("pageerror", lambda error: made.faults.append(str(error)))
    made.on("console", lambda message: made.faults.append(message.text) if message.type == "error" else None)
    made.on("request", lambda request: made.faults.append(request.url) if request.url.startswith("http") else None)
    made.goto(path.as_uri())
    return made


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


def focused(page):
    return page.evaluate("document.activeElement.getAttribute('aria-label')")


def saved(page, tmp_path):
    with page.expect_download() as download:
        press(page, "s")
    assert download.value.suggested_filename == "decisions.json"
    download.value.save_as(tmp_path / "decisions.json")
    return Decisions.open(tmp_path / "decisions.json")


def test_keys_decide_a_file_is_saved_carried_out_and_undone(page, album, tmp_path):
    press(page, "ArrowRight")
    assert focused(page).startswith("trip 0/best.jpg, best: oldest file, 32 × 24")
    press(page, "Shift+K", "ArrowRight", "r", "ArrowRight", "r")
    assert focused(page).endswith("to remove")
    press(page, "j", "b", "ArrowDown", "b")
    assert page.inner_text("#counts") == "6 to remove, 5.3 kB · 3 to keep · 0 groups undecided"
    made = saved(page, tmp_path)
    assert page.inner_text("#saved").endswith("Now carry it out.")
    assert made.files == album.decisions("bytes", "copies").files
    before = contents(album.root)
    done = apply_decisions(tmp_path / "decisions.json", move_to=album.aside)
    assert {file.path for file in done.done} == {file.path for file in made.removed}
    assert ODD in {file.path for file in done.done}
    assert not done.refused
    undo_decisions(done.undo)
    assert contents(album.root) == before


def test_arrows_go_through_files_and_groups(page):
    press(page, "j")  # shows where one is
    seen = [focused(page)]
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft", "j", "j", "j", "k", "ArrowUp", "ArrowUp"):
        press(page, key)
        seen.append(focused(page))
    names = [label.split(",")[0] for label in seen]
    assert names == [
        "trip 0/best.jpg",
        "trip 0/deep/er/again.jpg",
        "copies/0.jpg",
        "trip 1/best.jpg",
        "copies/0.jpg",
        "trip 1/best.jpg",
        "big.png",
        "big.png",
        "trip 1/best.jpg",
        "trip 0/best.jpg",
        "trip 0/best.jpg",
    ]


def test_undo_takes_back_one_step_at_a_time(page):
    press(page, "j", "r", "j", "b")
    assert page.inner_text("#counts").startswith("3 to remove")
    press(page, "u")
    assert page.inner_text("#counts").startswith("1 to remove")
    page.click("#undo")
    assert page.inner_text("#counts").startswith("0 to remove, 0 B · 0 to keep · 3 groups")
    assert page.is_disabled("#undo")


def test_the_last_file_of_a_group_needs_a_confirmation(page, album, tmp_path):
    press(page, "j", "r", "ArrowRight", "r", "ArrowRight", "r")
    assert page.is_visible("#ask")
    assert page.evaluate("document.activeElement.id") == "ask-no"
    press(page, "Enter")
    assert not page.is_visible("#ask")
    assert page.inner_text("#counts").startswith("2 to remove")
    press(page, "r")
    page.click("#ask-yes")
    assert page.inner_text("#counts").startswith("3 to remove")
    made = saved(page, tmp_path)
    assert [one.remove_all for one in made.groups] == [True]
    assert len(apply_decisions(made, move_to=album.aside).done) == 3


def test_choices_are_kept_when_the_page_is_opened_again(page, context):
    press(page, "j", "b")
    counts = page.inner_text("#counts")
    again = open_page(context, page_path(page))
    assert again.inner_text("#counts") == counts
    assert again.faults == []
    page.reload()
    assert page.inner_text("#counts") == counts


def page_path(page):
    from pathlib import Path
    from urllib.parse import unquote, urlparse

    return Path(unquote(urlparse(page.url).path))


def test_help_opens_and_letters_can_be_switched_off(page):
    press(page, "j", "?")
    assert page.is_visible("#keys")
    press(page, "r")  # nothing happens behind a dialog
    page.uncheck("#keys-on")
    page.click("#keys-close")
    page.focus(".card")
    press(page, "r", "ArrowRight")
    assert page.inner_text("#counts").startswith("0 to remove")
    assert focused(page).startswith("trip 0/deep/er/again.jpg")
    press(page, "Space")
    assert page.inner_text("#counts").startswith("0 to remove, 0 B · 1 to keep")
    press(page, "Space")
    assert page.inner_text("#counts").startswith("1 to remove")


def test_mouse_and_a_whole_kind(page, album, tmp_path):
    page.click(".card >> nth=1 >> .yes")  # by hand: the whole kind leaves this group alone
    page.click("text=Keep the best in all 2 groups")
    assert page.inner_text("#counts").startswith("2 to remove")
    made = saved(page, tmp_path)
    assert {path for path, file in made.files.items() if file.decision == "keep"} == {
        "trip 0/deep/er/again.jpg",
        "trip 1/best.jpg",
    }
    page.click(".card >> nth=1 >> .yes")  # a second click takes the choice back
    assert page.inner_text("#counts").startswith("2 to remove, 1.76 kB · 1 to keep")


def test_the_text_is_that_of_the_file(page, tmp_path):
    press(page, "j", "b")
    page.click("#text")
    text = page.input_value("#texts-area")
    page.click("#texts-close")
    assert Decisions.from_json(text) == saved(page, tmp_path)


def test_equal_files_of_a_removed_copy_go_without_a_question(context, tmp_path):
    for path, seed in (("c.png", 1), ("a.jpg", 2), ("b.jpg", 2)):
        write_picture(tmp_path / "album" / path, seed)
    root = tmp_path / "album"
    groups = (group("bytes", root, ["a.jpg", "b.jpg"]), group("copies", root, ["c.png", "a.jpg"]))
    (path,) = write_review(DedupeReport(str(root), groups), tmp_path / "r.html")
    page = open_page(context, path)
    press(page, "j", "b", "j", "b")
    assert not page.is_visible("#ask")
    assert page.inner_text("#counts").startswith("2 to remove")
    made = saved(page, tmp_path)
    assert [one.remove_all for one in made.groups] == [True, False]
    done = apply_decisions(made, move_to=tmp_path / "aside")
    assert {file.path for file in done.done} == {"a.jpg", "b.jpg"}
    assert page.faults == []


def test_many_groups_are_shown_in_screens(context, tmp_path):
    root = tmp_path / "album"
    groups = []
    for number in range(150):
        for name in ("a", "b"):
            write_picture(root / f"{number:03}{name}.jpg", number, size=8)
        groups.append(group("bytes", root, [f"{number:03}a.jpg", f"{number:03}b.jpg"]))
    (path,) = write_review(DedupeReport(str(root), tuple(groups)), tmp_path / "r.html")
    page = open_page(context, path)
    assert page.locator(".card").count() == 100
    assert page.inner_text("#page") == "screen 1 of 3"
    page.click("#next")
    page.click("#next")
    press(page, "j", "k", "k")
    assert focused(page).startswith("099a.jpg")
    assert page.inner_text("#page") == "screen 2 of 3"
    page.click("text=Keep the best in all 150 groups")
    assert page.inner_text("#counts").startswith("150 to remove")
    page.check("#open")
    assert page.locator(".card").count() == 0
    assert page.faults == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_texts_have_contrast_and_nothing_is_cut(page, scheme, width):
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": 800})
    press(page, "j", "b")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    pairs = page.evaluate(COLOURS)
    assert len(pairs) > 20
    low = [pair for pair in pairs if contrast(*pair[1:]) < 4.5]
    assert not low
    assert page.evaluate("[...document.querySelectorAll('button')].every((b) => b.textContent || b.ariaLabel)")
