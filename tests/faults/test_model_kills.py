"""A save of a model, killed again and again."""

import os

from model_kills import outcomes as kills

EXHAUSTIVE = os.environ.get("KINBITS_EXHAUSTIVE") == "1"


def test_a_save_that_is_killed_leaves_the_older_or_the_newer_model_and_nothing_after_the_next_save():
    count, stride = (300, 1) if EXHAUSTIVE else (10, 15)
    found = kills(count, seed=3, stride=stride)
    assert found["killed, old model"] >= 2
    assert found["killed, old model"] + found["killed, new model"] + found["done, new model"] == count
