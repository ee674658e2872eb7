"""Every attack and every defence has a page that says what it does and takes, and its line in the overview."""

import re
from pathlib import Path

import pytest

from kinbits.attacks import get_attack, list_attacks
from kinbits.defences import get_defence, list_defences
from kinbits.methods import parameters

DOCS = Path(__file__).parent.parent / "docs"
# tests register others
ATTACKS = [name for name in list_attacks() if get_attack(name).__module__.startswith("kinbits.")]
DEFENCES = [name for name in list_defences() if get_defence(name).__module__.startswith("kinbits.")]
CHOICE = {"attacks": "When to look at it", "defences": "When to choose it"}
CALL = {"attacks": 'build_attack("{}"', "defences": "--defence {}\n"}
OURS = [("attacks", name) for name in ATTACKS] + [("defences", name) for name in DEFENCES]


def class_of(kind, name):
    return get_attack(name) if kind == "attacks" else get_defence(name)


def sections(page):
    """Return the text of each section by its heading."""
    parts = re.split(r"^## (.+)\n", page, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize(("kind", "name"), OURS)
def test_every_one_has_its_page(kind, name):
    page = DOCS / kind / f"{name}.md"
    assert page.is_file(), f"write docs/{kind}/{name}.md, like docs/attacks/pgd.md"
    text = page.read_text()
    assert list(sections(text)) == [
        "Formula",
        CHOICE[kind],
        "Differences from the paper",
        "Parameters",
        "Numbers",
        "Reference",
    ]
    assert text.count("<!-- numbers -->") == text.count("<!-- /numbers -->") == 1
    assert re.fullmatch(r"\s*<!-- numbers -->\n.*\n<!-- /numbers -->\s*", sections(text)["Numbers"], re.DOTALL)
    assert CALL[kind].format(name) in text, "show how it is called"


@pytest.mark.parametrize(("kind", "name"), OURS)
def test_a_page_explains_every_parameter_and_no_other(kind, name):
    part = sections((DOCS / kind / f"{name}.md").read_text())["Parameters"]
    named = re.findall(r"^- `(\w+)`:", part, re.MULTILINE)
    assert named == [parameter.name for parameter in parameters(class_of(kind, name))]


@pytest.mark.parametrize(("kind", "name"), OURS)
def test_a_page_states_the_defaults(kind, name):
    part = sections((DOCS / kind / f"{name}.md").read_text())["Parameters"]
    for parameter in parameters(class_of(kind, name)):
        if isinstance(parameter.default, int | float) and not isinstance(parameter.default, bool):
            line = re.search(rf"^- `{parameter.name}`: ([\d.,/]*\d)", part, re.MULTILINE)
            assert line, f"{name}: state the default of {parameter.name}"
            above, _, below = line[1].replace(",", "").partition("/")
            assert float(above) / float(below or 1) == pytest.approx(parameter.default)


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_is_in_the_overview_with_its_aim(name):
    overview = (DOCS / "attacks" / "README.md").read_text()
    assert f"| [`{name}`]({name}.md) | {get_attack(name).aims} |" in overview


@pytest.mark.parametrize("name", DEFENCES)
def test_every_defence_is_in_the_overview(name):
    assert f"| [`{name}`]({name}.md) |" in (DOCS / "defences" / "README.md").read_text()


@pytest.mark.parametrize(("kind", "ours"), [("attacks", ATTACKS), ("defences", DEFENCES)])
def test_every_page_is_of_one_that_there_is(kind, ours):
    assert sorted(page.stem for page in (DOCS / kind).glob("*.md")) == sorted([*ours, "README"])
