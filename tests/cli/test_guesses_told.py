"""What a command guesses about data stands on standard error, once and in one line, and options say otherwise."""

import json
from pathlib import Path

import numpy as np
import pytest

SMALL = ("--backbone", "convnet-small", "--bits", "8")


def guesses(ended):
    return [line for line in ended.err.splitlines() if line.startswith("guessed in ")]


@pytest.fixture
def photos(images):
    """Photos as a camera leaves them: by years, and one copy."""
    folder = images("My Photos", cat=3, dog=3, odd=1)
    for name, year in {"cat": "2019", "dog": "2020", "odd": "copies"}.items():
        (folder / name).rename(folder / year)
    return folder


@pytest.fixture
def shop(images):
    """A catalogue whose columns have names of their own."""
    folder = images("shop", flat=4)
    kinds = ["Bags", "Bags", "Shoes", "Shoes"]
    lines = [f"00{n},{n}.png,{kind},t{n},Red" for n, kind in enumerate(kinds)]
    (folder / "shop.csv").write_text("\n".join(["sku,path,category,title,colour", *lines]) + "\n")
    return folder / "shop.csv"


def test_fit_names_the_classes_and_where_they_come_from(run, photos):
    ended = run("fit", photos, "-o", "m", "--epochs", "1", *SMALL)
    assert ended.code == 0, ended.err
    (line,) = guesses(ended)
    assert "3 classes from folder names: 2019, 2020, copies" in line
    assert "--no-labels" in line
    (warning,) = [line for line in ended.err.splitlines() if line.startswith("warning: ")]
    for told in ("dates (2019, 2020)", "copies (copies)", "classes of one image (copies)", "with no labels", "itq"):
        assert told in warning


def test_fit_names_the_method_that_it_takes_by_itself(run, vectors):
    for method in ((), ("--method", "auto")):
        ended = run("fit", vectors, "-o", "m", "--force", "--bits", "8", "--epochs", "1", *method)
        assert ended.code == 0, ended.err
        assert "each vector has one label, so the method is shc" in ended.err
        assert "8 bits, shc on features" in ended.out
    assert "so the method is" not in run("fit", vectors, "-o", "n", "--bits", "8", "--method", "itq").err


def test_fit_without_labels_takes_a_method_without_labels(run, photos):
    ended = run("fit", photos, "-o", "m", "--no-labels", "--frozen", *SMALL, "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert (told["method"], told["classes"], told["rows"]) == ("itq", None, 7)
    assert "there are no labels, so the method is itq" in ended.err
    assert guesses(ended) == []
    assert "are folder names" not in ended.err
    ended = run("fit", photos, "-o", "n", "--no-labels", "--method", "orthohash", *SMALL)
    assert (ended.code, "'orthohash' learns from labels" in ended.error) == (3, True)
    np.save("vectors.npy", np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32))
    ended = run("fit", "vectors.npy", "-o", "v", "--json", "--bits", "8")
    assert (ended.code, json.loads(ended.out)["method"]) == (0, "itq")
    assert "there are no labels, so the method is itq" in ended.err
    Path("e.yaml").write_text("no-labels: true\nbackbone: convnet-small\nfinetune: false\nbits: 8\n")
    assert "so the method is itq" in run("fit", photos, "-o", "k", "--config", "e.yaml").err


def test_a_method_without_labels_has_no_doubts_about_classes(run, photos):
    ended = run("fit", photos, "-o", "m", "--method", "itq", "--frozen", *SMALL)
    assert (ended.code, "are folder names" in ended.err) == (0, False)


def test_a_catalogue_is_filtered_and_shown_by_its_own_names(run, shop):
    assert run("fit", shop, "-o", "m", "--method", "itq", "--frozen", *SMALL).code == 0
    ended = run("index", "create", "i", "m", shop)
    (line,) = guesses(ended)
    for told in ("images from column 'path'", "2 classes from column 'category': Bags, Shoes", "ids from column 'sku'"):
        assert told in line
    found = json.loads(run("search", "i", shop.parent / "0.png", "-w", "category=Shoes", "--json").out)[0]["hits"]
    assert {hit["id"] for hit in found} == {"002", "003"}
    assert {name: found[0][name] for name in ("category", "colour")} == {"category": "Shoes", "colour": "Red"}
    assert found[0]["title"] == "t" + found[0]["id"][-1]
    assert found[0]["path"] == found[0]["id"][-1] + ".png"


def test_columns_that_are_named_are_not_guessed(run, shop):
    assert run("fit", shop, "-o", "m", "--method", "itq", "--frozen", *SMALL).code == 0
    named = ["--image-column", "path", "--text-column", "title", "--label-column", "colour"]
    ended = run("encode", "m", shop, "-o", "c.parquet", "--id-column", "path", *named)
    assert (ended.code, guesses(ended)) == (0, [])
    assert run("index", "create", "i", "c.parquet").code == 0
    (hit,) = json.loads(run("search", "i", shop.parent / "0.png", "-k", "1", "--json").out)[0]["hits"]
    assert (hit["colour"], hit["category"]) == ("Red", "Bags" if hit["id"] in ("0.png", "1.png") else "Shoes")
    ended = run("index", "create", "j", "m", shop, "--no-labels")
    assert "classes" not in guesses(ended)[0]
    assert json.loads(run("index", "info", "j", "--json").out)["columns"].count("category") == 1
    ended = run("index", "create", "k", "m", shop, "--no-labels", "--label-column", "category")
    assert (ended.code, "no labels are to be taken" in ended.error) == (2, True)


def test_evaluate_says_a_guess_once(run, images):
    images("photos", cat=12, dog=12)
    assert run("fit", "folder:photos", "-o", "m", "--epochs", "1", *SMALL).code == 0
    ended = run("evaluate", "m", "folder:photos", "--no-baselines")
    assert ended.code == 0, ended.err
    assert len(guesses(ended)) == 1


def test_inspect_finds_the_labels_of_an_index_by_their_own_name(run, shop):
    assert run("fit", shop, "-o", "m", "--method", "itq", "--frozen", *SMALL).code == 0
    assert run("index", "create", "i", "m", shop).code == 0
    guessed, named = run("inspect", "i", "--json"), run("inspect", "i", "--label-column", "category", "--json")
    assert guessed.code == 0, guessed.err
    assert json.loads(guessed.out) == json.loads(named.out)
    assert json.loads(guessed.out) != json.loads(run("inspect", "i", "--label-column", "colour", "--json").out)
