"""`kinbits search --text` on an index of an image model: made by default, shown with classes, refused without."""

import json

import numpy as np
import pytest
from PIL import Image

import kinbits
from kinbits import HashModel
from kinbits.backbones import Concepts, TextClasses, load_backbone
from kinbits.heads import build_head
from kinbits.model import Tower


@pytest.fixture(autouse=True)
def space(monkeypatch):
    """Stands for the names of the classes: a text is the number of a class, or far from all."""

    class Space:
        names = tuple(f"class {n}" for n in range(1000))

        def weigh(self, texts):
            weights = np.full((len(texts), 1000), 0.01, np.float32)
            near = np.array(["freedom" not in text for text in texts])
            for row, text in enumerate(texts):
                weights[row, int(text) if text.isdecimal() else 0] = 1
            return TextClasses(weights, weights.argmax(1), np.where(near, 0.9, 0.1).astype(np.float32))

    monkeypatch.setattr("kinbits.backbones.class_space", lambda vocabulary: Space())


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    backbone = load_backbone("efficientnet_lite0", size=32)
    head = build_head({"name": "linear", "features": 1280, "bits": 16})
    return HashModel({"image": Tower(backbone, head)}).save_pretrained(tmp_path_factory.mktemp("models") / "lite")


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for label in ("red", "blue"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(3):
            pixels = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / label / f"{number}.png")
    return "photos"


def likeliest(model, path):
    found = HashModel.from_pretrained(model).encode(path, output="concepts")
    return int(Concepts().unpack(np.atleast_2d(found))[0][0, 0])


def test_words_find_images_of_a_model_that_reads_none(run, model, photos):
    made = run("index", "create", "i", model, photos)
    assert made.code == 0, made.err
    assert "search i IMAGE (or --text WORDS)" in made.out
    number = likeliest(model, "photos/red/1.png")
    ended = run("search", "i", "--text", number, "-k", 6)
    assert ended.code == 0, ended.err
    assert f"class {number} 0." in ended.out
    assert all(len(line) <= 80 for line in ended.out.splitlines())
    assert ended.out.splitlines()[0].startswith(f'"{number}"')
    assert "concepts" in ended.out
    assert "distance: 1 - agreement of a text with the classes" in ended.err
    (found,) = json.loads(run("search", "i", "--text", number, "-k", 6, "--where", "label=red", "--json").out)
    assert {hit["label"] for hit in found["hits"]} == {"red"}
    assert found["hits"][0]["concepts"]
    assert all(isinstance(value, float) for hit in found["hits"] for value in hit["concepts"].values())
    index = kinbits.Index.open("i")
    assert [hit["id"] for hit in found["hits"]] == index.search(text=str(number), k=6, where="label=red").ids.tolist()
    assert run("search", "i", "--text", number, "--sheet", "s.png", "--columns", "concepts").code == 0


def test_a_far_text_warns(run, model, photos):
    assert run("index", "create", "i", model, photos).code == 0
    ended = run("search", "i", "--text", "freedom")
    assert ended.code == 0
    assert "no class of ImageNet is near 'freedom'" in ended.err


def test_added_images_are_found_and_codes_are_named(run, model, photos):
    assert run("index", "create", "i", model, "photos/red").code == 0
    more = run("index", "add", "i", "photos/blue", "--upsert", "--json")
    assert more.code == 0, more.err
    items = json.loads(more.out)["items"]
    (found,) = json.loads(run("search", "i", "--text", "5", "-k", 10, "--json").out)
    assert len(found["hits"]) == items
    assert run("encode", model, photos, "-o", "c.parquet").code == 0
    assert run("index", "add", "i", "c.parquet").code == 0
    ended = run("search", "i", "--text", "5", "-k", 20)
    assert f"6 of {items + 6} items were added as codes" in ended.err


def test_without_concepts_a_text_is_refused(run, model, photos):
    assert run("index", "create", "i", model, photos, "--no-concepts").code == 0
    assert "no text tower, and the index keeps no concepts" in run("search", "i", "--text", "5").error
    assert run("encode", model, photos, "-o", "c.parquet").code == 0
    assert "a file of codes has none" in run("index", "create", "j", "c.parquet", "--concepts").error
    assert "leave the distance out (--distance)" in _refused(run, model, photos)


def _refused(run, model, photos):
    assert run("index", "create", "k", model, photos, "--concepts").code == 0
    return run("search", "k", "--text", "5", "--distance", "hamming").error
