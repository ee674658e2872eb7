"""Every method has a page that a person can choose by, and its line in the overview."""

import re
from pathlib import Path

import pytest

from kinbits.methods import get_method, list_methods, parameters

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "docs" / "methods"
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
OURS = [name for name in list_methods() if get_method(name).__module__.startswith("kinbits.")]  # tests register others
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


def test_links_lead_to_files_and_headings_that_exist():
    for page in DOCUMENTS:
        for target, heading in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([\w-]+))?\)", page.read_text()):
            path = page.parent / target if target else page
            assert path.exists(), f"{page.name} links to {target}"
            assert not heading or heading in headings(path), f"{page.name} links to #{heading} in {path.name}"


def headings(path):
    """Return the names by which headings are linked: small letters, hyphens between words."""
    found = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_every_script_that_a_document_names_exists():
    written = r"(?:tests|benchmarks|experiments|results)/[\w/-]+\.(?:py|yaml|csv|md)"
    named = {path for page in DOCUMENTS for path in re.findall(f"`(?:python )?({written})", page.read_text())}
    assert len(named) > 60
    assert sorted(path for path in named if not (ROOT / path).is_file()) == []


def test_the_readme_counts_the_methods():
    published = [name for name in OURS if not get_method(name).baseline]
    assert f"**{len(published)} published methods" in (ROOT / "README.md").read_text()


def test_the_first_page_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 100
