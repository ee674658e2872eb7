"""fit: from a dataset to a model, and what it refuses before it does any work."""

import numpy as np
import pytest
import torch

import kinbits
from kinbits import DataError, UsageError
from kinbits.data import FeatureCache

ROWS, WIDTH = 80, 24


def vectors(classes=4, rows=ROWS, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % classes
    centres = np.random.default_rng(5).normal(size=(classes, WIDTH))
    return (centres[labels] + 0.8 * rng.normal(size=(rows, WIDTH))).astype(np.float32), labels


def data(**more):
    found, labels = vectors(**more)
    return kinbits.open_dataset(found, labels=labels)


def fit(dataset, **options):
    return kinbits.fit(dataset, **{"bits": 16, "epochs": 3, "progress": False, "cache": None, **options})


def test_one_seed_gives_identical_codes_and_fingerprints():
    runs = [fit(data(), seed=seed) for seed in (0, 0, 1)]
    codes = [run.encode(vectors()[0]) for run in runs]
    np.testing.assert_array_equal(codes[0], codes[1])
    assert runs[0].fingerprint == runs[1].fingerprint != runs[2].fingerprint


def test_one_seed_gives_identical_codes_with_a_backbone_from_scratch():
    images = np.random.default_rng(0).integers(0, 255, (24, 20, 20, 3), dtype=np.uint8)
    dataset = kinbits.open_dataset(images, labels=np.arange(24) % 3)
    fingerprints = set()
    for other in (1, 2):
        torch.manual_seed(other)  # what the program did before must not matter
        fingerprints.add(fit(dataset, backbone="convnet-small", epochs=1).fingerprint)
    assert len(fingerprints) == 1


def test_unlabelled_rows_take_no_part_in_learning_from_labels():
    found, labels = vectors()
    marked = labels.copy()
    marked[::2] = -1
    model = fit(kinbits.open_dataset(found, labels=marked), method="hashnet")
    assert model.training["rows"] == ROWS // 2
    assert {s["reason"] for s in model.training["skipped"]} == {"no label"}


def test_no_labels_name_methods_that_need_none():
    with pytest.raises(DataError, match=r"itq"):
        fit(kinbits.open_dataset(vectors()[0]), method="orthohash")


def test_no_labels_name_methods_for_texts_first_where_there_are_texts():
    found, texts = vectors()[0], ["some words"] * ROWS
    with pytest.raises(DataError, match=r"without labels: cca, djsrh, ugach; or, without the texts, .*itq"):
        fit(kinbits.open_dataset(found, texts=texts), method="dcmh")
    with pytest.raises(DataError, match=r"without labels: (?!.*cca).*itq"):
        fit(kinbits.open_dataset(found), method="dcmh")


def test_a_backbone_must_read_what_the_data_hold():
    images = np.random.default_rng(0).integers(0, 255, (8, 20, 20, 3), dtype=np.uint8)
    has_text = kinbits.open_dataset(images, labels=np.arange(8) % 2, texts=["a text"] * 8)
    with pytest.raises(UsageError, match=r"'minilm' reads texts, but images are needed here; .*efficientnet_lite0"):
        fit(has_text, backbone="minilm")
    with pytest.raises(UsageError, match=r"'efficientnet_lite0' reads images, but texts are needed here; .*minilm"):
        fit(has_text, method="djsrh", backbone="convnet-small", text_backbone="efficientnet_lite0")
    with pytest.raises(UsageError, match="'features' reads vectors, but images are needed here"):
        fit(has_text, backbone="features")
    with pytest.raises(UsageError, match=r"'convnet-small' reads images, but vectors are needed here; .*features"):
        fit(data(), backbone="convnet-small")
    assert fit(data(), backbone="features").bits == 16


def test_a_text_backbone_for_a_method_without_text_is_refused():
    with pytest.raises(UsageError, match=r"'orthohash' reads no text; leave text_backbone out, .*djsrh"):
        fit(data(), method="orthohash", text_backbone="minilm")


def test_one_class_is_refused():
    with pytest.raises(DataError, match=r"all labelled vectors of array have one label; .* at least two classes"):
        fit(data(classes=1))


@pytest.mark.parametrize(
    "labels", [np.full(ROWS, -1), [None] * ROWS, np.zeros((ROWS, 3), int)], ids=["-1", "none", "0"]
)
def test_labels_that_are_all_unknown_are_no_labels(labels):
    dataset = kinbits.open_dataset(vectors()[0], labels=labels)
    with pytest.raises(DataError, match="'csq' learns from labels, and the data have none"):
        fit(dataset, method="csq")
    with pytest.warns(UserWarning, match="there are no labels, so the method is itq"):
        assert fit(dataset).method["name"] == "itq"


def test_a_class_with_one_image_is_fine():
    found, labels = vectors()
    labels = labels.copy()
    labels[0] = 4
    assert fit(kinbits.open_dataset(found, labels=labels)).bits == 16


def test_unknown_names_offer_the_nearest():
    with pytest.raises(UsageError, match="did you mean orthohash"):
        fit(data(), method="orthohahs")
    with pytest.raises(UsageError, match="did you mean epochs"):
        fit(data(), epohcs=3)
    with pytest.raises(UsageError, match="did you mean margin"):
        fit(data(), method="orthohash", params={"margn": 0.1})
    with pytest.raises(UsageError, match=r"known: .*itq"):  # nothing is near
        fit(data(), method="nosuch")


@pytest.mark.parametrize("bits", [0, -8, 3])
def test_too_few_bits_are_refused(bits):
    with pytest.raises(UsageError, match="at least 4"):
        fit(data(), bits=bits)


def test_more_classes_than_codes_are_refused():
    with pytest.raises(UsageError, match="more than 4 bits"):
        fit(data(classes=20), bits=4)


def test_validation_rows_are_held_out_of_training():
    model = fit(data(), validation=0.25)
    assert model.training["rows"] == ROWS - ROWS // 4
    assert all("validation" in record for record in model.training["history"])
    best = max(model.training["history"], key=lambda record: record["validation"])
    assert model.training["best_epoch"] == model.training["history"].index(best) + 1
    assert model.training["loss"] == best["loss"]
    assert model.training["validation"] == {"map@all": best["validation"], "rows": ROWS // 4, "relevance": "labels"}


def test_a_method_without_epochs_learns_from_all_rows_and_says_so():
    with pytest.warns(UserWarning, match="'itq' has no epochs to choose from, so validation is ignored"):
        model = fit(data(), method="itq", validation=0.25, patience=3)
    assert model.training["rows"] == ROWS
    assert model.fingerprint == fit(data(), method="itq").fingerprint


def test_text_methods_want_text():
    with pytest.raises(DataError, match="text"):
        fit(data(), method="ugach")


def test_sets_of_labels_work():
    found, labels = vectors()
    sets = np.eye(4, dtype=np.uint8)[labels]
    sets[::5, 0] = 1
    model = fit(kinbits.open_dataset(found, labels=sets))
    assert model.encode(found).shape == (ROWS, 2)


def test_features_are_read_from_the_cache_the_second_time(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (24, 20, 20, 3), dtype=np.uint8)
    dataset = kinbits.open_dataset(images, labels=np.arange(24) % 3)
    cache = FeatureCache(tmp_path)
    options = {"backbone": "convnet-small", "finetune": False, "cache": cache}
    first = fit(dataset, **options)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.f16")}
    assert kept
    second = fit(dataset, **options)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.f16")} == kept
    assert first.bits == second.bits


def test_a_backbone_without_pretraining_is_trained_and_a_frozen_one_is_not():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (24, 20, 20, 3), dtype=np.uint8)
    dataset = kinbits.open_dataset(images, labels=np.arange(24) % 3)
    trained = fit(dataset, backbone="convnet-small", epochs=1)
    assert trained.training["backbone_trained"]
    assert not fit(dataset, backbone="convnet-small", finetune=False, epochs=1).training["backbone_trained"]
    with pytest.raises(UsageError, match="vectors"):
        fit(data(), finetune=True)


def test_two_view_methods_work_frozen_and_trained(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (24, 20, 20, 3), dtype=np.uint8)
    for finetune in (False, True):
        model = fit(images, method="cibhash", backbone="convnet-small", finetune=finetune, epochs=1, views=2)
        assert model.encode(images).shape == (24, 2)


@pytest.mark.parametrize("finetune", [False, True])
def test_how_views_are_made_can_be_chosen(finetune):
    images = np.random.default_rng(0).integers(0, 255, (24, 20, 20, 3), dtype=np.uint8)
    options = {"method": "cibhash", "backbone": "convnet-small", "finetune": finetune, "epochs": 1, "views": 2}
    chosen = [{}, {"view_augmentation": "two_view"}, {"view_augmentation": "crops"}]
    usual, named, other = (fit(images, **options, **choice).fingerprint for choice in chosen)
    assert usual == named != other


@pytest.mark.parametrize("option", ["augmentation", "view_augmentation"])
def test_an_unknown_augmentation_is_refused_even_where_none_is_used(option):
    with pytest.raises(UsageError, match="did you mean crops"):
        fit(data(), method="itq", **{option: "crop"})


def test_a_method_may_come_from_a_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        '''
from kinbits.heads import Linear
from kinbits.methods import Method, register

@register("mine")
class Mine(Method):
    """Push logits away from zero."""
    supervision = "none"
    def __init__(self, spec, *, weight: float = 1.0):
        super().__init__(spec)
        self.weight, self.head = weight, Linear(spec.feature_dim, spec.bits)
    def loss(self, batch, logits):
        return {"push": self.weight * (logits.abs() - 1).square().mean()}
'''
    )
    model = fit(data(), method=str(path), params={"weight": 0.5})
    assert model.method["name"] == "mine"


def test_vectors_are_given_views_by_dropout_and_without_it_the_remedy_is_told():
    """The check came too late: vectors were refused for lack of views even where dropout makes them."""
    found = vectors()[0]
    with pytest.raises(DataError, match="by the parameter dropout"):
        fit(found, method="cibhash")
    model = fit(found, method="cibhash", params={"dropout": 0.2, "hidden": 8}, epochs=1)
    assert model.training["rows"] == ROWS


@pytest.mark.parametrize("method", ["itq", "bihalf", "dsah"])
def test_items_that_are_all_the_same_are_refused(method):
    with pytest.raises(DataError, match=r"all 20 items of .* have the same features.* give vectors that differ"):
        fit(np.full((20, 30), 0.7, np.float32), method=method)


def test_one_item_that_differs_is_enough():
    found = np.full((20, 30), 0.7, np.float32)
    found[-1] = 0
    assert fit(found, method="bihalf").training["rows"] == 20


def test_batches_of_one_image_are_refused_since_nothing_would_be_learned():
    with pytest.raises(UsageError, match="batch_size is 1; it must be at least 2"):
        fit(data(), batch_size=1)


def test_a_single_vector_is_counted_as_one():
    with pytest.raises(DataError, match="has 1 usable vector; give at least 2"):
        fit(vectors()[0][:1], method="itq")


def test_more_bits_than_features_are_refused_with_what_can_make_them():
    with pytest.raises(UsageError, match=r"features, 24; 32 given\. Take fewer bits, or .* lsh"):
        fit(vectors()[0], method="itq", bits=32)


def test_more_neighbours_than_images_are_refused_with_the_most_there_can_be():
    with pytest.raises(DataError, match=r"neighbours is 80 .* of 80 images; give at most 79"):
        fit(vectors()[0], method="dsah", params={"neighbours": 80})
