"""tune: from data to a leaderboard and a model of all rows."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest

import kinbits
from kinbits import DataError, LabelSpace, UsageError
from kinbits.data import ArrayItems, Dataset, FeatureCache, VectorItems, open_dataset
from kinbits.fitting import FitSettings, recommended_method
from kinbits.methods import get_method, list_methods
from kinbits.training import train
from kinbits.tuning import Row
from kinbits.tuning.board import as_html, as_text

ROWS, WIDTH = 90, 24
FREE = {"itq", "lsh", "pca", "pca-rotation"}
QUIET = {"bits": 16, "progress": False, "budget": None}
SHORT = ("bihalf", "csq", "dsrh", "orthohash", "shc", "softmax")
BROKEN = """
from kinbits.methods.csq import Csq
from kinbits.methods import register


@register("{name}")
class Broken(Csq):
    def __init__(self, spec):
        raise KeyError("no such thing")
"""


@pytest.fixture(scope="module", autouse=True)
def short_recipes():
    """Short runs: how good methods become is measured elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        for method in map(get_method, SHORT):
            patch.setattr(method, "recipe", replace(method.recipe, epochs=8, min_steps=0))
        yield


def vectors(noise=1.0):
    labels = np.arange(ROWS) % 3
    rng = np.random.default_rng(0)
    return (rng.normal(size=(3, WIDTH))[labels] + noise * rng.normal(size=(ROWS, WIDTH))).astype(np.float32), labels


def labelled():
    found, labels = vectors()
    return open_dataset(found, labels=labels)


RECOMMENDED = recommended_method(labelled()).method
NAMED = ["csq", "orthohash"]
TRIED = {*FREE, *NAMED, RECOMMENDED, "softmax"}


@pytest.fixture(scope="module")
def result():
    """The outcome for labelled vectors."""
    return kinbits.tune(labelled(), methods=NAMED, **QUIET)


def test_the_best_comes_first_and_its_options_make_the_same_model(result):
    scores = [row.score for row in result.rows]
    assert scores == sorted(scores, reverse=True)
    assert [row.rank for row in result.rows] == list(range(1, len(scores) + 1))
    assert {row.method for row in result.rows} == TRIED
    assert {row.method for row in result.rows if row.baseline} == {*FREE, "softmax"}
    assert result.best.low <= result.best.score <= result.best.high
    again = kinbits.fit(labelled(), **result.options, bits=16, progress=False)
    assert again.fingerprint == result.model.fingerprint
    assert (result.options["method"], again.training["rows"]) == (result.best.method, ROWS)
    assert result.options["epochs"] == result.best.epochs


def test_the_record_of_the_model_holds_the_leaderboard(result, tmp_path):
    folder = result.model.save_pretrained(tmp_path / "m")
    made = kinbits.HashModel.from_pretrained(folder).training["tuning"]
    assert made["board"] == result.to_dicts() == json.loads(json.dumps(made["board"]))
    assert (made["held_out"], made["relevant"], made["search"]) == (18, "a shared label", "image")
    assert (made["budget"], made["methods"], made["interrupted"]) == (None, NAMED, False)


def test_one_seed_gives_one_result(result):
    again = kinbits.tune(labelled(), methods=NAMED, **QUIET)
    dicts = [[{**row, "seconds": 0} for row in one.to_dicts()] for one in (result, again)]
    assert dicts[0] == dicts[1]
    assert again.model.fingerprint == result.model.fingerprint


def test_rows_tell_some_candidates_from_the_best(result):
    noise = {row.method: row.within_noise for row in result.rows}
    assert result.best.within_noise
    assert not noise["lsh"]


def test_it_prints_as_a_table_that_fits_a_terminal(result):
    text = str(result)
    lines = text.splitlines()
    assert lines[0] == "map@all among 18 held-out rows; relevant: a shared label"
    assert lines[1].split() == ["rank", "method", "recipe", "epochs", "score", "95", "%", "interval", "seconds"]
    assert lines[2].split()[:2] == ["1", result.best.method + "*" * result.best.baseline]
    assert max(map(len, lines)) <= 80
    assert all(f" {name}* " in text for name in (*FREE, "softmax"))
    assert "(* baseline" in text
    assert "Fewer than 30 held-out rows" in text
    assert repr(result).startswith(f"TuneResult({result.best.method} (")
    assert len(repr(result)) <= 100
    html = result._repr_html_()
    assert html.count("<tr>") == len(result.rows) + 1
    frame = result.to_pandas()
    assert frame["method"].tolist() == [row.method for row in result.rows]


@pytest.mark.parametrize(
    ("data", "best", "relevant"),
    [
        (open_dataset(vectors()[0]), "itq", "the ten nearest by features"),
        (
            Dataset(
                VectorItems(vectors()[0]),
                np.arange(ROWS),
                np.eye(3, dtype=np.uint8)[vectors()[1]],
                LabelSpace(("a", "b", "c"), multi=True),
            ),
            "dsrh",
            "a shared label",
        ),
    ],
    ids=["none", "sets"],
)
def test_other_kinds_of_data(data, best, relevant):
    names = [] if best == "itq" else [best]
    found = kinbits.tune(data, methods=names or ["bihalf"], **QUIET)
    assert found.relevant == relevant
    assert ("label some images" in str(found)) == ("label some images" in found._repr_html_()) == (data.labels is None)
    assert best in {row.method for row in found.rows}


def test_labels_that_are_all_unknown_are_no_labels():
    data = open_dataset(vectors()[0], labels=np.full(ROWS, -1))
    assert kinbits.tune(data, methods=["bihalf"], **QUIET).relevant == "the ten nearest by features"
    with pytest.raises(DataError, match="'csq' learns from labels, and the data have none"):
        kinbits.tune(data, methods=["csq"], **QUIET)


def test_without_a_cache_every_image_is_read_once(monkeypatch):
    images = np.random.default_rng(0).integers(0, 255, (24, 12, 12, 3), dtype=np.uint8)
    data = open_dataset(images, labels=np.arange(24) % 2)
    read, image = [], ArrayItems.image
    monkeypatch.setattr(ArrayItems, "image", lambda self, row: read.append(row) or image(self, row))
    options = {"backbone": "convnet-small", "image_size": 32, "finetune": False}
    found = kinbits.tune(data, methods=["csq"], cache=None, validation=0.4, **options, **QUIET)
    assert sorted(read) == list(range(24))
    assert found.model.training["rows"] == 24


def test_a_search_that_is_interrupted_keeps_the_best_so_far(monkeypatch):
    monkeypatch.setattr("kinbits.tuning.held_out.train", _interrupted_after(5))
    found = kinbits.tune(labelled(), methods=["csq"], **QUIET)
    assert found.interrupted
    assert {row.method for row in found.rows if row.score is not None} == {*FREE, "csq"}
    assert {row.note for row in found.rows if row.rank is None} == {"not reached"}
    assert found.model.method["name"] == found.best.method
    monkeypatch.setattr("kinbits.tuning.held_out.train", _interrupted_after(0))
    with pytest.raises(KeyboardInterrupt):
        kinbits.tune(labelled(), **QUIET)


def _interrupted_after(runs):
    left = iter(range(runs))

    def run(*given):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return train(*given)

    return run


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"method": "csq"}, "tune decides method itself; leave it out: name the methods to try by methods"),
        ({"epochs": 5}, "tune decides epochs itself"),
        ({"lr": 0.1}, "tune decides lr itself"),
        ({"params": {"margin": 0.1}}, "tune decides params itself"),
        ({"budget": 0}, "budget is 0; it must be above 0"),
        ({"budget": "10m"}, "budget is '10m'; give a number"),
        ({"methods": "csq"}, r"methods is 'csq'; leave it out, or give a list"),
        (
            {"methods": []},
            r"methods is \[\]; leave it out, or give a list of .py files and names, none .* empty: adsh,",
        ),
        ({"methods": [""]}, r"methods is \[''\]; leave it out, or give a list"),
        ({"methods": ["itq", " ", "csq"]}, r"methods is \['itq', ' ', 'csq'\]; leave it out, or give a list"),
        ({"methods": [1]}, r"methods is \[1\]; leave it out, or give a list"),
        ({"methods": 1}, "methods is 1; give"),
        ({"validation": 0}, "validation is 0; tune scores .* held-out rows: give a share above 0 and up to 0.5, or"),
        ({"methods": ["cqs"]}, "did you mean csq"),
        ({"search": "sound"}, "search is 'sound'; give one of image, text"),
        ({"search": "text"}, "has no texts; name their column"),
        ({"bitz": 8}, "did you mean bits"),
    ],
)
def test_what_cannot_be_done_is_refused(given, said):
    with pytest.raises(UsageError, match=said):
        kinbits.tune(labelled(), **{**QUIET, **given})


def test_settings_in_one_object_are_the_same_and_a_share_may_be_given(tmp_path):
    settings = FitSettings(bits=8).with_options(progress=False, cache=FeatureCache(tmp_path), validation=0.4)
    found = kinbits.tune(labelled(), settings, methods=["csq"], budget=None)
    assert (found.held_out, found.model.bits) == (36, 8)


@pytest.mark.parametrize(
    ("labels", "share", "held"), [(np.arange(10) % 5, 0.2, 2), (np.arange(10), 0.2, 0), (np.arange(10) % 2, 0.1, 1)]
)
def test_too_few_held_out_rows_are_refused_with_what_to_do(labels, share, held):
    data = open_dataset(vectors()[0][:10], labels=labels)
    said = f"of {held} held-out vectors, none has another one to find; give more of each class, raise validation"
    with pytest.raises(DataError, match=said):
        kinbits.tune(data, methods=["csq"], validation=share, **QUIET)


@pytest.mark.parametrize("noise", [True, False])
def test_a_baseline_that_is_as_good_as_the_best_is_pointed_out(result, noise):
    board = (Row(1, "csq", "default", 8, 0.9), Row(2, "softmax", "default", 8, 0.8, within_noise=noise))
    text = str(replace(result, rows=tuple(replace(row, low=0.7, high=0.9, seconds=1.0) for row in board)))
    assert ("softmax, which has no loss for hashing, is within noise of the best" in text) == noise
    assert max(map(len, text.splitlines())) <= 80


def test_the_budget_counts_from_when_it_is_told_to(result):
    late = time.monotonic() - 100
    found = kinbits.tune(labelled(), methods=["csq"], **QUIET | {"budget": 50}, started=late)
    assert found.seconds > 100
    assert {row.method for row in found.rows if row.note == "not reached"} == {"csq", RECOMMENDED, "softmax"}
    assert {"csq", RECOMMENDED, "softmax"} <= {row.method for row in found.rows if row.rank is not None}


def test_a_leaderboard_escapes_what_stands_in_it():
    row = Row(None, "<b>", "default", 5, note="<i>")
    assert "&lt;b&gt;" in as_html([row])
    assert "&lt;i&gt;" in as_html([row])


def test_a_leaderboard_names_what_failed_and_what_was_not_reached():
    tried = Row(1, "itq", "default", 0, 0.5, 0.4, 0.6, seconds=1.0)
    missed = [Row(None, name, "default", 5, note="not reached") for name in ("csq", "dch", "itq")]
    assert as_text([tried, *missed]).splitlines()[-1] == "(not reached: 3, among them all of csq, dch)"
    assert as_text([tried, missed[2]]).splitlines()[-1] == "(not reached: 1)"
    failed = [Row(None, "own", recipe, 5, note="KeyError: 'a' (own.py:3)") for recipe in ("default", "long")]
    assert as_text([tried, *failed]).splitlines()[2:] == ["own failed: KeyError: 'a' (own.py:3)"]
    many = [Row(None, f"own{number}", "default", 5, note="no") for number in range(7)]
    assert as_text([tried, *many]).splitlines()[-2:] == ["own4 failed: no", "2 further failures"]


def test_a_leaderboard_of_long_names_fits_a_terminal():
    name = "a-method-with-a-name-that-nobody-can-remember"
    rows = [
        Row(100, name, "batchnorm", 1000, 0.5, 0.4, 0.6, True, 10000.0, reference=True, baseline=True, note="x" * 99)
    ]
    assert max(map(len, as_text(rows).splitlines())) <= 80


def test_a_users_method_that_fails_is_left_out_with_its_reason(tmp_path, monkeypatch):
    known = {name: get_method(name) for name in list_methods()}
    monkeypatch.setattr("kinbits.methods.registry._REGISTRY", known)  # the method must not stay for other tests
    own = tmp_path / "broken_tuned.py"
    own.write_text(BROKEN.format(name="broken-tuned"))
    found = kinbits.tune(labelled(), methods=[str(own), "csq"], **QUIET)
    assert {row.note for row in found.rows if row.method == "broken-tuned"} == {
        "KeyError: 'no such thing' (broken_tuned.py:9)"
    }
    assert str(found).count("broken-tuned failed: KeyError: 'no such thing' (broken_tuned.py:9)") == 1
    assert "csq" in {row.method for row in found.rows if row.rank is not None}


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("full")])
def test_a_last_fit_that_ends_early_does_not_lose_the_leaderboard(monkeypatch, error):
    monkeypatch.setattr("kinbits.tuning.run.fit", lambda *_: _raise(error))
    boards = []
    with pytest.raises(type(error) if isinstance(error, OSError) else error) as caught:
        kinbits.tune(labelled(), methods=NAMED, report=boards.append, **QUIET)
    (board,) = boards
    assert {row.method for row in board.rows} == TRIED
    assert board.options["method"] == board.best.method
    assert str(board) in caught.value.__notes__[0]


def _raise(error):
    raise error


def test_the_leaderboard_is_reported_before_the_last_fit(result):
    boards = []
    found = kinbits.tune(labelled(), methods=["csq"], report=boards.append, **QUIET)
    assert (boards[0].rows, boards[0].options) == (found.rows, found.options)
    assert boards[0].seconds <= found.seconds
    assert repr(boards[0]) == repr(found).replace("TuneResult", "Leaderboard")
