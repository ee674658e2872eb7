"""Places in Milvus and PostgreSQL for the tests."""

import pytest
from milvus_helpers import MilvusMaker, milvus_server
from postgres_helpers import PostgresMaker, postgres_servers

from kinbits.errors import PlatformError
from kinbits.index.engines.milvus_address import require_packages


@pytest.fixture(scope="module")
def lite(tmp_path_factory):
    try:
        require_packages(lite=True)
    except PlatformError as fault:
        pytest.skip(str(fault))
    file = tmp_path_factory.mktemp("lite") / "test.db"
    maker = MilvusMaker(lambda name: f"milvus-lite:{file}#{name}")
    yield maker
    maker.close(drop=True)


@pytest.fixture(scope="session")
def milvus():
    with milvus_server() as server:
        yield server


@pytest.fixture(scope="module")
def server(milvus):
    maker = MilvusMaker(milvus.address, ahead=5)
    yield maker
    maker.close(drop=False)


@pytest.fixture(scope="module")
def postgres():
    with postgres_servers(1) as servers:
        yield PostgresMaker(servers)


@pytest.fixture(scope="module")
def three_servers():
    with postgres_servers(3) as servers:
        yield PostgresMaker(servers)
