"""Images with texts on the command line: fit, search one by the other, evaluate, and captions that are missing."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import kinbits

COLOURS, EACH = ("red", "green", "blue"), 8


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Two dozen pictures in three colours; one has no caption, one has two."""
    folder = tmp_path_factory.mktemp("data") / "shop"
    rng = np.random.default_rng(0)
    for channel, colour in enumerate(COLOURS):
        (folder / colour).mkdir(parents=True)
        for number in range(EACH):
            pixels = rng.integers(0, 60, (12, 12, 3), dtype=np.uint8)
            pixels[..., channel] += 150
            Image.fromarray(pixels).save(folder / colour / f"{number}.png")
    lines = [f"{c}/{n}.png,a {c} thing" for c in COLOURS for n in range(EACH) if (c, n) != ("red", 5)]
    (folder / "captions.csv").write_text("\n".join(["file_name,text", *lines, "red/0.png,quite red"]) + "\n")
    return folder


def reader(folder):
    """Save a tiny text encoder with random weights, which knows the words of the shop."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    torch.manual_seed(0)
    words = ["[PAD]", "[UNK]", "a", "thing", *COLOURS]
    size = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(**size, vocab_size=len(words), max_position_embeddings=16)).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    return f"hf-text:{folder}"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Settings of small backbones."""
    texts = reader(tmp_path_factory.mktemp("reader") / "bert")
    return {"backbone": "convnet-small", "finetune": False, "text_backbone": texts}


@pytest.fixture(scope="module")
def crossing(shop, tiny, tmp_path_factory):
    """A model of both, fitted on them."""
    model = kinbits.fit(shop, method="djsrh", bits=16, epochs=20, progress=False, cache=None, **tiny)
    assert model.training["skipped"] == [{"id": "red/5.png", "reason": "no text"}]
    return model.save_pretrained(tmp_path_factory.mktemp("models") / "model")


def hits(run, *arguments):
    ended = run("search", *arguments, "--json")
    assert ended.code == 0, ended.err
    return [[hit["label"] for hit in one["hits"]] for one in json.loads(ended.out)]


def test_texts_find_images_images_find_texts_and_all_directions_are_measured(run, shop, crossing):
    assert run("index", "create", "pictures.index", crossing, shop).code == 0
    assert hits(run, "pictures.index", "--text", "a red thing", "--text", "a blue thing", "-k", 5) == [
        ["red"] * 5,
        ["blue"] * 5,
    ]
    made = run("index", "create", "words.index", crossing, shop, "--modality", "text", "--json")
    told = json.loads(made.out)
    assert (told["items"], told["skipped"]) == (23, [{"id": "red/5.png", "reason": "no text"}])
    assert hits(run, "words.index", shop / "green" / "2.png", "-k", 5) == [["green"] * 5]
    encoded = run("encode", crossing, shop, "-o", "words.parquet", "--modality", "text", "--json")
    assert json.loads(encoded.out)["rows"] == 23
    assert run("index", "create", "again.index", "words.parquet").code == 0
    assert hits(run, "again.index", shop / "green" / "2.png", "-k", 5) == [["green"] * 5]
    measured = run("evaluate", crossing, shop, "--metric", "map@all", "--json")
    rows = {row["name"]: row["values"]["map@all"] for row in json.loads(measured.out)["rows"]}
    ways = ["image to text", "text to image", "text to text"]
    assert next(iter(rows)) == "djsrh, image to image"
    assert set(rows) >= {"itq", *(f"{name}, {way}" for name in ("djsrh", "cca") for way in ways)}
    assert min(rows[f"djsrh, {way}"] for way in ways) > 0.8


def test_texts_in_python_make_an_index_that_images_search(run, shop, crossing):
    model = kinbits.HashModel.from_pretrained(crossing)
    texts = [f"a {colour} thing" for colour in COLOURS]
    index = kinbits.Index.create(model=model).add(model.encode(texts, modality="text"), metadata={"text": texts})
    assert index.search(shop / "blue" / "3.png", k=1).to_dicts()[0]["text"] == "a blue thing"


def test_data_without_texts_are_refused_with_a_remedy(run, images, crossing):
    bare = images("bare", cat=3, dog=3)
    assert "no text" in run("fit", bare, "-o", "other", "--method", "djsrh").error
    (bare / "captions.txt").write_text("cat/0.png a cat\n")
    assert "1 of the 6 images of bare have a text" in run("fit", bare, "-o", "other", "--method", "djsrh").error
    (bare / "captions.txt").unlink()
    assert "write captions" in run("index", "create", "i", crossing, bare, "--modality", "text").error


def test_an_empty_search_text_and_a_model_without_text_are_refused(run, shop, index, model, crossing):
    assert "empty" in run("search", index, "--text", " ").error
    assert "no text tower" in run("index", "create", "i", model, shop, "--modality", "text").error


def test_a_table_of_texts_alone_is_told_where_texts_go(run, crossing):
    Path("words.csv").write_text("text\na red thing\n")
    assert "HashModel.encode" in run("index", "create", "i", crossing, "words.csv").error


def test_a_parquet_table_with_some_texts_missing_trains(shop, tiny, tmp_path):
    paths = sorted(shop.rglob("*.png"))
    texts = [None if path.stem == "1" else f"a {path.parent.name} thing" for path in paths]
    table = pa.table({"image": [path.read_bytes() for path in paths], "text": texts})
    pq.write_table(table, tmp_path / "shop.parquet")
    model = kinbits.fit(tmp_path / "shop.parquet", method="cca", bits=4, progress=False, cache=None, **tiny)
    assert [one["reason"] for one in model.training["skipped"]] == ["no text"] * len(COLOURS)
    assert model.training["rows"] == len(paths) - len(COLOURS)
    assert model.encode("a red thing", modality="text").shape == (1, 1)


def test_texts_that_are_none_are_refused_by_their_row(shop, crossing):
    model = kinbits.HashModel.from_pretrained(crossing)
    for row, wrong in enumerate([None, 3, "", " ", float("nan")]):
        with pytest.raises(kinbits.DataError, match=f"^text {row} is {wrong!r}; give a text"):
            model.encode(["a red thing"] * row + [wrong], modality="text")
    with pytest.raises(kinbits.DataError, match=r"^text 0 is ''"):
        model.encode("", modality="text")
    with pytest.raises(kinbits.UsageError, match="cannot read texts from int"):
        model.encode(3, modality="text")
    assert model.encode(np.array(["a red thing"]), modality="text").shape == (1, 2)
    index = kinbits.Index.create(model=model).add(shop)
    for words in ("a red thing", "red " * 200):
        with pytest.raises(kinbits.DataError, match="modality='text'"):
            index.search(words)


def test_a_column_of_images_can_be_named(run, shop):
    rows = [f"{shop}/{c}/{n}.png,{c}" for c in COLOURS for n in range(EACH)]
    Path("shop.csv").write_text("\n".join(["shot,label", *rows]) + "\n")
    settings = ["--method", "itq", "--bits", "4", "--backbone", "convnet-small", "--frozen"]
    assert "image_column" in run("fit", "shop.csv", "-o", "m", *settings).error
    named = ["shop.csv", "--image-column", "shot"]
    assert run("fit", *named, "-o", "m", *settings).code == 0
    assert run("encode", "m", *named, "-o", "codes.parquet").code == 0
    assert run("index", "create", "i", "m", *named).code == 0
    assert run("index", "add", "i", *named, "--upsert").code == 0


def test_a_column_of_texts_can_be_named_for_an_evaluation(run, shop, crossing):
    rows = [f"{shop}/{c}/{n}.png,{c},a {c} thing" for c in COLOURS for n in range(EACH)]
    Path("shop.csv").write_text("\n".join(["path,colour,words", *rows]) + "\n")
    columns = ["--label-column", "colour", "--text-column", "words"]
    ways = {f"djsrh, {way}" for way in ("image to image", "image to text", "text to image", "text to text")}
    for data in ("shop.csv", "folder:shop.csv"):
        measured = run("evaluate", crossing, data, *columns, "--metric", "map@all", "--no-baselines", "--json")
        assert measured.code == 0, measured.err
        assert ways <= {row["name"] for row in json.loads(measured.out)["rows"]}
        assert "too good" not in measured.err
    settings = ["--method", "itq", "--bits", "4", "--backbone", "convnet-small", "--frozen", *columns]
    asked = [*columns, "--metric", "map@all", "--no-baselines"]
    assert run("fit", "shop.csv", "-o", "whole", *settings).code == 0
    assert "too good" in run("evaluate", "whole", "shop.csv", *asked).err
    assert run("fit", "folder:shop.csv", "-o", "part", *settings).code == 0
    fair = run("evaluate", "part", "shop.csv", *asked)
    assert (fair.code, "too good" in fair.err) == (0, False)


@pytest.fixture
def album(shop):
    """The pictures of the shop without classes, each with words of its own; one has none."""
    folder = Path("album")
    folder.mkdir()
    for c in COLOURS:
        for n in range(EACH):
            (folder / f"{c}-{n}.png").write_bytes((shop / c / f"{n}.png").read_bytes())
    lines = [f"{c}-{n}.png,a {c} thing" for c in COLOURS for n in range(EACH) if (c, n) != ("red", 5)]
    (folder / "captions.csv").write_text("\n".join(["file_name,text", *lines]) + "\n")
    return folder


def expected_recall(queries, items, k):
    """Recall of each query's own item: the share of its tie that a list of k still takes."""
    apart = kinbits.hamming.distances(queries, items)
    own = np.take_along_axis(apart, np.arange(len(queries))[:, None], 1)
    return np.clip((k - (apart < own).sum(1)) / (apart == own).sum(1), 0, 1).mean()


def test_captions_without_labels_are_measured_by_partners(run, album, crossing):
    ended = run("evaluate", crossing, "folder:album", "-o", "report", "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert (told["queries"], told["database"]) == (2, 11)
    assert told["relevance"] == "the query's own text or image"
    rows = {row["name"]: row["values"] for row in told["rows"]}
    ways = ("image to text", "text to image")
    assert list(rows) == [f"{name}, {way}" for name in ("djsrh", "cca") for way in ways]
    assert list(rows["djsrh, image to text"]) == ["recall@1", "recall@5", "recall@10", "mrr"]
    splits, model = kinbits.load_protocol("folder:album"), kinbits.HashModel.from_pretrained(crossing)
    images = [model.encode(part) for part in (splits.query, splits.database)]
    texts = [model.encode(part.texts, modality="text") for part in (splits.query, splits.database)]
    for way, queries, items in (("image to text", images[0], texts[1]), ("text to image", texts[0], images[1])):
        for k in (1, 5, 10):
            assert rows[f"djsrh, {way}"][f"recall@{k}"] == pytest.approx(expected_recall(queries, items, k))
    assert "thing<br>" in Path("report/report.html").read_text()
    assert [skipped.id for skipped in splits.skipped] == ["red-5.png"]


def test_partners_need_a_model_that_reads_text(run, album, crossing):
    settings = ["--method", "itq", "--bits", "4", "--backbone", "convnet-small", "--frozen"]
    assert run("fit", "folder:album", "-o", "blind", *settings).code == 0
    assert "'itq' reads no text" in run("evaluate", "blind", "album").error
    ended = run("evaluate", crossing, "folder:album", "--compare", "blind", "--no-baselines", "--json")
    told = json.loads(ended.out)
    assert [row["name"] for row in told["rows"]] == ["djsrh, 16 bits, image to text", "djsrh, 16 bits, text to image"]
    assert "itq, 4 bits left out: it reads no text" in told["notes"]


def test_every_model_that_reads_text_has_its_directions(run, shop, crossing, tiny, tmp_path):
    model = kinbits.fit(shop, method="cca", bits=4, progress=False, cache=None, **tiny)
    other = model.save_pretrained(tmp_path / "other")
    ended = run("evaluate", crossing, shop, "--compare", other, "--no-baselines", "--metric", "map@all", "--json")
    ways = ("image to text", "text to image", "text to text")
    names = ("djsrh, 16 bits", "cca, 4 bits")
    expected = [f"{name}, image to image" for name in names] + [f"{name}, {way}" for name in names for way in ways]
    assert [row["name"] for row in json.loads(ended.out)["rows"]] == expected


def test_texts_do_not_hide_that_the_queries_were_learned(run, shop):
    rows = [f"{shop}/{c}/{n}.png,{c},a {c} thing" for c in COLOURS for n in range(EACH)]
    Path("shop.csv").write_text("\n".join(["path,label,words", *rows]) + "\n")
    settings = ["--method", "itq", "--bits", "4", "--backbone", "convnet-small", "--frozen"]
    assert run("fit", "shop.csv", "-o", "whole", *settings, "--text-column", "words").code == 0
    assert run("fit", "folder:shop.csv", "-o", "part", *settings, "--text-column", "words").code == 0
    for name, expected in (("whole", True), ("part", False)):
        ended = run("evaluate", name, "folder:shop.csv", "--metric", "map@all", "--no-baselines", "--json")
        assert (ended.code, "too good" in ended.err) == (0, expected), ended.err
        # The page and the JSON file are passed on without standard error, so they say it too.
        assert any("too good" in one for one in json.loads(ended.out)["notes"]) == expected
        assert ("folder" in json.loads(Path(name, "metrics.json").read_text())) != expected


def test_a_search_shows_plain_queries_and_cuts_long_texts_in_the_table_alone(run, shop, crossing):
    long = "a red thing " * 200
    rows = [f"{shop}/{c}/{n}.png,{long.strip()}" for c in COLOURS for n in range(2)]
    Path("long.csv").write_text("\n".join(["path,text", *rows]) + "\n")
    made = run("index", "create", "long.index", crossing, "long.csv")
    assert "search long.index IMAGE (or --text WORDS)" in " ".join(made.out.split())
    (told,) = json.loads(run("search", "long.index", "--text", "a thing", "-k", "1", "--json").out)
    assert told["query"] == "a thing"
    assert told["hits"][0]["text"] == long.strip()
    out = run("search", "long.index", "--text", "a thing", "-k", "1").out
    assert out.startswith('"a thing"')
    assert "…" in out
    assert len(out.splitlines()) < 15


def test_only_an_index_of_a_model_that_reads_text_is_said_to_take_texts(run, index, vectors):
    assert "--text" not in run("index", "add", index, vectors, "--upsert").out
