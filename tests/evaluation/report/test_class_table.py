"""The table of classes: the lowest first, and never too long to be read."""

from kinbits.evaluation.report.class_table import shown_classes
from kinbits.metrics import ClassResult


def test_a_table_of_very_many_classes_names_the_lowest_and_says_so():
    many = [ClassResult(f"c{number}", 5, {"mrr": number / 200}, {"mrr": (0.0, 1.0)}) for number in range(150)]
    odd = [ClassResult("few", 1, {"mrr": 0.0}, {}), ClassResult("none", 0, {}, {})]
    shown, note = shown_classes([*many, *odd], ["mrr"], "model")
    assert [one.name for one in shown] == ["c0", "few", *(f"c{number}" for number in range(1, 99))]
    assert "the other 51 of 151 classes are in the JSON report" in note
    assert "fewer than 5 queries have no interval" in note
    assert "without a relevant item: none." in note
