"""The client passes the check of indexes against a live service."""

import pytest
from live import live

from kinbits.testing import check_index


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with live(tmp_path_factory.mktemp("service"), max_k=10**7) as running:
        yield running


@pytest.mark.parametrize("words", [2, 16])
def test_a_client_conforms(service, tmp_path, words):
    check_index(
        service.make, open_index=service.open, folder=tmp_path, words=words, bits=(13,) if words == 2 else (12,)
    )
