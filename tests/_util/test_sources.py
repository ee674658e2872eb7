"""Classes are read from files as Python would see them."""

import ast

import pytest

from kinbits._util.sources import class_expressions, registered_classes


def test_a_class_has_what_its_bases_assign_and_its_own_on_top():
    found = class_expressions("kinbits.methods.adsh", "Adsh")  # Asymmetric(Method) is its base
    assert ast.unparse(found["supervision"]) == "'labels'"  # of Method
    assert ast.unparse(found["recipe"]).startswith("Recipe(epochs=20, batch_size=64")
    assert ast.literal_eval(found["__doc__"]).startswith("Fit inner products of network codes")


def test_every_decorated_class_of_a_package_is_found():
    found = registered_classes("kinbits.methods", "register")
    assert found["greedyhash-unsupervised"] == ("kinbits.methods.greedyhash_unsupervised", "GreedyHashUnsupervised")


def test_a_class_that_is_not_there_is_named():
    with pytest.raises(LookupError, match=r"kinbits\.methods\.csq defines no class Missing"):
        class_expressions("kinbits.methods.csq", "Missing")
