"""Places in Milvus and PostgreSQL for the tests."""

from itertools import count

import pytest
from postgres_helpers import PostgresMaker, postgres_servers

from kinbits.errors import PlatformError
from kinbits.index import create_index
from kinbits.index.engines.milvus_address import require_packages


class Maker:
    """Makes collections, each of a new name, and drops them in the end."""

    def __init__(self, base, **options):
        self.base, self.options, self.made, self._number = base, options, [], count()

    def address(self):
        return f"{self.base}test_{next(self._number)}"

    def __call__(self, path=None, *, bits=None, model=None, **options):
        self.made.append(create_index(self.address(), bits=bits, model=model, **{**self.options, **options}))
        return self.made[-1]

    def drop(self):
        for index in self.made:
            index._connection.call("drop_collection")


@pytest.fixture(scope="module")
def lite(tmp_path_factory):
    try:
        require_packages(lite=True)
    except PlatformError as fault:
        pytest.skip(str(fault))
    maker = Maker(f"milvus-lite:{tmp_path_factory.mktemp('lite')}/test.db#")
    yield maker
    maker.drop()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    pytest.importorskip("pymilvus", reason="needs pip install 'kinbits[milvus]'")
    milvus = pytest.importorskip("milvus", reason="needs a Milvus server: pip install milvus")
    process = milvus.MilvusServer(
        wait_for_started=False
    )  # only one can run on a machine: it has ports that cannot be chosen
    process.set_base_dir(str(tmp_path_factory.mktemp("server")))
    try:
        process.start()
        process.wait_started(timeout=90_000)
        maker = Maker(f"milvus://127.0.0.1:{process.listen_port}/")
        yield maker
        maker.drop()
    finally:
        process.stop()


@pytest.fixture(scope="module")
def postgres():
    with postgres_servers(1) as servers:
        yield PostgresMaker(servers)


@pytest.fixture(scope="module")
def three_servers():
    with postgres_servers(3) as servers:
        yield PostgresMaker(servers)
