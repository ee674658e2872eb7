"""Settings of the whole suite."""

import os
import resource
from contextlib import contextmanager

import pytest

os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
os.environ["OMP_NUM_THREADS"] = "1"  # tests run side by side; more threads would only wait for each other
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing may reach for the network
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def pytest_collection_modifyitems(config, items):
    """Leave out what only an exhaustive run takes."""
    if not os.environ.get("KINBITS_EXHAUSTIVE"):
        left_out = [item for item in items if item.get_closest_marker("exhaustive")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="module")
def browser():
    """A browser for all tests of a file, which `browser_helpers.IN_BROWSER` marks."""
    from browser_helpers import running_browser

    with running_browser() as opened:
        yield opened


@pytest.fixture
def full_disk():
    """A context in which no file may grow beyond some bytes."""

    @contextmanager
    def limited(size):
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    return limited
