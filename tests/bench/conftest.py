"""An experiment on labelled vectors in a file."""

import numpy as np
import pytest


@pytest.fixture
def small(tmp_path):
    """Labelled vectors in a file, as a protocol, and an experiment on it."""
    rng = np.random.default_rng(0)
    labels = np.arange(160) % 4
    vectors = rng.normal(size=(4, 24))[labels] + 0.6 * rng.normal(size=(160, 24))
    np.savez(tmp_path / "data.npz", vectors=vectors.astype(np.float32), labels=labels)
    return {
        "protocols": f"folder:{tmp_path / 'data.npz'}",
        "methods": ["orthohash", {"method": "hashnet", "training": {"epochs": 2}}],
        "bits": [8, 16],
        "seeds": [0, 1],
        "metrics": ["map@all", "precision@r2"],
        "training": {"epochs": 3},
    }
