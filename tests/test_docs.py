"""Every method has a page that a person can choose by, and its line in the overview."""

import re
from pathlib import Path

import pytest

from kinbits.methods import get_method, list_methods, parameters

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "docs" / "methods"
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
OURS = [name for name in list_methods() if get_method(name).__module__.startswith("kinbits.")]  # tests register others
CONTRIBUTED = "**Contributed**: not measured yet."
SECTIONS = ("Formula", "When to choose it", "Numbers", "Reference")


def sections(page):
    return re.findall(r"^## (.+)$", page, re.MULTILINE)


TODO = "TODO"  # what `kinbits new method` leaves to write


def page_faults(name, text, params):
    """Return what the page of a method lacks, or says wrongly, in words."""
    faults = [f"no section {section}" for section in SECTIONS if section not in sections(text)]
    if not re.search(rf"^ *\$? ?kinbits fit .*--method {name}\b", text, re.MULTILINE):
        faults.append("no command that calls it")
    first, last = text.find("<!-- numbers -->"), text.find("<!-- /numbers -->")
    if not 0 < text.find("## Numbers") < first < last:
        faults.append("not both number marks")
    part = re.search(r"^## Parameters\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    named = re.findall(r"^- `(\w+)`:", part.group(1), re.MULTILINE) if part else []
    faults += [f"no parameter {one}" for one in named if one not in {*params, "epochs", "lr", "batch_size"}]
    if CONTRIBUTED in text and text[first:last].split("\n", 1)[-1].strip() != "Not measured yet.":
        faults.append(f"it has numbers, so it is benchmarked: remove '{CONTRIBUTED}'")
    faults += [f"not written yet: {line.strip()}" for line in text.splitlines() if TODO in line]
    return faults


@pytest.mark.parametrize("name", OURS)
def test_every_method_has_its_page(name):
    page = PAGES / f"{name}.md"
    assert page.is_file(), f"write docs/methods/{name}.md, like docs/methods/hashnet.md"
    known = {parameter.name for parameter in parameters(get_method(name))}
    assert TODO not in get_method(name).__doc__
    assert page_faults(name, page.read_text(), known) == []


def contributed(name):
    """Return whether a method is in the repository but not measured, and not counted among the others."""
    return CONTRIBUTED in (PAGES / f"{name}.md").read_text()


@pytest.mark.parametrize("name", OURS)
def test_every_method_is_in_the_overview(name):
    measured, _, waiting = (PAGES / "README.md").read_text().partition("\n## Contributed\n")
    assert f"[`{name}`]({name}.md)" in (waiting if contributed(name) else measured)


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_no_page_repeats_a_table_or_a_caption(page):
    found = re.findall(r"^\*\*(.+)\*\*\n\n((?:\|.*\n)+)", page.read_text(), re.MULTILINE)
    captions, tables = [caption for caption, _ in found], [table for _, table in found]
    assert len(captions) == len(set(captions))
    assert len(tables) == len(set(tables))


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
    published = [name for name in OURS if not get_method(name).baseline and not contributed(name)]
    assert f"**{len(published)} published methods" in (ROOT / "README.md").read_text()


def test_the_first_page_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 100
