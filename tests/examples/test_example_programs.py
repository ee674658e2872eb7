"""Each program of examples/ runs as its docstring says, is short, and is in the overview."""

import json
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAMS = sorted(EXAMPLES.glob("*.py"))


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a program in a folder of its own, and return the lines that it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KINBITS_CACHE", str(tmp_path / ".cache"))

    def call(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        capsys.readouterr()
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return call


@pytest.fixture
def photos(tmp_path):
    """Four pictures, and two of them again: one equal, one as another file of equal pixels."""
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for name in "abcd":
        cells = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(cells).resize((96, 96)).save(tmp_path / "photos" / f"{name}.png")
    first = (tmp_path / "photos" / "a.png").read_bytes()
    (tmp_path / "photos" / "later").mkdir()
    (tmp_path / "photos" / "later" / "a again.png").write_bytes(first)
    with Image.open(tmp_path / "photos" / "b.png") as picture:
        picture.save(tmp_path / "photos" / "b2.png", compress_level=1)
    return tmp_path / "photos"


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_a_program_is_short_says_its_command_and_is_in_the_overview(path):
    text = path.read_text()
    assert len(text.splitlines()) < 80
    assert f"\n    python examples/{path.name} " in text
    assert f"]({path.name})" in (EXAMPLES / "README.md").read_text()


def test_there_are_five_programs_and_each_has_a_test():
    tested = set(re.findall(r'run\("(\w+)"', Path(__file__).read_text()))
    assert {path.stem for path in PROGRAMS} == tested
    assert len(tested) == 5


def test_a_page_shows_photos_and_their_nearest(run, photos):
    (told,) = run("photo_search_page", "photos", "page.html", "--rows", 2, "-k", 2)
    assert told == "page.html: 2 photos and their 2 nearest of 6"
    page = Path("page.html").read_text()
    assert page.count("<img") == 2 * (1 + 2)
    assert re.search(r'alt="later/a again\.png, 0 bits"', page)  # the equal file is the nearest of a.png


def catalogue(path, rows, prices):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(3, 16))[np.arange(60) % 3] + 0.3 * rng.normal(size=(60, 16))
    np.savez(
        path,
        ids=np.array([f"p{row:02}" for row in rows]),
        vectors=vectors[rows].astype(np.float32),
        labels=np.asarray(rows) % 3,
        label_names=np.array(["bag", "shoe", "watch"]),
        price=np.asarray(prices, float),
    )


def test_a_catalogue_follows_its_table(run):
    catalogue("monday.npz", range(40), np.arange(40) + 20)
    lines = run("product_catalogue", "monday.npz", "shop")
    assert lines[0] == "40 added, 0 removed, 0 prices changed; 40 products"
    assert lines[1:] == ["like p00, at most 20.00: p00 (bag, 20.00)"]
    catalogue("tuesday.npz", range(5, 45), [9.5, 5, 5, 5, 5, *np.arange(10, 40) + 20, *[1] * 5])
    lines = run("product_catalogue", "tuesday.npz", "shop")
    assert lines[0] == "5 added, 5 removed, 5 prices changed; 40 products"
    assert len(lines) == 5
    assert lines[1] == "like p05, at most 9.50: p05 (watch, 9.50)"
    assert run("product_catalogue", "tuesday.npz", "shop")[0] == "0 added, 0 removed, 0 prices changed; 40 products"


def test_candidates_that_are_ordered_again_keep_more_neighbours(run):
    lines = run("embedding_rerank")
    codes, asymmetric, int8 = (float(re.search(r"(\d\.\d{3}) of the 10 nearest$", line)[1]) for line in lines[:3])
    assert 0.2 < codes < asymmetric < int8 <= 1
    assert lines[3] == "an item: 8 bytes, 68 more for int8, 256 as it was"
    np.save("mine.npy", np.random.default_rng(1).normal(size=(200, 24)))
    assert run("embedding_rerank", "mine.npy", "--bits", 16, "-k", 3)[0].endswith("of the 3 nearest")


def test_duplicates_go_aside_and_come_back(run, photos):
    before = {str(path.relative_to(photos)): path.read_bytes() for path in photos.rglob("*.png")}
    assert run("duplicate_cleaner", "photos", "aside")[-1].startswith("2 of 6 images, ")
    assert {str(path.relative_to(photos)) for path in photos.rglob("*.png")} == set(before)
    assert run("duplicate_cleaner", "photos", "aside", "--move")[-1] == "moved to aside: 2"
    left = {path.read_bytes() for path in photos.rglob("*.png")}
    moved = json.loads(Path("aside/moved.json").read_text())
    assert len(left) == 4
    assert sorted(moved) == sorted(str(path.relative_to("aside")) for path in Path("aside").rglob("*.png"))
    assert run("duplicate_cleaner", "photos", "aside")[-1].startswith("0 of 4 images, ")
    assert run("duplicate_cleaner", "photos", "aside", "--back") == ["put back: 2"]
    assert {str(path.relative_to(photos)): path.read_bytes() for path in photos.rglob("*.png")} == before


def test_an_own_method_is_compared_with_two_others(run):
    lines = [
        re.fullmatch(r"([\w-]+) +(0\.\d{3})  \(0\.\d{3} to 0\.\d{3}\)", line)
        for line in run("own_method", "--seeds", 1)
    ]
    scores = {line[1]: float(line[2]) for line in lines}
    assert list(scores) == ["itq", "softmax-quantization", "corners-of-a-cube"]
    assert scores["corners-of-a-cube"] > scores["itq"]
