"""The client passes the check of indexes against a live service."""

import pickle
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from live import WRITE, live

from kinbits.errors import DataError, PlatformError, UsageError
from kinbits.index import Index
from kinbits.serving import Client
from kinbits.testing import check_index


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with live(tmp_path_factory.mktemp("service"), max_k=10**7, max_hits=10**9) as running:
        yield running


@pytest.mark.parametrize("words", [2, 16])
def test_a_client_conforms(service, tmp_path, words):
    check_index(
        service.make, open_index=service.open, folder=tmp_path, words=words, bits=(13,) if words == 2 else (12,)
    )


def test_answers_have_the_types_of_an_index(service):
    codes = np.arange(8, dtype=np.uint8).reshape(2, 4)
    index = Index.create(bits=32).add(codes, ids=["a", "b"], metadata={"year": [1, None]})
    with Client(service.url, service.add(index), token=WRITE) as client:
        for asked in ({"k": 2}, {"k": 2, "where": "year = 5"}, {"radius": 0}):
            one, other = client.search(codes[0], **asked), index.search(codes[0], **asked)
            assert (one.ids.dtype.kind, one.distances.dtype) == (other.ids.dtype.kind, other.distances.dtype)
            assert one.to_dicts() == other.to_dicts()
            assert one.codes.tolist() == other.codes.tolist()
        client.add(codes[:1], ids=np.array(["c"]), metadata={"year": np.array([2.5]), "seen": [np.bool_(True)]})
        assert client.item("c")["columns"] == {"year": 2.5, "seen": True}
        client.add(codes[:1], ids=[".."], metadata={"year": [float("nan")]})
        assert client.item("..")["columns"]["year"] is None
        assert len(pickle.loads(pickle.dumps(client))) == 4
        with pytest.raises(UsageError, match="cannot be sent"):
            client.add(codes[:1], ids=["d"], metadata={"year": [object()]})
        with pytest.raises(DataError, match="a list of values"):
            client.add(codes[:1], ids=["d"], metadata={"year": "1"})
        with pytest.raises(DataError, match="is not in the index"):
            client.item("gone")
        with pytest.raises(UsageError, match="number of candidates"):
            client.search(codes[0], rescore=True)


def test_a_client_of_something_else_says_so(service, tmp_path):
    with pytest.raises(UsageError, match="no address of a service"):
        Client("127.0.0.1:8000")
    with pytest.raises(PlatformError, match="does not answer"):
        Client("http://127.0.0.1:9")
    service.add(Index.create(bits=8))
    with pytest.raises(UsageError, match="name the index"):
        Client(service.url)
    with pytest.raises(UsageError, match="serves no index 'other'"):
        Client(service.url, "other")
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.raises(PlatformError, match="no kinbits service"):
        Client(f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()
