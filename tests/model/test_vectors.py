"""Vectors stay float32 from end to end; what is not finite is refused with its row."""

import json

import numpy as np
import pytest
import torch

import kinbits
from kinbits import ArtefactError, DataError
from kinbits.backbones import load_backbone
from kinbits.heads import build_head
from kinbits.model import HashModel, Tower

ROWS = np.random.default_rng(0).standard_normal((200, 24))
UNITS = {"x 1e5": lambda x: x * 1e5, "x 1e-9": lambda x: x * 1e-9, "+ 10,000": lambda x: x + 10_000}
FREE = {"cache": None, "progress": False}


def learned(method, vectors, **options):
    return kinbits.fit(vectors, method=method, bits=16, **FREE, **options)


def distinct(codes):
    return len(np.unique(codes, axis=0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("unit", list(UNITS))
@pytest.mark.parametrize("method", ["itq", "pca", "lsh", "bihalf"])
def test_the_unit_of_vectors_does_not_matter(method, unit, dtype):
    options = {"epochs": 1, "batch_size": 50} if method == "bihalf" else {}
    given = UNITS[unit](ROWS).astype(dtype)
    plain, scaled = learned(method, ROWS.astype(dtype), **options), learned(method, given, **options)
    expected, found = plain.encode(ROWS.astype(dtype)), scaled.encode(given)
    assert distinct(expected) > 190
    assert distinct(found) >= distinct(expected) - 2
    if method != "bihalf":  # the same projection of the same points
        allowed = {"itq": 0.05}.get(method, 0.01) if unit == "+ 10,000" else 0.002  # float32 knows 10,000 to 0.001
        assert np.unpackbits(expected ^ found).mean() < allowed
    index = kinbits.Index.create(model=scaled).add(given)
    assert all(hits.distances[0] == 0 for hits in index.search(given[:20], k=1))


def test_a_query_of_large_vectors_is_not_rounded():
    given = (ROWS + 10_000).astype(np.float32)
    model = learned("itq", given)
    features = model.encode(given, output="features")
    np.testing.assert_array_equal(features, given)
    assert features.dtype == np.float32
    np.testing.assert_array_equal(model.tower().compute(given), model.encode(given))


def test_the_card_speaks_of_vectors_and_its_code_runs(tmp_path):
    model = learned("csq", kinbits.open_dataset(ROWS, labels=np.arange(200) % 2), epochs=1, validation=0.2)
    card = (model.save_pretrained(tmp_path / "model") / "README.md").read_text()
    for text in (
        "Turns vectors into 16-bit codes",
        "| vector backbone | `features`, 24 features,",
        "| trained on | array, 160 vectors |",
        "of 40 held-out vectors among themselves",
    ):
        assert text in card
    assert "<th>vector backbone</th>" in model._repr_html_()
    assert "array, 160 vectors" in model._repr_html_()
    code = card.partition("```python\n")[2].partition("```")[0].replace("path/of/this/folder", str(tmp_path / "model"))
    values = {}
    exec(code, values)
    assert values["codes"].shape == (2, 2)


def test_calibration_and_saving_keep_vectors_as_they_are(tmp_path):
    given = ROWS * 1e5
    model = learned("lsh", given)
    model.calibrate(given + 5e4, statistic="median")
    bits = kinbits.hamming.unpack(model.encode(given + 5e4), 16)
    assert np.abs(bits.mean(0) - 0.5).max() <= 0.01
    again = HashModel.from_pretrained(model.save_pretrained(tmp_path / "model"))
    np.testing.assert_array_equal(again.encode(given), model.encode(given))


def test_rounded_features_of_images_keep_their_codes_and_fingerprint():
    torch.manual_seed(0)
    head = build_head({"name": "linear", "features": 384, "bits": 16})
    model = HashModel({"image": Tower(load_backbone("convnet-small"), head)})
    features = np.random.default_rng(1).standard_normal((50, 384)).astype(np.float32)
    np.testing.assert_array_equal(
        model.tower().compute(features, "logits"), model.tower().compute(features.astype(np.float16), "logits")
    )
    with pytest.raises(DataError, match="row 3 holds NaN, infinity, or a number beyond float32"):
        model.tower().compute(np.where(np.arange(50)[:, None] == 3, 1e6, features))  # more than float16 holds


def test_a_model_that_rounded_vectors_is_refused_with_the_remedy(tmp_path):
    folder = learned("lsh", ROWS).save_pretrained(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    assert config["conventions"].pop("vectors") == "vectors reach the head as float32, not rounded"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ArtefactError, match=r"rounded vectors to float16.*Fit it again"):
        HashModel.from_pretrained(folder)


WRONG = {"NaN": np.nan, "infinity": np.inf, "beyond float32": 1e39}


@pytest.mark.parametrize("value", list(WRONG.values()), ids=list(WRONG))
def test_vectors_that_are_not_finite_are_refused_with_their_row(value):
    model = learned("lsh", ROWS)
    bad = ROWS.copy()
    bad[[17, 30], 5] = value
    index = kinbits.Index.create(model=model).add(ROWS)
    calls = {
        "encode": lambda: model.encode(bad),
        "vectors": lambda: model.encode(bad, output="features"),
        "codes": lambda: model.tower().compute(bad),
        "list": lambda: model.encode(list(bad)),
        "search": lambda: index.search(bad),
        "add": lambda: index.add(bad),
        "fit": lambda: learned("lsh", bad),
        "calibrate": lambda: model.calibrate(bad),
    }
    for call in calls.values():
        with pytest.raises(DataError, match=r"row 17 .*2 such rows among 200"):
            call()
    with pytest.raises(DataError, match="row 0 "):
        index.search(bad[17])
    assert len(index) == 200


def test_a_file_of_many_vectors_skips_and_lists_those_that_are_not_finite(tmp_path):
    bad = ROWS.copy()
    bad[3, 0], bad[9, 1] = 1e39, np.nan
    np.save(tmp_path / "vectors.npy", bad)
    data = kinbits.open_dataset(tmp_path / "vectors.npy")
    assert len(data) == 198
    assert [(one.id, one.reason) for one in data.skipped] == [
        ("3", "vector is not finite as float32"),
        ("9", "vector is not finite as float32"),
    ]


def test_reranking_does_not_depend_on_the_unit():
    centres = np.random.default_rng(1).standard_normal((20, 24))
    given = centres[np.arange(200) % 20] + 0.3 * ROWS
    found = []
    for unit in (lambda x: x, UNITS["x 1e5"], UNITS["x 1e-9"]):
        model = learned("rankhash", unit(given), epochs=2)
        index = kinbits.Index.create(model=model).add(unit(given))
        found.append([hits.ids.tolist() for hits in index.search(unit(given[:40]), k=10, rerank=100)])
    same = [np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found[0], other, strict=True)]) for other in found[1:]]
    assert min(same) > 0.95
    hits = np.asarray(found[2])
    assert (hits % 20 == np.arange(40)[:, None] % 20).mean() > 0.25  # chance gives 0.05
