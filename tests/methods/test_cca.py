"""CCA: canonical correlations against scikit-learn and by definition, chunks, signs, and what is refused."""

import numpy as np
import pytest
import torch
from digits import both_ways, codes, halves, learn
from sklearn.cross_decomposition import CCA

from kinbits import DataError, UsageError
from kinbits.methods import Spec, build_method
from kinbits.methods.cca import canonical
from kinbits.training import FeatureSet


def views(n=400):
    """Two views that share three hidden variables, and have noise of their own."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(n, 3)) * [3, 2, 1.2]

    def view(width):
        return hidden @ rng.normal(size=(3, width)) + rng.normal(size=(n, width)) + rng.normal(size=width)

    return view(8).astype(np.float32), view(6).astype(np.float32)


def covariances(x, y):
    x, y = (torch.from_numpy(v - v.mean(0)).double() for v in (x, y))
    return [a.T @ b / (len(x) - 1) for a, b in ((x, x), (y, y), (x, y))]


def test_correlations_are_those_of_scikit_learn():
    x, y = views()
    theirs = CCA(n_components=3, max_iter=5000, tol=1e-12).fit(x, y).transform(x, y)
    left, right = canonical(*covariances(x, y), 1e-9, 3)
    for k in range(3):
        ours = np.corrcoef(x @ left[:, k].numpy(), y @ right[:, k].numpy())[0, 1]
        assert ours == pytest.approx(np.corrcoef(theirs[0][:, k], theirs[1][:, k])[0, 1], abs=1e-4)
        assert abs(np.corrcoef(x @ left[:, k].numpy(), theirs[0][:, k])[0, 1]) == pytest.approx(1, abs=1e-3)


def test_directions_are_uncorrelated_and_of_unit_variance_where_nothing_is_added():
    x, y = views()
    own, other, across = covariances(x, y)
    left, right = canonical(own, other, across, 1e-12, 5)
    for directions, covariance in ((left, own), (right, other)):
        assert (directions.T @ covariance @ directions).numpy() == pytest.approx(np.eye(5), abs=1e-6)
    between = (left.T @ across @ right).numpy()
    assert between == pytest.approx(np.diag(np.diag(between)), abs=1e-6)
    assert (np.diff(np.diag(between)) <= 1e-9).all()


def test_heads_make_the_same_codes_whatever_the_chunks_and_the_scale():
    x, y = views()
    x[:, 0] += 50
    whole = learn("cca", 4, x, texts=y)
    cut = build_method("cca", Spec(4, 8, len(x), text_dim=6))
    data = FeatureSet(x, texts=y)
    data.chunk = 37
    cut.prepare(data)  # features as they come, neither centred nor scaled
    for modality, inputs in (("image", x), ("text", y)):
        assert (codes(whole.towers()[modality], inputs) == codes(cut.towers()[modality], inputs)).mean() > 0.99
        with torch.no_grad():
            assert cut.towers()[modality](torch.from_numpy(inputs)).mean(0).abs().max() < 1e-3


def test_digits_image_finds_text_and_text_finds_image_and_runs_are_equal():
    queries, database = halves()
    method, twin = (learn("cca", 8, database[0], texts=database[1], seed=seed) for seed in (0, 1))
    assert min(both_ways(method, queries, database)) > 0.22
    for modality, head in method.towers().items():
        assert torch.equal(head.layers.weight, twin.towers()[modality].layers.weight)


def test_features_that_never_vary_do_no_harm():
    x, y = views()
    x[:, 3] = 7
    y[:, 2] = y[:, 1]
    method = learn("cca", 4, x, texts=y)
    for head in method.towers().values():
        assert torch.isfinite(head.layers.weight).all()


def test_what_cannot_serve_is_refused():
    with pytest.raises(UsageError, match="at most as many bits"):
        build_method("cca", Spec(16, 32, 50, text_dim=12))
    with pytest.raises(UsageError, match="ridge is 0"):
        build_method("cca", Spec(8, 32, 50, text_dim=12), ridge=0.0)
    with pytest.raises(DataError, match="no text"):
        build_method("cca", Spec(8, 32, 50))
