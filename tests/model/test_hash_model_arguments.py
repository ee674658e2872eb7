"""Arguments of a HashModel that cannot be meant: no path, no device."""

import numpy as np
import pytest

import kinbits
from kinbits import ArtefactError, PlatformError, UsageError

ROWS = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        (None, UsageError, "None is no path; give text or a pathlib.Path"),
        (5, UsageError, "5 is no path"),
        ("x" * 5000, ArtefactError, "is no model folder"),
    ],
)
def test_what_names_no_model_is_refused(name, error, said):
    with pytest.raises(error, match=said):
        kinbits.HashModel.from_pretrained(name)


def test_a_device_that_is_not_there_is_named(monkeypatch):
    model = kinbits.fit(ROWS, method="lsh", bits=8, progress=False)
    with pytest.raises(UsageError, match="device is 'banana'"):
        model.to("banana")
    with pytest.raises(PlatformError, match="device cuda:99 cannot be used here"):
        model.to("cuda:99")
    assert model.to("cpu").encode(ROWS, batch_size=np.int64(3)).shape == (20, 1)
