"""The method that suits the data, without a name and with `auto`."""

import numpy as np
import pytest

import kinbits
from kinbits import LabelSpace
from kinbits.data import Dataset, VectorItems
from kinbits.fitting import FitSettings, choose_method, recommended_method

ROWS, CLASSES = 24, 3
VECTORS = np.random.default_rng(0).normal(size=(ROWS, 8)).astype(np.float32)
SINGLE = np.arange(ROWS) % CLASSES
SETS = np.eye(CLASSES, dtype=np.uint8)[SINGLE]
NAMES = ("cat", "dog", "car")
TREE = LabelSpace.with_levels(NAMES, [((0, 0, 1), ("animal", "vehicle"))])


def data(labels=None, space=None):
    return Dataset(VectorItems(VECTORS), np.arange(ROWS), labels, space)


@pytest.mark.parametrize(
    ("dataset", "options", "method", "reason"),
    [
        (data(), {}, "itq", "there are no labels"),
        (data(np.full(ROWS, -1), LabelSpace(NAMES)), {}, "itq", "there are no labels"),
        (data(SINGLE, LabelSpace(NAMES)), {}, "shc", "each vector has one label"),
        (data(np.arange(ROWS), LabelSpace(tuple(map(str, range(ROWS))))), {}, "orthohash", "each vector has one label"),
        (data(SETS, LabelSpace(NAMES, multi=True)), {}, "dsrh", "each vector may have several labels"),
        (data(SINGLE, TREE), {}, "shc", "hierarchy"),
        (data(), {"pairs": True}, "bcdh", "pairs are given"),
        (data(SINGLE, TREE), {"pairs": True}, "bcdh", "pairs are given"),
        (data(SINGLE, TREE), {"few_labels": True}, "orthohash", "hierarchy"),
        (data(np.where(SINGLE == 2, -1, SINGLE), TREE), {}, "orthohash", "hierarchy"),  # shc needs all classes
    ],
)
def test_the_kind_of_the_data_decides(dataset, options, method, reason):
    found = recommended_method(dataset, **options)
    assert found.method == method
    assert reason in str(found)


@pytest.mark.parametrize("method", [None, "auto"])
def test_no_method_and_auto_are_the_same(method):
    chosen = choose_method(FitSettings(method=method, bits=8), data(SINGLE, TREE))
    assert (chosen.method, chosen.bits) == ("shc", 8)
    assert choose_method(FitSettings(method="csq"), data(SINGLE, TREE)).method == "csq"


def test_fit_takes_it(recwarn):
    model = kinbits.fit(data(SETS, LabelSpace(NAMES, multi=True)), method="auto", bits=8, epochs=1, progress=False)
    assert model.method["name"] == "dsrh"
    assert not recwarn.list
    with pytest.warns(UserWarning, match="there are no labels, so the method is itq; `kinbits methods` lists others"):
        assert kinbits.fit(data(), method="auto", bits=8, progress=False).method["name"] == "itq"
