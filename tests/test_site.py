"""The documentation site is complete, leads nowhere wrong, needs no network, and can be read by everybody."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from browser_helpers import CHROMIUM, violations

pytest.importorskip("mkdocs", reason="needs the extra docs")

ROOT = Path(__file__).parent.parent
TUTORIALS = [path for path in sorted((ROOT / "docs" / "tutorials").glob("*.md")) if path.name != "README.md"]
WHOLE = os.environ.get("KINBITS_EXHAUSTIVE") == "1"
RUN = TUTORIALS if WHOLE else [ROOT / "docs/tutorials/many-codes.md"]  # test_pages runs the blocks of all of them
LOADED = re.compile(r"<(?:link|script|img|iframe|source)\b[^>]*?\s(?:src|href)=\"?([^\"\s>]+)")
TARGET = re.compile(r"<a\b[^>]*?\shref=\"?([^\"\s>]+)")
NAMED = re.compile(r"\s(?:id|name)=\"?([^\"\s>]+)")
PICTURES_KB, PICTURE_KB = 500, 60
LOOKED_AT = ("index.html", "start.html", "tutorials/photos.html", "methods/hashnet.html", "benchmarks/cifar10.html")
SCREENS = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
SHOTS = os.environ.get("KINBITS_SCREENSHOTS")  # a folder for pictures of the pages
IN_BROWSER = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")


def tool(name):
    """Import a module of the folder tools."""
    if str(ROOT / "tools") not in sys.path:
        sys.path.insert(0, str(ROOT / "tools"))
    return importlib.import_module(name)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site as `make site` does."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site):
    """The text of all pages by their place."""
    return {str(path.relative_to(site)): path.read_text() for path in sorted(site.rglob("*.html"))}


def inside(place, link):
    """Return the place and the anchor that a link of a page leads to; None for other sites."""
    if re.match(r"[a-z]+:", link):
        return None
    parts = urlsplit(urljoin(f"http://site/{place}", unescape(link)))
    return unquote(parts.path).removeprefix("/"), unquote(parts.fragment)


@pytest.mark.slow
def test_every_page_is_in_the_navigation(pages):
    listed = {
        inside("index.html", link)[0] for link in TARGET.findall(pages["index.html"]) if inside("index.html", link)
    }
    assert len(pages) > 150
    assert set(pages) - listed - {"404.html"} == set()


@pytest.mark.slow
def test_every_link_and_anchor_exists(site, pages):
    names = {place: set(NAMED.findall(text)) for place, text in pages.items()}
    followed = 0
    for place, text in pages.items():
        if place == "404.html":  # its links are those of the root of a server
            continue
        for link in set(TARGET.findall(text)):
            found = inside(place, link)
            if found is None or not found[0]:
                continue
            followed += 1
            assert (site / found[0]).is_file(), f"{place} links to {link}"
            if found[1] and found[0].endswith(".html") and not found[1].startswith("__"):
                assert unescape(found[1]) in names[found[0]], f"{place} links to {link}"
    assert followed > 5000


@pytest.mark.slow
def test_no_page_loads_anything_from_the_network(site, pages):
    for place, text in pages.items():
        for link in LOADED.findall(text):
            assert not re.match(r"(https?:)?//", link), f"{place} loads {link}"
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//|@import", style.read_text()), style.name


@pytest.mark.slow
def test_the_search_finds_pages(site):
    index = json.loads((site / "search" / "search_index.json").read_text())
    found = {one["location"].partition("#")[0] for one in index["docs"] if "orthohash" in one["text"].lower()}
    assert {"choose.html", "methods/orthohash.html"} <= found


@pytest.mark.slow
def test_the_reference_has_every_command_and_every_public_name(pages):
    command = [sys.executable, "-m", "kinbits", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    verbs = re.findall(r"(?m)^│ ([a-z]+) {2,}[A-Z]", shown)
    assert {"fit", "index", "search", "serve"} <= set(verbs)
    for verb in verbs:
        assert f"kinbits {verb}" in pages[f"reference/commands/{verb}.html"]
    assert "--rescore" in pages["reference/commands/search.html"]
    assert "kinbits index optimize" in pages["reference/commands/index.html"]
    for stub in sorted((ROOT / "src" / "kinbits").glob("*/__init__.pyi")):
        package = stub.parent.name
        if package != "_util":
            public = importlib.import_module(f"kinbits.{package}").__all__
            missing = [name for name in public if name not in pages[f"reference/python/{package}.html"]]
            assert not missing, f"kinbits.{package}: {missing}"


def test_pictures_of_tutorials_are_small():
    sizes = {path.name: path.stat().st_size / 1000 for path in (ROOT / "docs/tutorials/images").iterdir()}
    assert max(sizes.values()) < PICTURE_KB
    assert sum(sizes.values()) < PICTURES_KB


def test_links_out_of_docs_lead_to_places_in_the_site():
    adapt = tool("site_links").adapt
    text = "[a](../results/cifar10.md#x) [b](../CONTRIBUTING.md) [c](fit.md) [d](https://x.org/a.md)\n```text\n[e](../x)\n```\n"
    moved = "[a](benchmarks/cifar10.md#x) [b](project/contributing.md) [c](fit.md) [d](https://x.org/a.md)"
    assert adapt(text, "docs/numbers.md", "numbers.md") == f"{moved}\n```text\n[e](../x)\n```\n"
    assert adapt("[f](docs/fit.md)", "CONTRIBUTING.md", "project/contributing.md") == "[f](../fit.md)"
    assert adapt("[g](../../tools/lock.py)", "docs/methods/pq.md", "methods/pq.md") == "[g](../source/tools/lock.py)"
    assert adapt("a\n<!-- numbers -->\n| b |", "docs/a.md", "a.md") == "a\n\n| b |"


def test_commands_and_python_become_tabs():
    shell, python = "```console\n$ kinbits a\n```", "```python\na\n```\n\n```text\n1\n```"
    page = f"**Command line**\n\n{shell}\n\n**Python**\n\n{python}\n\nMore.\n"
    made = tool("site_links").with_tabs(page)
    assert made.startswith(
        '=== "Command line"\n\n    ```console\n    $ kinbits a\n    ```\n\n=== "Python"\n\n    ```python'
    )
    assert made.endswith("    ```text\n    1\n    ```\n\nMore.\n")


def test_blocks_in_docstrings_become_fences():
    made = tool("site_docstrings").as_markdown("The loss::\n\n    L = a\n      + b\n\nMore.")
    assert made == "The loss:\n\n```text\nL = a\n  + b\n```\n\nMore."


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_notebook_has_all_blocks_of_its_page(page):
    text = page.read_text()
    made = tool("site_notebooks").notebook(text)
    code = "\n".join(cell["source"] for cell in made["cells"] if cell["cell_type"] == "code")
    for kind, block in re.findall(r"^```(console|python)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        if kind == "python":
            assert block.rstrip() in code
        else:
            for command in re.findall(r"^\$ (.*)$", block, re.MULTILINE):
                assert f"!{command}" in code


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
def test_a_notebook_runs(page, tmp_path, tmp_path_factory, monkeypatch):
    """All of them with KINBITS_EXHAUSTIVE=1."""
    client = pytest.importorskip("nbclient", reason="needs the extra docs")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("KINBITS_CACHE", str(tmp_path_factory.getbasetemp() / "notebooks-cache"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = pytest.importorskip("nbformat").reads(tool("site_notebooks").written(page.read_text()), as_version=4)
    done = client.NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = "".join(out.get("text", "") for cell in done.cells for out in cell.get("outputs", []))
    assert "error:" not in printed
    assert printed


def shown(browser, site, place, *, screen="desktop", scheme="light"):
    """Open a page from its file; whatever else it asks for is a fault."""
    context = browser.new_context(viewport=SCREENS[screen], color_scheme=scheme)
    page = context.new_page()
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("request", lambda sent: None if sent.url.startswith("file:") else page.faults.append(sent.url))
    page.goto((site / place).as_uri())
    page.wait_for_selector("article h1")
    return page


@IN_BROWSER
@pytest.mark.slow
@pytest.mark.parametrize(("screen", "scheme"), [("desktop", "light"), ("phone", "dark")])
def test_pages_can_be_read_by_everybody(browser, site, screen, scheme):
    for place in LOOKED_AT:
        page = shown(browser, site, place, screen=screen, scheme=scheme)
        if SHOTS:
            name = f"{place.removesuffix('.html').replace('/', '-')}-{screen}-{scheme}.png"
            page.screenshot(path=str(Path(SHOTS) / name))
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{place} is wider than the screen"
        assert violations(page) == [], place
        assert page.faults == [], place
        page.context.close()


@IN_BROWSER
@pytest.mark.slow
def test_the_search_works_from_a_folder(browser, site):
    page = shown(browser, site, "index.html")
    page.fill(".md-search__input", "rescore")
    page.wait_for_selector(".md-search-result__link")
    assert "queries.html" in page.inner_html(".md-search-result__list")
    assert page.faults == []


@IN_BROWSER
@pytest.mark.slow
def test_a_table_is_filtered(browser, site):
    page = shown(browser, site, "benchmarks/cifar10.html")
    page.fill("input.kb-filter >> nth=0", "itq")
    rows = page.locator("article table >> nth=0").locator("tbody tr:visible")
    assert [text.split()[0] for text in rows.all_inner_texts()] == ["itq"]
    page.fill("input.kb-filter >> nth=0", "")
    assert rows.count() > 20
    assert page.faults == []
