"""Which methods are tried on which data."""

from dataclasses import replace

import numpy as np
import pytest

from kinbits import DataError, LabelSpace, UsageError
from kinbits.data import ArrayItems, Dataset, VectorItems
from kinbits.fitting import FitSettings, recommended_method
from kinbits.methods import Recipe, describe_method, get_method, list_methods, parameters
from kinbits.tuning.candidates import Candidates
from kinbits.tuning.recipes import BASELINE, LAST, MOST_EPOCHS, ORDER, OWN_VARIANTS, VARIANTS
from kinbits.tuning.settings import TuneSettings

ROWS = 12
SINGLE = np.arange(ROWS) % 3
NAMES = ("cat", "dog", "car")
TREE = LabelSpace.with_levels(NAMES, [((0, 0, 1), ("animal", "vehicle"))])
FREE = ["itq", "lsh", "pca", "pca-rotation"]
VECTORS = Dataset(VectorItems(np.eye(ROWS, dtype=np.float32)), np.arange(ROWS))
LABELLED = replace(VECTORS, labels=SINGLE, label_space=LabelSpace(NAMES))
RECOMMENDED = recommended_method(LABELLED).method


def images(**more):
    return Dataset(ArrayItems(np.zeros((ROWS, 8, 8, 3), np.uint8)), np.arange(ROWS), **more)


def of(dataset, base=None, **tuning):
    return Candidates(dataset, base or FitSettings(), TuneSettings(**tuning))


def learned(found):
    return list(dict.fromkeys(one.method for one in found.learned))


def test_data_with_labels_are_learned_by_all_methods_that_use_them():
    found = of(LABELLED)
    known = {name: describe_method(name) for name in list_methods()}
    fit = {
        n
        for n, one in known.items()
        if one.supervision != "none" and not (one.reads_text or one.reads_maps or one.codes_name != "bits")
    } - {"shrewd"}  # it needs a hierarchy
    assert "shrewd" in learned(of(replace(LABELLED, label_space=TREE)))
    assert "dpq" in learned(of(LABELLED, methods=("dpq",)))
    assert {"csq", "shc", "bcdh", "hashnet"} <= set(learned(found)) == fit
    assert sorted(one.method for one in found.baselines) == FREE
    assert (found.reference, found.learned[0].method, found.learned[0].pinned) == (RECOMMENDED, RECOMMENDED, True)
    assert learned(found)[-1] == "bcdh"


def test_with_labels_the_baseline_is_always_tried_and_stays():
    pinned = lambda found: [str(one) for one in found.learned if one.pinned]  # noqa: E731
    assert pinned(of(LABELLED)) == pinned(of(LABELLED, methods=("csq",))) == [RECOMMENDED, "softmax"]
    assert {one.method for one in of(LABELLED).learned if one.baseline} == {"softmax", "softmax-quantization"}
    assert all(one.baseline for one in of(LABELLED).baselines)
    assert "softmax" not in learned(of(VECTORS))


def test_the_recommended_method_comes_first():
    assert learned(of(replace(LABELLED, label_space=TREE)))[0] == "shc"
    sets = replace(VECTORS, labels=np.eye(3, dtype=np.uint8)[SINGLE], label_space=LabelSpace(NAMES, multi=True))
    assert learned(of(sets))[0] == "dsrh"
    assert all(describe_method(name).multi_label for name in learned(of(sets)))


def test_data_without_labels_are_learned_by_methods_without_labels():
    found = of(VECTORS)
    assert {"distillhash", "dsah", "bihalf"} <= set(learned(found))
    assert {describe_method(name).supervision for name in learned(found)} == {"none"}
    assert found.reference == "itq"  # already among the baselines
    assert not any(one.pinned for one in found.learned)
    assert "cibhash" not in learned(found)  # there are no views of vectors


def test_methods_that_need_features_of_their_own_need_time_or_a_name():
    for budget, expected in ((600.0, False), (3600.0, True), (None, True)):
        assert ("cibhash" in learned(of(images(), budget=budget))) == expected
        labelled = images(labels=SINGLE, label_space=LabelSpace(NAMES))
        assert ("exchnet" in learned(of(labelled, budget=budget))) == expected
    assert "cibhash" in learned(of(images(), methods=("cibhash",)))


def test_given_pairs_are_learned_from():
    base = FitSettings().with_options(pairs="pairs.csv")
    for dataset in (VECTORS, LABELLED):
        found = of(dataset, base)
        assert learned(found) == ["bcdh"]
        assert found.baselines[0].settings(base, 0).supervision.pairs is None
        assert found.learned[0].settings(base, 5).supervision.pairs == "pairs.csv"


def test_searches_between_images_and_texts_are_learned_by_methods_that_read_both():
    captioned = replace(VECTORS, texts=("a text",) * ROWS)
    found = of(captioned, search="text")
    assert set(learned(found)) == {"djsrh", "ugach"}
    assert [one.method for one in found.baselines] == ["cca"]
    assert found.reads_text
    assert "dcmh" in learned(of(replace(LABELLED, texts=captioned.texts), search="text"))
    assert not of(captioned).reads_text
    with pytest.raises(UsageError, match="search is text, and data has no texts"):
        of(VECTORS, search="text")
    with pytest.raises(UsageError, match="method 'bihalf' reads no text"):
        of(captioned, search="text", methods=("bihalf",))


def test_named_methods_are_tried_first_then_the_baselines_and_the_recommended_one(tmp_path):
    found = of(LABELLED, methods=("csq", "itq", "dsah"))
    assert learned(found) == ["csq", "dsah", RECOMMENDED, "softmax"]
    assert [str(one) for one in found.learned if one.named] == ["csq", "dsah"]
    assert not any(one.named for one in of(LABELLED).learned)
    with pytest.raises(DataError, match="'csq' learns from labels"):
        of(VECTORS, methods=("csq",))
    with pytest.raises(UsageError, match="did you mean csq"):
        of(LABELLED, methods=("cqs",))
    own = tmp_path / "own_tuned.py"
    own.write_text(
        "from kinbits.methods.csq import Csq\nfrom kinbits.methods import register\n\n\n"
        '@register("own-tuned")\nclass OwnTuned(Csq):\n    """Mine."""\n'
    )
    assert learned(of(LABELLED, methods=(str(own),))) == ["own-tuned", RECOMMENDED, "softmax"]


def test_a_recipe_changes_the_methods_own(monkeypatch):
    monkeypatch.setattr(get_method("hashnet"), "recipe", replace(get_method("hashnet").recipe, min_steps=0))
    base = FitSettings(bits=16).with_options(batch_size=4)
    own = [one for one in of(LABELLED, base, methods=("hashnet",)).learned if one.method == "hashnet"]
    recipe = get_method("hashnet").recipe
    usual = recipe.epochs
    made = {one.recipe: one.settings(base, one.epochs).training for one in own}
    assert {one.lr for one in made.values()} == {None}
    assert (made["decay"].optimizer, made["decay"].weight_decay) == ("adamw", 5.0)
    assert [made[name].epochs for name in ("short", "default", "decay", "long")] == [
        round(0.5 * usual),
        usual,
        usual,
        2 * usual,
    ]
    assert {one.batch_size for one in made.values()} == {4}


@pytest.mark.parametrize(("epochs", "names"), [(100, ["default", "short"]), (90, ["default", "short", "long"])])
def test_recipes_that_come_to_the_same_run_are_one_candidate(epochs, names, monkeypatch):
    monkeypatch.setattr(get_method("hashnet"), "recipe", Recipe(epochs=epochs))
    base = FitSettings().with_options(weight_decay=0.1)
    found = [one for one in of(LABELLED, base, methods=("hashnet",)).learned if one.method == "hashnet"]
    assert MOST_EPOCHS == 100
    assert [one.recipe for one in found] == names


def test_a_small_set_is_passed_over_as_often_as_fit_would(monkeypatch):
    recipe = Recipe(epochs=10, batch_size=4, min_steps=60)
    monkeypatch.setattr(get_method("hashnet"), "recipe", recipe)
    (usual,) = (one for one in of(LABELLED, methods=("hashnet",)).learned if str(one) == "hashnet")
    assert usual.epochs == 60 * 4 // ROWS == 20


def test_a_recipe_changes_nothing_that_is_given():
    base = FitSettings().with_options(weight_decay=0.1)
    found = of(LABELLED, base, methods=("hashnet",)).learned
    assert {one.recipe for one in found} == {"default", "short"}
    assert {one.settings(base, one.epochs).training.weight_decay for one in found} == {0.1}


def test_default_recipes_of_all_methods_come_before_further_recipes(monkeypatch):
    monkeypatch.setattr(get_method("csq"), "recipe", Recipe(epochs=20))  # few rows would make it the longest one
    recipes = [one.recipe for one in of(LABELLED).learned]
    methods = len(learned(of(LABELLED)))
    assert [one.recipe for one in of(LABELLED).learned[:methods]] == ["default"] * methods
    assert "default" not in recipes[methods:]
    assert set(recipes) >= {variant.name for variant in VARIANTS}


def test_the_tables_name_methods_and_parameters_that_exist():
    assert {*ORDER, *LAST, *OWN_VARIANTS, BASELINE} <= set(list_methods())
    for name, variants in OWN_VARIANTS.items():
        known = {one.name for one in parameters(get_method(name))}
        assert all(set(variant.params) <= known for variant in variants)
