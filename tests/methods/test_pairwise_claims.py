"""What the options of the pairwise methods do on digits, over three seeds."""

import numpy as np
import pytest
import torch
from digits import codes, deep_score, learn_deep, split

from kinbits import metrics

SETTINGS = {
    "dsh": ({}, {"alpha": 0.0}),
    "dpsh": ({}, {"eta": 0.0}),
    "dhn": ({}, {"quantization": 0.0}),
    "dch": ({}, {"quantization": 0.0}),
    "greedyhash": ({}, {"alpha": 0.0}),
}
SQUASHED = ("dhn", "dch")


def measured(name, seed, **params):
    """Return mAP and mean (u - sign u)^2 after 20 epochs with a small network."""
    queries, train, database = split()
    method, network = learn_deep(name, 16, *train, epochs=20, seed=seed, **params)
    with torch.no_grad():
        values = method.head(network(torch.from_numpy(database[0])))
    values = torch.tanh(values) if name in SQUASHED else values
    rounding = float((values - torch.where(values >= 0, 1.0, -1.0)).square().mean())
    return deep_score(method, network, queries, database), rounding


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_digits_without_the_pull_values_leave_the_signs_and_search_is_no_better(name):
    found = [np.mean([measured(name, seed, **params) for seed in range(3)], axis=0) for params in SETTINGS[name]]
    (with_pull, near), (without, far) = found
    assert far > near
    assert without < with_pull + 0.01
    assert with_pull > 0.93


@pytest.mark.slow
def test_digits_a_small_gamma_of_dch_draws_codes_together_but_mixes_classes():
    queries, train, database = split()
    relevance = metrics.LabelRelevance(queries[1], database[1])
    found = {}
    for gamma in (2.0, 10.0):
        runs = []
        for seed in range(3):
            method, network = learn_deep("dch", 16, *train, epochs=20, seed=seed, gamma=gamma)
            asked, kept = (codes(method.head, part[0], network) for part in (queries, database))
            within = metrics.evaluate(asked, kept, relevance, ["precision@r2"])["precision@r2"]
            runs.append((within, len(np.unique(kept, axis=0))))
        found[gamma] = np.mean(runs, axis=0)
    assert found[2.0][1] < found[10.0][1]
    assert found[10.0][0] > found[2.0][0] + 0.02
