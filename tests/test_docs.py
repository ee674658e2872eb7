"""Every method has a page that a person can choose by, and its line in the overview."""

import re
from pathlib import Path

import pytest

from kinbits.methods import get_method, methods, parameters

PAGES = Path(__file__).parent.parent / "docs" / "methods"
OURS = [name for name in methods() if get_method(name).__module__.startswith("kinbits.")]  # tests register others
SECTIONS = ("Formula", "When to choose it", "Numbers", "Reference")


def sections(page):
    return re.findall(r"^## (.+)$", page, re.MULTILINE)


@pytest.mark.parametrize("name", OURS)
def test_every_method_has_its_page(name):
    page = PAGES / f"{name}.md"
    assert page.is_file(), f"write docs/methods/{name}.md, like docs/methods/hashnet.md"
    text = page.read_text()
    missing = [section for section in SECTIONS if section not in sections(text)]
    assert not missing, f"docs/methods/{name}.md lacks {missing}"
    assert re.search(rf"^ *\$? ?kinbits fit .*--method {name}\b", text, re.MULTILINE), "show how it is called"
    first, last = text.find("<!-- numbers -->"), text.find("<!-- /numbers -->")
    assert 0 < text.find("## Numbers") < first < last, f"docs/methods/{name}.md needs both number marks"


@pytest.mark.parametrize("name", OURS)
def test_a_page_speaks_only_of_parameters_that_exist(name):
    text = (PAGES / f"{name}.md").read_text()
    part = re.search(r"^## Parameters\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    named = re.findall(r"^- `(\w+)`:", part.group(1), re.MULTILINE) if part else []
    known = {parameter.name for parameter in parameters(get_method(name))} | {"epochs", "lr", "batch_size"}
    assert set(named) <= known


@pytest.mark.parametrize("name", OURS)
def test_every_method_is_in_the_overview(name):
    assert f"[`{name}`]({name}.md)" in (PAGES / "README.md").read_text()


def test_the_pages_link_to_pages_that_exist():
    for page in PAGES.glob("*.md"):
        for target in re.findall(r"\]\(([\w-]+\.md)\)", page.read_text()):
            assert (PAGES / target).is_file(), f"{page.name} links to {target}"


def test_every_test_that_a_promise_names_exists():
    root = PAGES.parent.parent
    named = re.findall(r"`(?:python )?((?:tests|benchmarks)/[\w/]+\.py)", (root / "docs" / "promises.md").read_text())
    assert len(named) > 20
    assert [path for path in named if not (root / path).is_file()] == []
