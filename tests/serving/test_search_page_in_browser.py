"""A person searches in a browser: images, ids, filters, a radius, keys, the address, a token, and no JavaScript."""

from urllib.parse import parse_qs, urlparse

import numpy as np
import pytest
import torch
from browser_helpers import COLOURS, IN_BROWSER, contrast, open_page
from classed import Space, classed_index
from live import live
from PIL import Image

from kinbits.backbones import load_backbone
from kinbits.data import open_dataset
from kinbits.heads import build_head
from kinbits.index import Index
from kinbits.model import HashModel, Tower

pytestmark = IN_BROWSER
BITS = 64
ROWS = 16
BAD = "<img src=x onerror=alert(1)>"
LABELS = ["cat", 'it\'s "a" dog', BAD, "cat and fox"]
TOKEN = "a-token-that-may-read"


def picture(number):
    small = Image.fromarray(np.random.default_rng(number).integers(0, 256, (4, 5, 3)).astype(np.uint8))
    return small.resize((80, 60), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of photos, and an index of them with columns."""
    folder = tmp_path_factory.mktemp("seen")
    (folder / "photos" / "a b").mkdir(parents=True)
    for number in range(ROWS):
        picture(number).save(folder / "photos" / "a b" / f"p{number:02}#.png")
    torch.manual_seed(0)
    head = build_head({"name": "linear", "features": 384, "bits": BITS})
    HashModel({"image": Tower(load_backbone("convnet-small"), head)}).save_pretrained(folder / "model")
    index = Index.create(folder / "photos.index", model=folder / "model")
    columns = {"label": [LABELS[row % 4] for row in range(ROWS)], "year": [2000 + row for row in range(ROWS)]}
    index.add(open_dataset(folder / "photos", labels=False), metadata=columns)
    return folder


@pytest.fixture(scope="module")
def service(place):
    with live(place, {"photos": place / "photos.index"}, max_k=12) as running:
        yield running


@pytest.fixture
def page(browser, service):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(20_000)
    made = open_search(context, service.url)
    yield made
    context.close()
    assert made.faults == []


def open_search(context, url, ready="#drop:not([hidden])"):
    return open_page(context, url, "/", ready)


def name(number):
    return f"a b/p{number:02}#.png"


def shown(page):
    return page.locator(".hit .name").all_inner_texts()


def wait_for(page, count):
    """Wait for the text of the count, and for no search to run."""
    page.wait_for_function("t => document.getElementById('count').textContent === t", arg=count)
    page.wait_for_selector("#results:not([aria-busy])")


def search_id(page, number, count="12 hits"):
    page.fill("#q", name(number))
    page.press("#q", "Enter")
    page.wait_for_function("t => document.querySelector('#asked .name')?.textContent === t", arg=name(number))
    wait_for(page, count)


def expected(service, number, k=12, **how):
    index = service.service.indexes["photos"].index
    return index.search(index.to_codes(ids=[name(number)]).codes[0], k, **how).ids.tolist()


def asked(page):
    return {key: values[0] for key, values in parse_qs(urlparse(page.url).query).items()}


def test_an_image_finds_its_neighbours_and_shows_why(page, place, service):
    page.set_input_files("#file", place / "photos" / name(5))
    wait_for(page, "12 hits")
    assert shown(page) == expected(service, 5)
    assert page.inner_text(".hit .distance >> nth=0") == "0 bits"
    index = service.service.indexes["photos"].index
    for row, distance in enumerate(index.search(index.to_codes(ids=[name(5)]).codes[0], 12).distances.tolist()):
        noun = "bit" if distance == 1 else "bits"
        assert page.get_attribute(f".hit .strip >> nth={row}", "aria-label") == f"{distance} {noun} of {BITS} differ"
    assert page.inner_text("#asked .name") == "p05#.png"
    page.wait_for_function(
        "() => [...document.querySelectorAll('.hit img')].slice(0, 4).every((one) => one.naturalWidth)"
    )
    page.set_input_files("#file", {"name": "no.png", "mimeType": "image/png", "buffer": b"no image"})
    page.wait_for_selector("#trouble:not([hidden])")
    assert "cannot be read" in page.inner_text("#trouble")
    assert shown(page) == []
    page.faults[:] = [fault for fault in page.faults if "422" not in fault]


def test_a_pasted_and_a_dropped_image(page, place, service):
    for number, event, field in ((2, "paste", "clipboardData"), (3, "drop", "dataTransfer")):
        data = list((place / "photos" / name(number)).read_bytes())
        page.evaluate(
            """([bytes, event, field]) => {
              const data = new DataTransfer();
              data.items.add(new File([new Uint8Array(bytes)], event + ".png", {type: "image/png"}));
              const made = new Event(event, {bubbles: true, cancelable: true});
              Object.defineProperty(made, field, {value: data});
              document.body.dispatchEvent(made);
            }""",
            [data, event, field],
        )
        page.wait_for_selector(f"#asked .name:text-is('{event}.png')")
        wait_for(page, "12 hits")
        assert shown(page) == expected(service, number)


def test_back_forward_and_reload(page, service):
    search_id(page, 1)
    page.click(".hit >> nth=3", position={"x": 60, "y": 60})  # its picture
    second = expected(service, 1)[3]
    page.wait_for_selector(f"#asked .name:text-is('{second}')")
    wait_for(page, "12 hits")
    assert shown(page)[0] == second == asked(page)["id"] == page.input_value("#q")
    page.go_back()
    page.wait_for_selector(f"#asked .name:text-is('{name(1)}')")
    wait_for(page, "12 hits")
    assert shown(page) == expected(service, 1)
    page.go_forward()
    page.wait_for_selector(f"#asked .name:text-is('{second}')")
    page.fill("#k", "4")
    wait_for(page, "4 hits")
    page.reload()
    wait_for(page, "4 hits")
    assert asked(page) == {"id": second, "k": "4"}
    assert (page.input_value("#q"), page.input_value("#k")) == (second, "4")
    for _ in "123":
        page.go_back()
    page.wait_for_function("() => !document.querySelector('.hit')")
    assert page.input_value("#q") == ""


def test_a_code_and_words(page, service):
    code = service.service.indexes["photos"].index.to_codes(ids=[name(7)]).codes[0]
    assert page.is_hidden("#by [value=text]")
    page.select_option("#by", "code")
    page.fill("#q", code.tobytes().hex())
    page.click("#search button")
    wait_for(page, "12 hits")
    assert shown(page) == expected(service, 7)
    assert asked(page) == {"code": code.tobytes().hex()}


@pytest.mark.parametrize("row", range(4))
def test_fields_make_a_filter(page, service, row):
    label = LABELS[row]
    search_id(page, 0)
    page.click("summary")
    page.fill("[aria-label='label, value']", label)
    wait_for(page, "4 hits")
    page.fill("[aria-label='year, from']", str(2000 + row + 1))
    wait_for(page, "3 hits")
    where = {"label": label, "year": {">=": 2000 + row + 1}}
    assert shown(page) == expected(service, 0, where=where)
    doubled = label.replace("'", "''")
    assert asked(page)["where"] == page.input_value("#where") == f'"label" = \'{doubled}\' and "year" >= {2001 + row}'
    page.reload()
    wait_for(page, "3 hits")
    assert page.input_value("[aria-label='label, value']") == label
    assert page.input_value("[aria-label='year, from']") == str(2001 + row)
    assert page.locator(".hit img[src=x]").count() == 0


def test_a_filter_by_hand_and_a_wrong_one(page, service):
    search_id(page, 0)
    page.click("summary")
    page.fill("#where", "year < 2002 or year = 2009")
    page.press("#where", "Tab")
    wait_for(page, "3 hits")
    assert page.is_visible("#by-hand")
    assert page.is_disabled("[aria-label='label, value']")
    page.fill("#where", "yaer = 1")
    page.press("#where", "Tab")
    page.wait_for_selector("#trouble:not([hidden])")
    assert "yaer" in page.inner_text("#trouble")
    page.fill("#where", "")
    page.press("#where", "Tab")
    wait_for(page, "12 hits")
    assert page.is_hidden("#trouble")
    page.select_option("[aria-label='label, how']", "contains")
    page.fill("[aria-label='label, value']", "cat")
    wait_for(page, "8 hits")
    assert shown(page) == expected(service, 0, where="label contains cat")
    page.faults[:] = [fault for fault in page.faults if "400" not in fault]


def test_a_radius_counts_its_hits(page, service):
    search_id(page, 4)
    index = service.service.indexes["photos"].index
    near = np.sort(index.search(index.to_codes(ids=[name(4)]).codes[0], ROWS).distances)
    page.fill("#k", "2")
    wait_for(page, "2 hits")
    page.check("#radius-on")
    radius = int(near[4])
    page.locator("#radius").evaluate("(one, to) => { one.value = to; one.dispatchEvent(new Event('input')); }", radius)
    count = int((near <= radius).sum())
    assert 2 < count < 12
    wait_for(page, f"{count} hits within {radius} bits, the nearest 2 shown")
    assert asked(page) == {"id": name(4), "k": "2", "radius": str(radius)}
    page.locator("#radius").evaluate("(one) => { one.value = one.max; one.dispatchEvent(new Event('input')); }")
    wait_for(page, f"12 or more hits within {BITS // 2} bits, the nearest 2 shown")
    page.go_back()  # all changes of the slider are one step
    wait_for(page, "2 hits")
    assert not page.is_checked("#radius-on")


def test_a_radius_of_words_is_a_part_of_one(browser, place, monkeypatch):
    monkeypatch.setattr("kinbits.backbones.class_space", lambda vocabulary: Space())
    with live(place, {"classed": classed_index()}) as running:
        context = browser.new_context()
        page = open_search(context, running.url, ready="#radius-part:not([hidden])")
        page.select_option("#by", "text")
        page.fill("#q", "5")
        page.press("#q", "Enter")
        wait_for(page, "8 hits")
        page.check("#radius-on")
        assert page.inner_text("#radius-text") == "0.50"
        wait_for(page, "1 hit within 0.50")
        slide = "(one) => { one.value = 0.9; one.dispatchEvent(new Event('input')); }"
        page.locator("#radius").evaluate(slide)
        wait_for(page, "2 hits within 0.90")
        assert asked(page) == {"text": "5", "radius": "0.9"}
        page.reload()
        wait_for(page, "2 hits within 0.90")
        page.click(".hit .more >> nth=1")  # whose distances are bits
        page.wait_for_selector("#asked .name:text-is('1152921504606846980')")
        wait_for(page, "8 hits")
        assert page.inner_text("#radius-text") == "4 bits"
        assert page.faults == []
        context.close()


def test_keys_alone(page, service):
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "q"
    page.keyboard.type(name(6))
    page.keyboard.press("Enter")
    wait_for(page, "12 hits")
    page.evaluate("document.activeElement.blur()")
    found = expected(service, 6)
    wide = page.evaluate("getComputedStyle(document.getElementById('hits')).gridTemplateColumns.split(' ').length")
    at = 0
    for key, step in (("ArrowRight", 0), ("ArrowRight", 1), ("ArrowDown", wide), ("ArrowLeft", -1), ("ArrowUp", -wide)):
        page.keyboard.press(key)
        at += step
        assert page.evaluate("document.activeElement.dataset.id") == found[at]
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.dataset.id") == found[-1]
    page.keyboard.press("Enter")
    page.wait_for_selector(f"#asked .name:text-is('{found[-1]}')")
    wait_for(page, "12 hits")
    assert page.evaluate("document.activeElement.dataset.id") == found[-1]  # the first hit of the new search
    assert page.locator(".hit a:not([tabindex='-1'])").count() == 1
    page.keyboard.press("Escape")
    page.wait_for_function("() => !document.querySelector('.hit')")
    assert (page.input_value("#q"), asked(page)) == ("", {})
    page.uncheck("#keys-on")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "keys-on"


def test_a_late_answer_never_replaces_a_later_one(page, service):
    held = []
    page.route("**/v1/items/*p08*", lambda route: held.append(route))
    page.fill("#q", name(8))
    page.press("#q", "Enter")
    page.wait_for_selector("#results[aria-busy=true]")
    search_id(page, 9)
    for route in held:
        route.continue_()
    page.wait_for_timeout(300)
    assert len(held) == 1
    assert shown(page) == expected(service, 9)


def test_a_token_is_asked_for_and_kept_in_the_tab_only(browser, place):
    (place / "read.token").write_text(TOKEN)
    with live(place, {"photos": place / "photos.index"}, token_file=place / "read.token") as running:
        context = browser.new_context()
        page = open_search(context, running.url, ready="#token:not([hidden])")
        assert page.evaluate("document.activeElement.id") == "token-text"
        page.fill("#token-text", "a wrong token")
        page.press("#token-text", "Enter")
        page.wait_for_selector("#trouble:not([hidden])")
        page.fill("#token-text", TOKEN)
        page.press("#token-text", "Enter")
        page.wait_for_selector("#search:not([hidden])")
        assert page.is_hidden("#token")
        assert page.is_hidden("#trouble")
        page.set_input_files("#file", place / "photos" / name(5))
        wait_for(page, f"{ROWS} hits")
        page.wait_for_function("() => document.querySelector('.hit img').naturalWidth")
        assert page.get_attribute(".hit img >> nth=0", "src").startswith("blob:")
        assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 1, ""]
        assert TOKEN not in page.url
        page.reload()
        page.wait_for_selector("#trouble:not([hidden])")
        assert "Choose it again" in page.inner_text("#trouble")
        assert all("401" in fault for fault in page.faults)
        context.close()


def test_without_javascript(browser, service):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(service.url)
    assert page.is_hidden("#drop")
    page.select_option("#by", "id")
    page.fill("#q", name(3))
    page.fill("#k", "5")
    page.click("#search button")
    assert shown(page) == expected(service, 3, 5)
    assert page.input_value("#q") == name(3)
    page.click(".hit .more >> nth=2")
    assert page.input_value("#q") == expected(service, 3, 5)[2]
    assert len(shown(page)) == 5
    page.fill("#q", "gone")
    page.press("#q", "Enter")
    assert "(404)" in page.inner_text("#trouble")
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_cut_and_texts_have_contrast(page, scheme, width):
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": 800})
    search_id(page, 5)
    page.click("summary")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wide = page.evaluate(
        "[...document.querySelectorAll('main *')].filter((one) => one.checkVisibility() && "
        "one.getBoundingClientRect().right > innerWidth).map((one) => one.outerHTML)"
    )
    assert wide == []
    pairs = page.evaluate(COLOURS)
    assert len(pairs) > 40
    assert [pair for pair in pairs if contrast(*pair[1:]) < 4.5] == []
    assert page.evaluate(
        "[...document.querySelectorAll('main input, main select')].every((one) => "
        "one.ariaLabel || one.labels[0]?.textContent.trim())"
    )
